"""The mean of a map (slab mean), compared at equal parameters.

P(k) is normalised by the mean and depends little on Ω_m; the mean surface density of a slab carries that information.
In a map of total matter its expectation is Ω_m ρ_c times the depth of the slab. The bias is a ratio of means: the mean
of ratios would exceed 0 for a perfect generator, by the squared scatter of the real means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack, physical_chunks
from focus_engine.statistics.protocol import Result, known
from focus_engine.statistics.response import response_slope
from focus_engine.statistics.sample import Sample

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SlabMeanComparison(Result):
    """Differences between the means of generated and of real maps at equal parameters."""

    real: Array  # (n_real,) in the unit of the maps
    generated: Array  # (n_generated,) in the unit of the maps
    points: tuple[NDArray[np.intp], NDArray[np.intp]]  # parameter point of each real and of each generated map
    bias: float  # mean of the generated means over that of the real ones, relative to the reference, less 1
    bias_std: float  # its uncertainty: bootstrap by simulation; NaN if unknown
    scatter: float  # standard deviation of ln mean at fixed parameters, generated / real − 1; NaN with a map per point
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
        each = {"real", "generated", "points"}
        numbers = {name: value for name, value in super().to_dict().items() if name not in each}
        return {"real_mean": self.real_mean, "generated_mean": self.generated_mean, **numbers}


def bins(real: MapStack, generated: MapStack) -> None:
    """Return None: a mean has no bins."""


def measure(maps: MapStack, bins: None) -> Array:  # noqa: ARG001
    """Return the mean of each physical map: (N,), in the unit of the maps.

    Raises:
        InputError: a map is not finite, has negative pixels or is zero everywhere.
    """
    return np.concatenate([means for _, _, means in physical_chunks(maps.values, maps.what)])


def compare(real: Array, generated: Array, design: Design) -> SlabMeanComparison:
    """Return the comparison of the means of generated and of real maps at equal parameters."""
    scaled = design.scale(real[:, None], generated[:, None], "ratio")
    with_logs = scaled.transformed(lambda means: np.hstack([means, np.log(means)]))
    bias, scatter, slope = design.estimate(_scores, with_logs, ("both",) * 3)
    return SlabMeanComparison(
        real=real,
        generated=generated,
        points=(design.real.point, design.generated.point),
        bias=known([bias.value])[0],
        bias_std=known([bias.error])[0],
        scatter=known([scatter.value])[0],
        true_vs_true_bias=_bias_of_halves(real, design),
        true_vs_true_scatter=_scatter_of_pairs(real, design),
        scores={"bias": bias, "scatter": scatter, "slope": slope},
    )


def _scores(sample: Sample) -> Array:
    """Return bias, scatter and slope from vectors (mean, ln mean), relative to the reference.

    The scatter is that of logarithms: a single dense map, which no real map foretells, dominates a variance of means.
    """
    real, generated = sample.real, sample.generated
    with np.errstate(divide="ignore", invalid="ignore"):
        scatter = np.sqrt(generated.variance[1] / real.variance[1]) - 1
        apart = np.log(generated.point_means[:, 0] / real.point_means[:, 0])
        reference = np.log(sample.centre[:, 0] * sample.refit[:, 0])
        return np.array([sample.excess[0], scatter, response_slope(reference, apart)])


def _bias_of_halves(real: Array, design: Design) -> float:
    simulations = design.real_simulations
    biases = []
    for first in simulations.map_halves(design.seed):
        halves = [simulations.totals(np.where(half, real, 0)) / simulations.totals(half) for half in (first, ~first)]
        biases.append(abs(halves[0].sum() / halves[1].sum() - 1))
    return float(np.median(biases)) if biases else float("nan")


def _scatter_of_pairs(real: Array, design: Design) -> float:
    """Return the standard deviation of m_i / m_j − 1 over all pairs i ≠ j within simulations."""
    simulations = design.real_simulations
    if simulations.sizes.min() < 2:
        return float("nan")
    ratios = []
    for simulation in range(simulations.count):
        means = real[simulations.index == simulation]
        pairs = means[:, None] / means[None, :]
        ratios.append(pairs[~np.eye(means.size, dtype=bool)] - 1)
    return float(np.concatenate(ratios).std())
