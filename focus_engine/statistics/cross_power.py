"""Cross spectra P_ab(k) of two fields of the same maps, compared in units of √(P_a P_b) of real maps.

P_ab has either sign and may vanish, so that a ratio of generated to real spectra means nothing. Relative to the mean
√(P_a P_b) expected of real maps at the same parameters it is about r(k) for real maps. Unlike r(k) it also sees
amplitudes: fields with 5 % too much power each and the right r(k) are 0.05 r(k) too high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.cross import PairMeasurement, scored_bands
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.protocol import Result
from focus_engine.statistics.reference import reference_of

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CrossPowerComparison(Result):
    """P_ab(k) of two fields in units of √(P_a P_b) of real maps, in the bins below the Nyquist wavenumber."""

    k: Array  # (n_bins,) h/Mpc
    real_mean: Array  # (n_bins,)
    real_std: Array  # (n_bins,) scatter between maps of equal parameters
    generated_mean: Array  # (n_bins,)
    k_nyquist: float  # h/Mpc


def bins(real: MapStack, generated: MapStack) -> None:
    """Return None: the measurement is that of the correlation."""


def compare(real: PairMeasurement, generated: PairMeasurement, design: Design) -> CrossPowerComparison:
    """Return the comparison of P_ab(k): generated less real, averaged in bands."""
    means = design.real.point_means(real.amplitude)
    unit = reference_of(design.params, means, design.real.units_per_point, "ratio").centre
    unit = np.where(unit > 0, unit, 1)
    vectors = real.cross / unit[design.real.point], generated.cross / unit[design.generated.point]
    scaled, scores = scored_bands(real, vectors, design)
    return CrossPowerComparison(
        k=real.k,
        real_mean=design.real.weights @ vectors[0],
        real_std=scaled.spread * scaled.scatter,
        generated_mean=design.generated.weights @ vectors[1],
        k_nyquist=real.k_nyquist,
        scores=scores,
    )
