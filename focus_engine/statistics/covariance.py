"""Scatter of P(k) at fixed parameters: its width in bands, its correlation between bins, and χ² of single maps.

Matching means do not imply the right scatter (arXiv:2606.10023), on which every covariance drawn from a model rests.
All three use ln P in bins that are merged to about equal widths in log k.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.bands import BANDS, band_weights
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.power import SCORED_FRACTION, PowerSpectrum, band_means
from focus_engine.statistics.protocol import Result
from focus_engine.statistics.sample import Sample, View

Array = NDArray[np.float64]

MERGED_BINS = 6
"""Bins of the correlation matrix and of χ²."""


@dataclass(frozen=True)
class CovarianceComparison(Result):
    """Scatter of ln P(k) between maps of equal parameters."""

    k: Array  # (n_bins,) h/Mpc: middle of each merged bin
    real_correlation: Array  # (n_bins, n_bins) of ln P of real maps about the mean of their parameter point
    generated_correlation: Array  # (n_bins, n_bins) the same of generated maps
    real_std: Array  # (n_bins,) standard deviation of ln P of the real maps
    generated_std: Array  # (n_bins,) the same of the generated maps
    chi_square_split: float  # χ² per bin of generated maps, with mean and variance of all simulations (see below)
    true_chi_square_split: float  # the same of real maps, each against the simulations other than its own


def bins(real: MapStack, generated: MapStack) -> None:
    """Return None: the measurement is that of P(k)."""


def compare(real: PowerSpectrum, generated: PowerSpectrum, design: Design) -> CovarianceComparison:
    """Return the comparison of the scatter of ln P at fixed parameters.

    The widths are standard deviations of ln P averaged in bands, generated over real, less 1. The correlation is the
    rms difference of the off-diagonal elements. χ² is Σ (ln P − m)² / Σ s² over generated maps, with the mean m and
    the variance s² of the real maps at the same point: that of Mudur et al. (arXiv:2312.07534) at a single point.
    """
    scaled = design.scale(real.power, generated.power, "ratio")
    weights, words = band_weights(real.k_edges, SCORED_FRACTION * real.k_nyquist)
    merged, k = _merging(real)
    of_bands = scaled.transformed(lambda power: _logarithm(band_means(power, weights)))
    of_bins = scaled.transformed(lambda power: _logarithm(power @ merged))
    widths = design.estimate(_widths, of_bands, ["both"] * len(BANDS))
    correlation, chi_square = design.estimate(_correlation_and_chi_square, of_bins, ("upper", "both"))
    measured = of_bins.sample()
    return CovarianceComparison(
        k=k,
        real_correlation=_correlation(measured.real),
        generated_correlation=_correlation(measured.generated),
        real_std=np.sqrt(measured.real.variance),
        generated_std=np.sqrt(measured.generated.variance),
        chi_square_split=split_chi_square(measured.generated, measured.real),
        true_chi_square_split=split_chi_square(measured.real, measured.real),
        scores={
            **{f"width_{name}": replace(one, band=band) for name, one, band in zip(BANDS, widths, words, strict=True)},
            "correlation": correlation,
            "chi_square": chi_square,
        },
    )


def _merging(power: PowerSpectrum) -> tuple[Array, Array]:
    """Return the weights (n_bins, MERGED_BINS) that average P(k) in bins of equal width in log k, and their middles."""
    middle = np.sqrt(power.k_edges[:-1] * power.k_edges[1:])
    limits = np.geomspace(power.k_edges[0], SCORED_FRACTION * power.k_nyquist, MERGED_BINS + 1)
    place = np.searchsorted(limits, middle, side="right") - 1
    held = [place == one for one in range(MERGED_BINS)]
    weights = [one / one.sum() for one in held if one.any()]
    middles = [float(np.exp(np.log(middle[one]).mean())) for one in held if one.any()]
    return np.array(weights).reshape(len(weights), middle.size).T, np.array(middles)


def _logarithm(values: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(values > 0, np.log(values), np.nan), dtype=np.float64)


def _widths(sample: Sample) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(sample.generated.variance / sample.real.variance) - 1)


def _correlation_and_chi_square(sample: Sample) -> Array:
    apart = _correlation(sample.generated) - _correlation(sample.real)
    off_diagonal = apart[~np.eye(len(apart), dtype=bool)]
    rms = float(np.sqrt((off_diagonal**2).mean())) if off_diagonal.size else np.nan
    return np.array([rms, _chi_square(sample)])


def _correlation(view: View) -> Array:
    """Return the correlation matrix of the residuals about the means of the points; NaN without freedom."""
    residuals = view.residuals
    products = residuals.T @ residuals
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(np.diag(products))
        return np.asarray(products / scale[:, None] / scale[None, :])


def split_chi_square(judged: View, real: View) -> float:
    """Return the mean over maps and bins of (x − m)² / s², with m and s² of real maps of other simulations.

    Vectors are relative to the reference, so that simulations of other parameters give the scatter at these. A real
    map is left out with its whole simulation, whose maps share structures. NaN with fewer than 3 simulations.
    """
    units, x = real.rows.unit, real.values
    if real.rows.units < 3 or not x.size:
        return float("nan")
    counts = np.bincount(units)[:, None].astype(np.float64)
    sums, squares = real.rows.unit_means(x) * counts, real.rows.unit_means(x**2) * counts
    left = 0.0 if judged is not real else 1.0
    n = counts.sum() - left * counts
    mean = (sums.sum(axis=0) - left * sums) / n
    variance = ((squares.sum(axis=0) - left * squares) / n - mean**2) * n / (n - 1)
    of = units if judged is real else np.zeros(len(judged.values), dtype=np.intp)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(((judged.values - mean[of]) ** 2 / variance[of]).mean())


def _chi_square(sample: Sample) -> float:
    """Return χ² per bin: Σ (x − m)² / Σ s² over generated maps, averaged over bins.

    m and s² are the mean and the variance of the real maps of the same point, of which at least 4 are needed. With one
    point this is the mean of (x − m)² / s². The mean of such ratios over points would depend on the points of least s²:
    its null was 0.5 standard deviations too high, and 13 % of perfect generators were beyond 5 %.
    """
    rows = sample.real.rows
    counts = np.bincount(rows.point, minlength=rows.points)
    freedom = np.maximum(counts - 1, 1)[:, None]
    variances = rows.point_means(sample.real.residuals**2) * counts[:, None] / freedom
    of = sample.generated.rows.point
    enough = counts[of] >= 4
    if not enough.any() or not variances.shape[1]:
        return float("nan")
    apart = (sample.generated.values - sample.real.point_means[of])[enough]
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(((apart**2).sum(axis=0) / variances[of][enough].sum(axis=0)).mean())
