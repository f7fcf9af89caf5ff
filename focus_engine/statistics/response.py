"""Response to the parameters: how ln P of generated maps follows ln P of real maps from one parameter point to another.

The regressor is the smooth reference of the real maps, not their noisy means, which would pull the slope below 1 for a
perfect generator. The slope is 1 + cov(ln P_generated − ln P_real, ln P_reference) / var(ln P_reference).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.bands import BANDS, band_weights
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.power import SCORED_FRACTION, PowerSpectrum, band_means
from focus_engine.statistics.protocol import Result, known
from focus_engine.statistics.sample import Sample

Array = NDArray[np.float64]

FEWEST_POINTS = 4
"""Parameter points without which a response is unknown."""


@dataclass(frozen=True)
class ResponseComparison(Result):
    """ln P(k) by band at each parameter point."""

    reference: Array  # (3, G) ln of the reference P(k) in (Mpc/h)², averaged in each band
    generated: Array  # (3, G) the same of the generated maps, relative to the real ones' reference
    parameter_slopes: Array  # (3, P) d ln(P generated / P real) / d x in each band; x: see `parameter_slopes`
    parameter_slopes_error: Array  # (3, P) standard deviation of that, from the bootstrap; NaN if unknown
    r_squared: float  # share of the variance of ln P between parameter points that generated maps follow, all bands
    r_squared_bands: Array  # (3,) the same in each band


def bins(real: MapStack, generated: MapStack) -> None:
    """Return None: the measurement is that of P(k)."""


def compare(real: PowerSpectrum, generated: PowerSpectrum, design: Design) -> ResponseComparison:
    """Return the slope of the response in each band, R² over all, and the slopes along each parameter."""
    shown = real.below(1.0)
    scaled = design.scale(real.power[:, shown], generated.power[:, shown], "ratio")
    weights, words = band_weights(real.k_edges[: int(shown.sum()) + 1], SCORED_FRACTION * real.k_nyquist)

    def scores(sample: Sample) -> Array:
        reference, excess, apart = _by_point(sample, weights)
        slopes = [response_slope(reference[:, band], apart[:, band]) for band in range(len(BANDS))]
        x = design.x if sample.points is None else design.x[sample.points]
        return np.array([*slopes, followed_variance(reference, reference + excess), *parameter_slopes(x, apart).T.flat])

    shape = len(BANDS), design.x.shape[1]
    found = design.estimate(scores, scaled, ["both"] * (len(BANDS) + 1 + shape[0] * shape[1]))
    slopes, r_squared, along = found[: len(BANDS)], found[len(BANDS)], found[len(BANDS) + 1 :]
    reference, excess, _ = _by_point(scaled.sample(), weights)
    by_band = zip(reference.T, (reference + excess).T, strict=True)
    return ResponseComparison(
        reference=reference.T,
        generated=(reference + excess).T,
        parameter_slopes=known([one.value for one in along]).reshape(shape),
        parameter_slopes_error=known([one.error for one in along]).reshape(shape),
        r_squared=np.nan if r_squared.value is None else r_squared.value,
        r_squared_bands=np.array([followed_variance(one[:, None], drawn[:, None]) for one, drawn in by_band]),
        scores={
            **{f"slope_{name}": replace(one, band=band) for name, one, band in zip(BANDS, slopes, words, strict=True)},
            "r_squared": r_squared,
        },
    )


def response_slope(reference: Array, apart: Array) -> float:
    """Return 1 + cov(apart, reference) / var(reference) over points (G,); NaN if the reference does not vary."""
    deviation = reference - reference.mean()
    variance = float(deviation @ deviation)
    if reference.size < FEWEST_POINTS or variance < 1e-6 * reference.size:
        return float("nan")
    return 1 + float(deviation @ apart) / variance


def _by_point(sample: Sample, weights: Array) -> tuple[Array, Array, Array]:
    """Return by point and band (G, 3): ln of the reference, ln generated / reference, ln generated / real."""
    with np.errstate(divide="ignore", invalid="ignore"):
        reference = band_means(np.log(sample.centre * sample.refit), weights)
        generated = np.log(band_means(sample.generated.point_means / sample.refit, weights))
        return reference, generated, generated - np.log(band_means(sample.real.point_means / sample.refit, weights))


def followed_variance(reference: Array, generated: Array) -> float:
    """Return 1 − Σ(generated − reference)² / Σ(reference − mean)², over points and bands, means removed."""
    if len(reference) < FEWEST_POINTS:
        return float("nan")
    finite = np.isfinite(reference).all(axis=0)
    truth, drawn = reference[:, finite], generated[:, finite]
    truth, drawn = truth - truth.mean(axis=0), drawn - drawn.mean(axis=0)
    total = float((truth**2).sum())
    return 1 - float(((drawn - truth) ** 2).sum()) / total if total > 1e-6 * truth.size else float("nan")


def parameter_slopes(x: Array, apart: Array) -> Array:
    """Return the slopes (P, 3) of a joint linear fit of ln(P generated / P real) (G, 3) on parameters x (G, P).

    x is the logarithm of a parameter that varies over the points, of mean 0 and standard deviation 1. A right response
    has slope 0. At the points of a 1P set each slope is that of one parameter alone. NaN with too few points.
    """
    if len(x) < x.shape[1] + FEWEST_POINTS:
        return np.full((x.shape[1], apart.shape[1]), np.nan)
    design = np.hstack([np.ones((len(x), 1)), x])
    finite = np.isfinite(apart).all(axis=0)
    found = np.full((x.shape[1], apart.shape[1]), np.nan)
    found[:, finite] = np.linalg.lstsq(design, apart[:, finite], rcond=None)[0][1:]
    return found
