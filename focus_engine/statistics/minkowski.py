"""The three Minkowski functionals of the excursion sets {ν ≥ threshold} of periodic maps.

They are all the additive, motion-invariant measures of a shape in the plane (Hadwiger): area, length of boundary and
Euler characteristic (pieces less holes). Unlike P(k) they depend on the phases. ν is the log density, standardised
map by map (see log_density.py).

On the lattice a set is its pixels. The length of its boundary follows from the pairs of pixels that it parts, along
rows, columns and both diagonals (the Cauchy–Crofton formula; Legland et al. 2007). The Euler characteristic is the
mean of the two in which pixels that touch at a corner are joined or parted; it changes sign with the field. A pair or
a square of four lies in the set when its lowest pixel does: each map is binned by threshold once, and the minima of
small integers are counted. One pass serves all thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.design import Design
from focus_engine.statistics.log_density import floor_of, standardised_chunks
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.protocol import Result
from focus_engine.statistics.sample import Sample

Array = NDArray[np.float64]
Levels = NDArray[np.uint8]

THRESHOLDS = np.linspace(-2.0, 3.5, 12)  # ν: steps of 0.5; log densities are skewed to high values

FUNCTIONALS = ("area", "boundary", "euler_characteristic")


@dataclass(frozen=True)
class MinkowskiFunctionals:
    """The functionals of each map at each threshold."""

    thresholds: Array  # (n_thresholds,) ν, increasing
    area: Array  # (n_maps, n_thresholds) V0: fraction of the map in the set
    boundary: Array  # (n_maps, n_thresholds) V1: length of its boundary per area [h/Mpc]
    euler: Array  # (n_maps, n_thresholds) V2: Euler characteristic per area [(h/Mpc)²]

    @property
    def vectors(self) -> Array:
        """The three in a row for each map, (n_maps, 3 n_thresholds)."""
        return np.concatenate([self.area, self.boundary, self.euler], axis=1)

    def take(self, rows: NDArray[np.intp]) -> MinkowskiFunctionals:
        """Return the measurement of these maps alone."""
        return replace(self, area=self.area[rows], boundary=self.boundary[rows], euler=self.euler[rows])


def minkowski_functionals(maps: MapStack, floor: float | None, thresholds: Array = THRESHOLDS) -> MinkowskiFunctionals:
    """Measure the functionals of the excursion sets of ν of each map, read in chunks.

    Args:
        maps: densities, or normalised fields.
        floor: of the density, from `floor_of`; None for a normalised field.
        thresholds: of ν, increasing, at most 255.

    Raises:
        InputError: a map is not finite, or is a density with negative pixels or zero everywhere.
    """
    shape = (len(maps.values), thresholds.size)
    pixel = maps.box_size / maps.values.shape[2]
    area, boundary, euler = np.empty(shape), np.empty(shape), np.empty(shape)
    for first, field in standardised_chunks(maps, floor):
        rows = slice(first, first + len(field))
        area[rows], boundary[rows], euler[rows] = lattice_functionals(field, thresholds)
    return MinkowskiFunctionals(thresholds, area, boundary / pixel, euler / pixel**2)


@dataclass(frozen=True)
class MinkowskiComparison(Result):
    """The functionals of generated and of real maps, means over parameter points."""

    threshold: Array  # (n_thresholds,) ν
    real_area: Array  # (n_thresholds,) V0: fraction of the map
    generated_area: Array  # (n_thresholds,)
    real_boundary: Array  # (n_thresholds,) V1: length per area [h/Mpc]
    generated_boundary: Array  # (n_thresholds,)
    real_euler: Array  # (n_thresholds,) V2: Euler characteristic per area [(h/Mpc)²]
    euler_std: Array  # (n_thresholds,) scatter of V2 between real maps of equal parameters
    generated_euler: Array  # (n_thresholds,)


def lattice_functionals(fields: Array, thresholds: Array) -> tuple[Array, Array, Array]:
    """Return the functionals of {field ≥ threshold} per pixel, each (n, n_thresholds), of periodic fields (n, H, W)."""
    levels = _levels(fields, thresholds)
    below = np.roll(levels, -1, axis=1)
    right, diagonal = np.roll(levels, -1, axis=2), np.roll(below, -1, axis=2)
    one = _reached(levels, thresholds.size)
    row_pairs, column_pairs = np.minimum(levels, right), np.minimum(levels, below)
    lower_row = np.roll(row_pairs, -1, axis=1)
    squares = np.minimum(row_pairs, lower_row)
    along = _reached(row_pairs, thresholds.size) + _reached(column_pairs, thresholds.size)
    falling = _reached(np.minimum(levels, diagonal), thresholds.size)
    rising = _reached(np.minimum(right, below), thresholds.size)
    four = _reached(squares, thresholds.size)
    any_of_four = _reached(np.maximum(np.maximum(levels, right), np.maximum(below, diagonal)), thresholds.size)
    # Pairs with one pixel inside, in two directions each: twice the pixels less twice the pairs inside.
    straight, oblique = 4 * one - 2 * along, 4 * one - 2 * (falling + rising)
    length = np.pi / 8 * (straight + oblique / np.sqrt(2))  # lines along a diagonal lie 1 / √2 of a pixel apart
    # Corners parted: pixels − pairs + squares. Corners joined: the same of the complement, with its sign.
    pairs_outside = 2 - (4 * one - along)
    parted = one - along + four
    joined = -((1 - one) - pairs_outside + (1 - any_of_four))
    return one, length, (parted + joined) / 2


def bins(real: MapStack, generated: MapStack) -> float | None:  # noqa: ARG001
    """Return the floor of the logarithm; None for normalised fields."""
    return floor_of(real)


def measure(maps: MapStack, bins: float | None) -> MinkowskiFunctionals:
    """Measure the functionals of each map at the thresholds of this module."""
    return minkowski_functionals(maps, bins)


def compare(real: MinkowskiFunctionals, generated: MinkowskiFunctionals, design: Design) -> MinkowskiComparison:
    """Return the comparison of the functionals.

    The score of each is the rms over thresholds of the difference of the means, in units of the scatter of real maps of
    equal parameters. Thresholds at which all real maps are equal do not count.
    """
    scaled = design.scale(real.vectors, generated.vectors, "difference")
    varying = np.split(real.vectors.std(axis=0) > 0, len(FUNCTIONALS))

    def scores(sample: Sample) -> Array:
        apart = np.split(sample.generated.mean - sample.real.mean, len(FUNCTIONALS))
        return np.array([_rms(one[held]) for one, held in zip(apart, varying, strict=True)])

    found = design.estimate(scores, scaled, ("upper", "upper", "upper"))
    real_means = np.split(design.real.weights @ real.vectors, len(FUNCTIONALS))
    generated_means = np.split(design.generated.weights @ generated.vectors, len(FUNCTIONALS))
    return MinkowskiComparison(
        threshold=real.thresholds,
        real_area=real_means[0],
        generated_area=generated_means[0],
        real_boundary=real_means[1],
        generated_boundary=generated_means[1],
        real_euler=real_means[2],
        euler_std=np.split(scaled.scatter * scaled.spread, len(FUNCTIONALS))[2],
        generated_euler=generated_means[2],
        scores=dict(zip(FUNCTIONALS, found, strict=True)),
    )


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean())) if values.size else float("nan")


def _levels(fields: Array, thresholds: Array) -> Levels:
    """Return the number of thresholds that each pixel reaches."""
    return np.searchsorted(thresholds, fields.ravel(), side="right").astype(np.uint8).reshape(fields.shape)


def _reached(levels: Levels, n_thresholds: int) -> Array:
    """Return the fraction of places (n, H, W) whose level reaches each threshold, (n, n_thresholds)."""
    counts = np.array([np.bincount(one.ravel(), minlength=n_thresholds + 1) for one in levels])
    reached = np.cumsum(counts[:, :0:-1], axis=1)[:, ::-1]
    return np.asarray(reached / levels[0].size, dtype=np.float64)
