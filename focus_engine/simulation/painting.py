"""Projection of a displaced lattice to density maps, with the mass spread over the phase-space sheet.

Dark matter fills a sheet in phase space that the particles only sample (Abel, Hahn & Kaehler 2012, MNRAS 427, 61).
Here the displacement is interpolated to a finer lattice of points of equal mass, so that voids keep their low
density: no pixel of a map is empty in practice. Points are counted as integers, so that the mass of the maps is exact
and independent of the order of summation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

POINTS_PER_PIXEL = 700
"""Minimum number of fine points in a pixel of mean density."""

_POINTS_AT_ONCE = 1 << 16
"""Points painted at once: few enough for the CPU cache, enough to amortise the cost of a call."""


def refinement(grid: int, map_size: int, slabs: int) -> int:
    """Return the fine points per particle and dimension needed for `POINTS_PER_PIXEL`; at least 2."""
    needed = POINTS_PER_PIXEL * map_size**2 * slabs
    return max(2, math.ceil(math.cbrt(needed) / grid - 1e-6))


def surface_density(
    displacement: Tensor, *, box_size: float, map_size: int, slabs: int, mean_density: float, factor: int
) -> Tensor:
    """Return maps of projected mass along each axis, (3 × slabs, M, M) float32, in `mean_density` × length units.

    Map `axis * slabs + s` is slab s (depth box_size / slabs) along `axis`; the two other axes keep their order.

    Args:
        displacement: from the sites of an N³ lattice, (3, N, N, N), in Mpc/h.
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
    """Return lattice positions in box lengths, with the first site of each axis repeated one box length on."""
    grid = displacement.shape[-1]
    extended = torch.arange(grid + 1, device=displacement.device)
    site = extended % grid
    sheet = displacement[:, site][:, :, site][:, :, :, site]
    place = extended.float() / grid
    for axis in range(3):
        sheet[axis] += place.reshape([-1 if other == axis else 1 for other in range(3)])
    return sheet


def _refine(corners: Tensor, dim: int, factor: int, generator: torch.Generator) -> Tensor:
    """Interpolate linearly to one point in each of `factor` equal parts of each interval along `dim`.

    Each row has its own random offset within the parts. A regular lattice would alias with the pixels and leave
    stripes in voids.
    """
    intervals = corners.shape[dim] - 1
    lower = corners.narrow(dim, 0, intervals).unsqueeze(dim + 1)
    upper = corners.narrow(dim, 1, intervals).unsqueeze(dim + 1)
    shape = list(lower.shape[1:])
    shape[dim - 1] = 1
    place = torch.rand(shape, generator=generator).to(corners.device)
    for later in range(dim + 1, 4):  # axes not refined yet: the last site repeats the first
        place.select(later, -1).copy_(place.select(later, 0))
    parts = torch.arange(factor, device=corners.device).reshape([-1] + [1] * (3 - dim))
    return torch.lerp(lower, upper, (parts + place) / factor).flatten(dim, dim + 1)


def _count(points: Tensor, map_size: int, counts: Tensor) -> None:
    """Add the points, (3, …) in box lengths, to `counts`, the flattened 3 × slabs maps."""
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
