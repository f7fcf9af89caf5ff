"""Counts of peaks and of voids: pixels above, or below, all eight neighbours of the log density of a periodic map.

Heights are ν of the map, standardised by itself (see log_density.py). Pixels of equal value, such as a plateau of
zeros or of clipped peaks, are neither: the counts do not depend on the orientation of the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.log_density import log_floor, standardised_chunks
from focus_engine.statistics.map_stack import MapStack

Array = NDArray[np.float64]

PEAK_HEIGHTS = np.arange(0.0, 4.1, 0.5)  # ν: inner edges of the bins, open at both ends
VOID_HEIGHTS = np.array([-2.0, -1.5, -1.0, -0.5, 0.0])


@dataclass(frozen=True)
class ExtremumCounts:
    """Number of peaks and of voids of each map per area, in bins of height that are open at both ends."""

    peak_heights: Array  # (n_peak_bins − 1,) ν: inner edges
    void_heights: Array  # (n_void_bins − 1,) ν: inner edges
    peaks: Array  # (n_maps, n_peak_bins) per (Mpc/h)²
    voids: Array  # (n_maps, n_void_bins) per (Mpc/h)²

    @property
    def vectors(self) -> Array:
        """Both in a row for each map, (n_maps, n_peak_bins + n_void_bins)."""
        return np.concatenate([self.peaks, self.voids], axis=1)

    def peaks_above(self, height: float) -> Array:
        """Return the peaks of each map per (Mpc/h)² from `height`, an inner edge, upwards, (n_maps,)."""
        first = int(np.searchsorted(self.peak_heights, height - 1e-9)) + 1
        return np.asarray(self.peaks[:, first:].sum(axis=1), dtype=np.float64)


def extremum_counts(
    maps: MapStack, floor: float | None, peak_heights: Array = PEAK_HEIGHTS, void_heights: Array = VOID_HEIGHTS
) -> ExtremumCounts:
    """Count the peaks and the voids of ν of each map, read in chunks.

    Args:
        maps: densities, or normalised fields.
        floor: of the density, from `log_floor`; None for a normalised field.
        peak_heights: inner edges of the bins of peaks, increasing.
        void_heights: inner edges of the bins of voids, increasing.

    Raises:
        InputError: a map is not finite, or is a density with negative pixels or zero everywhere.
    """
    n_maps, height, width = maps.values.shape
    area = height * width * (maps.box_size / width) ** 2
    peaks, voids = np.empty((n_maps, peak_heights.size + 1)), np.empty((n_maps, void_heights.size + 1))
    for first, field in standardised_chunks(maps, floor):
        rows = slice(first, first + len(field))
        peaks[rows] = _counts(field, maxima(field), peak_heights)
        voids[rows] = _counts(field, maxima(-field), void_heights)
    return ExtremumCounts(peak_heights, void_heights, peaks / area, voids / area)


def maxima(fields: Array) -> NDArray[np.bool_]:
    """Return whether each pixel of periodic fields (n, H, W) exceeds all of its eight neighbours."""
    beside = np.maximum(np.roll(fields, 1, axis=2), np.roll(fields, -1, axis=2))
    row = np.maximum(beside, fields)
    around = np.maximum(np.roll(row, 1, axis=1), np.roll(row, -1, axis=1))
    return np.asarray(fields > np.maximum(around, beside))


def bins(real: MapStack, generated: MapStack) -> float | None:  # noqa: ARG001
    """Return the floor of the densities, a tenth of the smallest positive real pixel.

    Raises:
        InputError: a real map is not finite, has negative pixels or is zero everywhere.
    """
    return log_floor(real)


def measure(maps: MapStack, bins: float | None) -> ExtremumCounts:
    """Return the peaks and the voids of each map in the bins of this module.

    Raises:
        InputError: as `extremum_counts`.
    """
    return extremum_counts(maps, bins)


def _counts(fields: Array, chosen: NDArray[np.bool_], heights: Array) -> Array:
    """Return how many of the chosen pixels of each field lie in each bin, (n, n_bins)."""
    n_bins = heights.size + 1
    which = np.nonzero(chosen)[0]
    places = np.searchsorted(heights, fields[chosen], side="right")
    counts = np.bincount(which * n_bins + places, minlength=len(fields) * n_bins)
    return counts.reshape(len(fields), n_bins).astype(np.float64)
