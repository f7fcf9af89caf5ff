"""The one-point distribution of log10 of a field, and the Wasserstein-1 distance between two of them.

P(k) does not depend on phases; the distribution of pixel values is the simplest statistic that does. Values are
physical, so an error of the mean shows too. Zero pixels have no logarithm: they are raised to a floor, which the
result records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack, physical_chunks, positive_range
from focus_engine.statistics.protocol import Result, known
from focus_engine.statistics.sample import Sample
from focus_engine.statistics.significance import Estimate
from focus_engine.statistics.simulations import Simulations

Array = NDArray[np.float64]

FINE_BINS = 1024  # over the whole range of values, some 0.006 dex each
SHOWN_BINS = 64
COARSE_BINS = 256  # places of the distribution functions that W1 is integrated over
TAIL = 0.999  # quantile of the real pixels beyond which the tail begins
ROWS = 512  # maps whose counts are converted to float64 at a time: 4 MiB


@dataclass(frozen=True)
class PdfComparison(Result):
    """The one-point PDFs of log10 of real and of generated maps at equal parameters."""

    log10_value: Array  # (n_bins,) bin centres, log10 of the unit of the maps
    real_pdf: Array  # (n_bins,) per dex
    real_std: Array  # (n_bins,) scatter between simulations, per dex; NaN with one simulation
    generated_pdf: Array  # (n_bins,) per dex
    real_sigma: float  # dex: standard deviation of log10 of the real pixels
    w1: float  # Wasserstein-1 distance between the pixels of both, in units of real_sigma
    true_vs_true_w1: float  # the same between random halves of the real simulations; median over halvings
    true_vs_true_same_simulation: float  # the same between halves of the maps within each simulation
    floor: float  # unit of the maps: pixels below it, such as zeros, are raised to it
    real_floored: float  # fraction of the real pixels raised to the floor
    generated_floored: float  # fraction of the generated pixels raised to the floor


@dataclass(frozen=True, eq=False)
class PixelBins:
    """Fine bins of log10 of the pixel values, over the range of two stacks of maps."""

    floor: float  # unit of the maps: pixels below it are raised to it
    edges: Array  # (FINE_BINS + 1,) dex


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """Number of pixels of each map in each fine bin."""

    bins: PixelBins
    counts: NDArray[np.uint32]  # (n_maps, FINE_BINS)
    floored: float  # fraction of all pixels raised to the floor

    def take(self, rows: NDArray[np.intp]) -> PixelCounts:
        """Return the counts of these maps alone; `floored` stays that of all."""
        return replace(self, counts=self.counts[rows])


def bins(real: MapStack, generated: MapStack) -> PixelBins:
    """Return bins from a tenth of the smallest positive real pixel to the highest pixel of both stacks.

    Raises:
        InputError: a map is not finite, has negative pixels or is zero everywhere.
    """
    smallest, highest = positive_range(real)
    top = max(highest, positive_range(generated)[1])
    floor = smallest / 10
    return PixelBins(floor, np.linspace(np.log10(floor), np.log10(top) + 1e-9, FINE_BINS + 1))


def measure(maps: MapStack, bins: PixelBins) -> PixelCounts:
    """Return the histogram of log10 of the pixels of each map in fine bins.

    Raises:
        InputError: a map is not finite, has negative pixels or is zero everywhere.
    """
    edges = bins.edges
    counts = np.empty((len(maps.values), FINE_BINS), dtype=np.uint32)
    floor, floored = 10.0 ** edges[0], 0
    scale = FINE_BINS / (edges[-1] - edges[0])
    for first, chunk, _ in physical_chunks(maps.values, maps.what):
        low = chunk < floor * (1 - 1e-9)
        floored += int(low.sum())
        logs = np.log10(np.where(low, floor, chunk))
        places = ((logs - edges[0]) * scale).astype(np.intp).clip(0, FINE_BINS - 1)
        for row, one in enumerate(places, first):
            counts[row] = np.bincount(one.ravel(), minlength=FINE_BINS)
    return PixelCounts(bins, counts, floored / maps.values.size)


def compare(real: PixelCounts, generated: PixelCounts, design: Design) -> PdfComparison:
    """Return the comparison of the distributions of log10 pixel values of real and generated maps.

    W1 = ∫ |CDF_generated − CDF_real| d log10 f, in units of the real standard deviation. The tail is the share of
    pixels above the real 99.9th percentile, generated over real, less 1. The mean of log10 [dex], generated less real,
    scatters far less from map to map than log10 of the mean, and so sees a smaller error of the density.
    """
    edges, simulations, seed = real.bins.edges, design.real_simulations, design.seed
    per_simulation = simulations.totals(real.counts)
    real_counts, generated_counts = per_simulation.sum(axis=0), generated.counts.sum(axis=0, dtype=np.float64)
    sigma = _sigma(real_counts, edges)
    shown = _shown_edges(real_counts, edges, sigma)
    each = np.array([_density(counts, edges, shown) for counts in per_simulation])
    halves = [
        _w1(per_simulation[one].sum(axis=0), per_simulation[other].sum(axis=0), edges, sigma)
        for one, other in simulations.halves(seed)
    ]
    within = [_w1(half, real_counts - half, edges, sigma) for half in _first_halves(real.counts, simulations, seed)]
    scores = _scores(real, generated, design, sigma)
    return PdfComparison(
        log10_value=(shown[1:] + shown[:-1]) / 2,
        real_pdf=_density(real_counts, edges, shown),
        real_std=each.std(axis=0, ddof=1) if simulations.count > 1 else np.full(shown.size - 1, np.nan),
        generated_pdf=_density(generated_counts, edges, shown),
        real_sigma=sigma,
        w1=known([scores["w1"].value])[0],
        true_vs_true_w1=_median(halves),
        true_vs_true_same_simulation=_median(within),
        floor=real.bins.floor,
        real_floored=real.floored,
        generated_floored=generated.floored,
        scores=scores,
    )


def _scores(real: PixelCounts, generated: PixelCounts, design: Design, sigma: float) -> dict[str, Estimate]:
    """Return W1, the tail and the mean from the distributions of the maps on a grid of `COARSE_BINS` values."""
    edges = real.bins.edges
    width = edges[1] - edges[0]
    total = real.counts.sum(axis=0, dtype=np.float64)
    tail_at = int(np.searchsorted(_cdf(total), TAIL))
    steps = np.linspace(0, FINE_BINS, COARSE_BINS + 1).round().astype(np.intp)[1:]
    functions = (_functions(one.counts, steps, tail_at) for one in (real, generated))
    scaled = design.scale(next(functions), next(functions), "difference")
    spacing = np.diff(steps, prepend=0) * width

    def scores(sample: Sample) -> Array:
        apart = (sample.generated.mean - sample.real.mean) * scaled.spread
        w1 = np.abs(apart[:-2]) @ spacing / sigma if sigma > width else np.nan
        share = sample.real.mean[-2] * scaled.spread[-2] + scaled.reference.centre[:, -2].mean()
        return np.array([w1, apart[-2] / share if share > 0 else np.nan, apart[-1] * width])

    w1, tail, log_mean = design.estimate(scores, scaled, ("upper", "both", "both"))
    return {"w1": w1, "tail": tail, "log_mean": log_mean}


def _functions(counts: NDArray[np.uint32], steps: NDArray[np.intp], tail_at: int) -> Array:
    """Return the CDF of each map at the fine bins `steps`, its share of pixels above the bin `tail_at`, and their mean.

    The mean is that of the fine bin of the pixels, counted from 0.
    """
    found = np.empty((len(counts), steps.size + 2))
    places = np.arange(counts.shape[1], dtype=np.float64)
    for first in range(0, len(counts), ROWS):
        cumulated = np.cumsum(counts[first : first + ROWS], axis=1, dtype=np.float64)
        totals = cumulated[:, -1:]
        found[first : first + ROWS, :-2] = cumulated[:, steps - 1] / totals
        found[first : first + ROWS, -2] = 1 - cumulated[:, tail_at - 1] / totals[:, 0]
        found[first : first + ROWS, -1] = counts[first : first + ROWS] @ places / totals[:, 0]
    return found


def _first_halves(counts: NDArray[np.uint32], simulations: Simulations, seed: int) -> Array:
    """Return the counts of the first half of the maps in each random halving within simulations (n_draws, n_bins)."""
    draws = list(simulations.map_halves(seed))
    chosen = np.array(draws, dtype=np.float64).reshape(len(draws), len(counts))
    halves = np.zeros((len(draws), counts.shape[1]))
    for first in range(0, len(counts), ROWS):
        rows = slice(first, first + ROWS)
        halves += chosen[:, rows] @ counts[rows].astype(np.float64)
    return halves


def _sigma(counts: Array, edges: Array) -> float:
    """Return the standard deviation [dex] of values counted in fine bins."""
    centres = (edges[1:] + edges[:-1]) / 2
    mean = np.average(centres, weights=counts)
    return float(np.sqrt(np.average((centres - mean) ** 2, weights=counts)))


def _cdf(counts: Array) -> Array:
    return np.asarray(np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum(), dtype=np.float64)


def _shown_edges(counts: Array, edges: Array, sigma: float) -> Array:
    """Return bin edges over all real values and a margin of one σ; outliers of the generated maps are not covered."""
    held = np.flatnonzero(counts)
    width = edges[1] - edges[0]
    margin = max(sigma, 8 * width)
    return np.linspace(edges[held[0]] - margin, edges[held[-1] + 1] + margin, SHOWN_BINS + 1)


def _density(counts: Array, edges: Array, shown: Array) -> Array:
    """Return the density per dex in the coarser bins of the figure."""
    return np.asarray(np.diff(np.interp(shown, edges, _cdf(counts))) / np.diff(shown), dtype=np.float64)


def _w1(first: Array, second: Array, edges: Array, sigma: float) -> float:
    """Return ∫ |CDF₁ − CDF₂| dx / σ; NaN for a field without scatter."""
    width = edges[1] - edges[0]
    if sigma <= width:
        return float("nan")
    return float(np.abs(_cdf(first) - _cdf(second)).sum() * width / sigma)


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")
