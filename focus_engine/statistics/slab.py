"""The mean of a map (slab mean), compared at equal parameters.

P(k) is normalised by the mean and depends little on Ω_m; the mean surface density of a slab carries that information.
In a map of total matter its expectation is Ω_m ρ_c times the depth of the slab.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.map_stack import MapStack, physical_chunks
from focus_engine.statistics.protocol import Result
from focus_engine.statistics.simulations import Simulations

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SlabMeanComparison(Result):
    """Differences between the means of generated and of real maps at equal parameters."""

    real: Array  # (n_maps,) in the unit of the maps
    generated: Array  # (n_maps,) in the unit of the maps; row i has the parameters of real row i
    bias: float  # mean of generated / real − 1 over maps
    bias_std: float  # its uncertainty: bootstrap by simulation; NaN with one simulation
    scatter: float  # standard deviation of generated / real − 1; NaN for one map
    true_vs_true_bias: float  # median |bias| between random halves of the maps within each simulation
    true_vs_true_scatter: float  # standard deviation of one real map / another of its simulation − 1

    @property
    def real_mean(self) -> float:
        """Mean over the real maps, in their unit."""
        return float(self.real.mean())

    @property
    def generated_mean(self) -> float:
        """Mean over the generated maps, in their unit."""
        return float(self.generated.mean())

    def to_dict(self) -> dict[str, Any]:
        """Return the scores, with the mean over all maps in place of the mean of each map."""
        numbers = {name: value for name, value in super().to_dict().items() if name not in {"real", "generated"}}
        return {"real_mean": self.real_mean, "generated_mean": self.generated_mean, **numbers}


def bins(real: MapStack, generated: MapStack) -> None:
    """Return None: a mean has no bins."""


def measure(maps: MapStack, bins: None) -> Array:  # noqa: ARG001
    """Return the mean of each physical map: (N,), in the unit of the maps.

    Raises:
        InputError: a map is not finite, has negative pixels or is zero everywhere.
    """
    return np.concatenate([means for _, _, means in physical_chunks(maps.values, maps.what)])


def compare(real: Array, generated: Array, simulations: Simulations, seed: int) -> SlabMeanComparison:
    """Return the comparison, row by row, of the means of generated and of real maps at equal parameters.

    The true-against-true values also compare at equal parameters: real maps against other real maps of the same
    simulation. Both are NaN (unknown) when a simulation has a single map.
    """
    difference = generated / real - 1
    totals = simulations.totals(difference)
    resampled = [totals[draw].sum() / simulations.sizes[draw].sum() for draw in simulations.bootstrap(seed)]
    return SlabMeanComparison(
        real=real,
        generated=generated,
        bias=float(difference.mean()),
        bias_std=float(np.std(resampled)) if resampled else float("nan"),
        scatter=float(difference.std(ddof=1)) if difference.size > 1 else float("nan"),
        true_vs_true_bias=_bias_of_halves(real, simulations, seed),
        true_vs_true_scatter=_scatter_of_pairs(real, simulations),
    )


def _bias_of_halves(real: Array, simulations: Simulations, seed: int) -> float:
    biases = []
    for first in simulations.map_halves(seed):
        halves = [simulations.totals(np.where(half, real, 0)) / simulations.totals(half) for half in (first, ~first)]
        biases.append(abs(np.mean(halves[0] / halves[1]) - 1))
    return float(np.median(biases)) if biases else float("nan")


def _scatter_of_pairs(real: Array, simulations: Simulations) -> float:
    """Return the standard deviation of m_i / m_j − 1 over all pairs i ≠ j within simulations."""
    if simulations.sizes.min() < 2:
        return float("nan")
    ratios = []
    for simulation in range(simulations.count):
        means = real[simulations.index == simulation]
        pairs = means[:, None] / means[None, :]
        ratios.append(pairs[~np.eye(means.size, dtype=bool)] - 1)
    return float(np.concatenate(ratios).std())
