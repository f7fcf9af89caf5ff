"""Counts of peaks and of voids: pixels above, or below, all eight neighbours of the log density of a periodic map.

Heights are ν of the map, standardised by itself (see log_density.py). Pixels of equal value, such as a plateau of
zeros or of clipped peaks, are neither: the counts do not depend on the orientation of the map.
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

PEAK_HEIGHTS = np.arange(0.0, 4.1, 0.5)  # ν: inner edges of the bins, open at both ends
VOID_HEIGHTS = np.array([-2.0, -1.5, -1.0, -0.5, 0.0])
SCORES = ("peaks", "high_peaks", "voids")
HIGH = 3.0  # ν: an edge of PEAK_HEIGHTS; a tenth of the peaks of simulated maps are higher


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

    def take(self, rows: NDArray[np.intp]) -> ExtremumCounts:
        """Return the measurement of these maps alone."""
        return replace(self, peaks=self.peaks[rows], voids=self.voids[rows])

    @property
    def totals(self) -> Array:
        """All peaks, those of at least `HIGH` and all voids of each map per (Mpc/h)², (n_maps, 3)."""
        return np.stack([self.peaks.sum(axis=1), self.peaks_above(HIGH), self.voids.sum(axis=1)], axis=1)

    def peaks_above(self, height: float) -> Array:
        """Return the peaks of each map per (Mpc/h)² from `height`, an inner edge, upwards, (n_maps,)."""
        first = int(np.searchsorted(self.peak_heights, height - 1e-9)) + 1
        return np.asarray(self.peaks[:, first:].sum(axis=1), dtype=np.float64)


@dataclass(frozen=True)
class PeakComparison(Result):
    """Peaks and voids of generated and of real maps per (Mpc/h)², means over parameter points."""

    peak_height: Array  # (n_peak_bins,) ν: middle of the bin; outer bins are open, their middles as if they were not
    real_peaks: Array  # (n_peak_bins,)
    peaks_std: Array  # (n_peak_bins,) scatter between real maps
    generated_peaks: Array  # (n_peak_bins,)
    void_height: Array  # (n_void_bins,)
    real_voids: Array  # (n_void_bins,)
    generated_voids: Array  # (n_void_bins,)


def extremum_counts(
    maps: MapStack, floor: float | None, peak_heights: Array = PEAK_HEIGHTS, void_heights: Array = VOID_HEIGHTS
) -> ExtremumCounts:
    """Count the peaks and the voids of ν of each map, read in chunks.

    Args:
        maps: densities, or normalised fields.
        floor: of the density, from `floor_of`; None for a normalised field.
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
    """Return the floor of the logarithm; None for normalised fields."""
    return floor_of(real)


def measure(maps: MapStack, bins: float | None) -> ExtremumCounts:
    """Count the peaks and the voids of each map in the bins of this module."""
    return extremum_counts(maps, bins)


def compare(real: ExtremumCounts, generated: ExtremumCounts, design: Design) -> PeakComparison:
    """Return the comparison of the counts of all peaks, of high peaks and of voids: generated over real, less 1."""
    scaled = design.scale(real.totals, generated.totals, "ratio")
    found = design.estimate(_excess, scaled, ("both", "both", "both"))
    of_real, of_generated = design.real.weights, design.generated.weights
    return PeakComparison(
        peak_height=_middles(real.peak_heights),
        real_peaks=of_real @ real.peaks,
        peaks_std=real.peaks.std(axis=0),
        generated_peaks=of_generated @ generated.peaks,
        void_height=_middles(real.void_heights),
        real_voids=of_real @ real.voids,
        generated_voids=of_generated @ generated.voids,
        scores=dict(zip(SCORES, found, strict=True)),
    )


def _excess(sample: Sample) -> Array:
    return sample.excess  # not finite, so that the score is unknown, without real peaks


def _middles(heights: Array) -> Array:
    step = heights[1] - heights[0]
    return np.concatenate([[heights[0] - step / 2], (heights[1:] + heights[:-1]) / 2, [heights[-1] + step / 2]])


def _counts(fields: Array, chosen: NDArray[np.bool_], heights: Array) -> Array:
    """Return how many of the chosen pixels of each field lie in each bin, (n, n_bins)."""
    n_bins = heights.size + 1
    which = np.nonzero(chosen)[0]
    places = np.searchsorted(heights, fields[chosen], side="right")
    counts = np.bincount(which * n_bins + places, minlength=len(fields) * n_bins)
    return counts.reshape(len(fields), n_bins).astype(np.float64)
