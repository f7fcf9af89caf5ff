"""The one-point distribution of log10 of a field, and how far two of them are apart.

P(k) knows nothing of phases; the distribution of pixel values is the simplest statistic that does. Values are
physical, so an error of the mean shows too. Pixels of zero have no logarithm: they are raised to a floor that
the result states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.power import physical_chunks
from focus_engine.statistics.simulations import Simulations

Array = NDArray[np.float64]

FINE_BINS = 8192  # over the whole range of values; W1 is exact to one of them
SHOWN_BINS = 64


@dataclass(frozen=True)
class PdfComparison:
    """The one-point PDFs of log10 of real and of generated maps at equal parameters."""

    log10_value: Array  # (n_bins,) bin centres, log10 of the unit of the maps
    real_pdf: Array  # (n_bins,) per dex
    real_std: Array  # (n_bins,) scatter from simulation to simulation, per dex; NaN with one simulation
    generated_pdf: Array  # (n_bins,) per dex
    real_sigma: float  # dex: the standard deviation of log10 of the real pixels
    w1: float  # Wasserstein-1 distance between all pixels of both, in units of real_sigma
    true_vs_true_w1: float  # the same between random halves of the real simulations: the median over halvings
    true_vs_true_same_simulation: float  # the same between halves of the maps within each simulation
    floor: float  # unit of the maps: lower pixels, zeros among them, are raised to it
    real_floored: float  # fraction of the real pixels that were
    generated_floored: float  # fraction of the generated pixels that were


def compare_pdfs(
    real: NDArray[np.generic],
    generated: NDArray[np.generic],
    simulations: Simulations,
    seed: int,
    what: str = "generated map",
) -> PdfComparison:
    """Compare the distributions of log10 pixel values of two stacks of physical maps (N, H, W).

    W1 = ∫ |CDF_generated − CDF_real| d log10 f, in units of the real standard deviation. The floor is a tenth
    of the smallest positive real pixel.

    Raises:
        InputError: for a map that is not finite, is negative somewhere or zero everywhere.
    """
    smallest, highest = _positive_range(real, "map")
    floor = smallest / 10
    top = max(highest, _positive_range(generated, what)[1])
    edges = np.linspace(np.log10(floor), np.log10(top) + 1e-9, FINE_BINS + 1)
    per_simulation, halves, real_floored = _histograms(real, edges, simulations, "map", seed)
    real_counts = per_simulation.sum(axis=0)
    per_simulation_generated, _, generated_floored = _histograms(generated, edges, simulations, what)
    generated_counts = per_simulation_generated.sum(axis=0)
    sigma = _sigma(real_counts, edges)
    shown = _shown_edges(real_counts, edges, sigma)
    each = np.array([_density(counts, edges, shown) for counts in per_simulation])
    unknown = np.full(shown.size - 1, np.nan)
    return PdfComparison(
        log10_value=(shown[1:] + shown[:-1]) / 2,
        real_pdf=_density(real_counts, edges, shown),
        real_std=each.std(axis=0, ddof=1) if simulations.count > 1 else unknown,
        generated_pdf=_density(generated_counts, edges, shown),
        real_sigma=sigma,
        w1=_w1(real_counts, generated_counts, edges, sigma),
        true_vs_true_w1=_median(
            [
                _w1(per_simulation[one].sum(axis=0), per_simulation[other].sum(axis=0), edges, sigma)
                for one, other in simulations.halves(seed)
            ]
        ),
        true_vs_true_same_simulation=_median([_w1(half, real_counts - half, edges, sigma) for half in halves]),
        floor=floor,
        real_floored=real_floored,
        generated_floored=generated_floored,
    )


def _positive_range(maps: NDArray[np.generic], what: str) -> tuple[float, float]:
    smallest, highest = np.inf, 0.0
    for _, chunk, _ in physical_chunks(maps, what):
        smallest = min(smallest, float(np.min(chunk, where=chunk > 0, initial=np.inf)))
        highest = max(highest, float(chunk.max()))
    return smallest, highest


def _histograms(
    maps: NDArray[np.generic], edges: Array, simulations: Simulations, what: str, seed: int | None = None
) -> tuple[Array, Array, float]:
    """Count log10 of the pixels in fine bins.

    Returns the counts of each simulation (n_simulations, n_bins), those of the first half of the maps in each
    random halving within simulations (n_draws, n_bins; none without a seed), and the fraction of floored pixels.
    """
    n_bins = edges.size - 1
    counts = np.zeros((simulations.count, n_bins))
    draws = [] if seed is None else list(simulations.map_halves(seed))
    chosen = np.array(draws, dtype=np.float64).reshape(len(draws), maps.shape[0])
    halves = np.zeros((len(draws), n_bins))
    floor, floored = 10.0 ** edges[0], 0
    scale = n_bins / (edges[-1] - edges[0])
    for first, chunk, _ in physical_chunks(maps, what):
        low = chunk < floor * (1 - 1e-9)
        floored += int(low.sum())
        logs = np.log10(np.where(low, floor, chunk))
        bins = ((logs - edges[0]) * scale).astype(np.intp).clip(0, n_bins - 1)
        rows = slice(first, first + len(chunk))
        per_map = np.array([np.bincount(one.ravel(), minlength=n_bins) for one in bins], dtype=np.float64)
        np.add.at(counts, simulations.index[rows], per_map)
        halves += chosen[:, rows] @ per_map
    return counts, halves, floored / maps.size


def _sigma(counts: Array, edges: Array) -> float:
    """Return the standard deviation in dex of values that are counted in fine bins."""
    centres = (edges[1:] + edges[:-1]) / 2
    mean = np.average(centres, weights=counts)
    return float(np.sqrt(np.average((centres - mean) ** 2, weights=counts)))


def _cdf(counts: Array) -> Array:
    return np.asarray(np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum(), dtype=np.float64)


def _shown_edges(counts: Array, edges: Array, sigma: float) -> Array:
    """Span all real values and a margin of one σ, but no outlier of the generated ones."""
    held = np.flatnonzero(counts)
    width = edges[1] - edges[0]
    margin = max(sigma, 8 * width)
    return np.linspace(edges[held[0]] - margin, edges[held[-1] + 1] + margin, SHOWN_BINS + 1)


def _density(counts: Array, edges: Array, shown: Array) -> Array:
    """Return the density per dex in the coarser bins that are shown."""
    return np.asarray(np.diff(np.interp(shown, edges, _cdf(counts))) / np.diff(shown), dtype=np.float64)


def _w1(first: Array, second: Array, edges: Array, sigma: float) -> float:
    """Return ∫ |CDF₁ − CDF₂| dx / σ; NaN for a field without scatter."""
    width = edges[1] - edges[0]
    if sigma <= width:
        return float("nan")
    return float(np.abs(_cdf(first) - _cdf(second)).sum() * width / sigma)


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")
