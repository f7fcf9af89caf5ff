"""P(k) of log10 density: sensitive to voids and filaments, and far less scattered than that of density."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.bands import BANDS, band_weights
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack, log_floor
from focus_engine.statistics.power import (
    SCORED_FRACTION,
    PowerSpectrum,
    band_ratios,
    log_power_spectrum,
    raw_means,
)
from focus_engine.statistics.protocol import Result
from focus_engine.statistics.sample import Sample

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LogPowerComparison(Result):
    """P(k) of log10 of generated and of real maps, in the bins below the Nyquist wavenumber."""

    k: Array  # (n_bins,) h/Mpc
    real_mean: Array  # (n_bins,) (Mpc/h)²: mean over parameter points
    real_std: Array  # (n_bins,) (Mpc/h)²: scatter between maps of equal parameters
    generated_mean: Array  # (n_bins,) (Mpc/h)²
    k_nyquist: float  # h/Mpc


def bins(real: MapStack, generated: MapStack) -> float:  # noqa: ARG001
    """Return the floor of the logarithm."""
    return log_floor(real)


def measure(maps: MapStack, bins: float) -> PowerSpectrum:
    """Measure P(k) of log10 of each map."""
    return log_power_spectrum(maps.values, maps.box_size, bins)


def compare(real: PowerSpectrum, generated: PowerSpectrum, design: Design) -> LogPowerComparison:
    """Return the comparison of the mean P(k) of log10 density in bands."""
    shown = real.below(1.0)
    scaled = design.scale(real.power[:, shown], generated.power[:, shown], "ratio")
    weights, words = band_weights(real.k_edges[: int(shown.sum()) + 1], SCORED_FRACTION * real.k_nyquist)

    def scores(sample: Sample) -> Array:
        return band_ratios(sample, weights)

    found = design.estimate(scores, scaled, ["both"] * len(BANDS))
    real_mean, generated_mean = raw_means(scaled.sample())
    return LogPowerComparison(
        k=real.k[shown],
        real_mean=real_mean,
        real_std=scaled.scatter * real_mean,
        generated_mean=generated_mean,
        k_nyquist=real.k_nyquist,
        scores={name: replace(one, band=band) for name, one, band in zip(BANDS, found, words, strict=True)},
    )
