"""Painting a displaced lattice as maps of projected density: the sheet, not its corners, carries the mass.

Dark matter fills a sheet in phase space, of which the particles are only the corners (Abel, Hahn & Kaehler 2012,
MNRAS 427, 61). Here the displacement is interpolated between them to a finer lattice of equal masses, so that
voids, from which the particles have gone, keep their thin matter: no pixel of a map is empty in practice.
Points are counted, so that the mass of the maps is exact and does not depend on the order of work.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

POINTS_PER_PIXEL = 700
"""At least so many points of the fine lattice for a pixel of mean density."""

_POINTS_AT_ONCE = 1 << 16
"""Points painted in one go: small enough to stay in the cache, large enough to hide the cost of a call."""


def refinement(grid: int, map_size: int, slabs: int) -> int:
    """Fine points per particle and dimension that give a pixel of mean density `POINTS_PER_PIXEL`; at least 2."""
    needed = POINTS_PER_PIXEL * map_size**2 * slabs
    return max(2, math.ceil(math.cbrt(needed) / grid - 1e-6))


def surface_density(
    displacement: Tensor, *, box_size: float, map_size: int, slabs: int, mean_density: float, factor: int
) -> Tensor:
    """Maps of projected mass along each axis, (3 × slabs, M, M) float32, in the units of `mean_density` × length.

    Map `axis * slabs + s` is slab s (depth box_size / slabs) seen along `axis`; the two other axes keep their order.

    Args:
        displacement: from the sites of an N³ lattice, (3, N, N, N), in units of length (Mpc/h).
        box_size: side of the periodic box, in the same units.
        map_size: M pixels per side.
        slabs: slices of equal depth along each axis.
        mean_density: mass per volume; the maps of an axis average to mean_density × box_size / slabs.
        factor: fine points per particle and dimension.
    """
    grid = displacement.shape[-1]
    counts = torch.zeros(3 * slabs * map_size**2, dtype=torch.int64, device=displacement.device)
    generator = torch.Generator().manual_seed(0)
    planes = _refine(_periodic_sheet(displacement / box_size), 1, factor, generator)
    for some in torch.split(planes, max(1, _POINTS_AT_ONCE // (grid * factor) ** 2), dim=1):
        _count(_refine(_refine(some, 2, factor, generator), 3, factor, generator), map_size, counts)
    mass = mean_density * box_size**3 / (grid * factor) ** 3
    pixel_area = (box_size / map_size) ** 2
    return (counts.double() * (mass / pixel_area)).float().reshape(3 * slabs, map_size, map_size)


def _periodic_sheet(displacement: Tensor) -> Tensor:
    """Positions of the lattice in box lengths with the first site of each axis repeated one box further on."""
    grid = displacement.shape[-1]
    extended = torch.arange(grid + 1, device=displacement.device)
    site = extended % grid
    sheet = displacement[:, site][:, :, site][:, :, :, site]
    place = extended.float() / grid
    for axis in range(3):
        sheet[axis] += place.reshape([-1 if other == axis else 1 for other in range(3)])
    return sheet


def _refine(corners: Tensor, dim: int, factor: int, generator: torch.Generator) -> Tensor:
    """Linear interpolation to one point in each of `factor` equal parts of each interval along `dim`.

    Each row has its own place in the parts, the same in all of them: a regular lattice would beat with the pixels,
    and voids would show its stripes.
    """
    intervals = corners.shape[dim] - 1
    lower = corners.narrow(dim, 0, intervals).unsqueeze(dim + 1)
    upper = corners.narrow(dim, 1, intervals).unsqueeze(dim + 1)
    shape = list(lower.shape[1:])
    shape[dim - 1] = 1
    place = torch.rand(shape, generator=generator).to(corners.device)
    for later in range(dim + 1, 4):  # still corners, of which the last is the first again
        place.select(later, -1).copy_(place.select(later, 0))
    parts = torch.arange(factor, device=corners.device).reshape([-1] + [1] * (3 - dim))
    return torch.lerp(lower, upper, (parts + place) / factor).flatten(dim, dim + 1)


def _count(points: Tensor, map_size: int, counts: Tensor) -> None:
    """Add the points, (3, …) in box lengths, to the pixels of the 3 × slabs maps of `counts`, flat."""
    slabs = counts.numel() // (3 * map_size**2)
    points = points.flatten(1)
    wrapped = points - points.floor()
    # A tiny negative position wraps to exactly 1; it belongs to the last pixel.
    pixel = (wrapped * map_size).int().clamp_(max=map_size - 1)
    slab = (wrapped * slabs).int().clamp_(max=slabs - 1)
    per_axis = counts.reshape(3, -1)
    for axis in range(3):
        row, column = (pixel[other] for other in range(3) if other != axis)
        place = (slab[axis] * map_size + row) * map_size + column
        per_axis[axis] += torch.bincount(place, minlength=slabs * map_size**2)
