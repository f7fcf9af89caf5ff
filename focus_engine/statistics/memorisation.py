"""Memory of the training maps: whether generated maps lie nearer to them than test maps do.

Test maps are as new to the training set as a good generator's. A generator that returns training maps, turned, shifted,
dimmed or a little blurred, scores 1; a perfect one scores about 0.05, the share of test maps below their own threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.nearest import TrainingIndex, nearest_maps, training_index
from focus_engine.statistics.protocol import Result
from focus_engine.statistics.sample import Sample

Array = NDArray[np.float64]

QUANTILE = 0.05  # of the distances of test maps: a generated map below it is near
FEWEST_MAPS = 20  # real maps, so that one at least is below the quantile


@dataclass(frozen=True)
class MemorisationComparison(Result):
    """Distances of maps to their nearest training maps, 1 − correlation coefficient (see nearest.py)."""

    n_training: int
    quantiles: Array  # (5,) the shares below: 0, 0.05, 0.5, 0.95, 1
    real_distance: Array  # (5,) quantiles of the distances of the real maps
    generated_distance: Array  # (5,) the same of the generated maps


@dataclass(frozen=True)
class Distances:
    """The distance of each map to its nearest training map, and how many training maps there are."""

    distance: Array  # (n_maps,) 1 − correlation coefficient
    n_training: int

    def take(self, rows: NDArray[np.intp]) -> Distances:
        """Return the measurement of these maps alone."""
        return replace(self, distance=self.distance[rows])


def bins(real: MapStack, generated: MapStack) -> TrainingIndex:  # noqa: ARG001
    """Return the training maps with their invariants.

    Raises:
        InputError: there are none, or one is not finite or no density.
    """
    if real.training is None:
        raise InputError("the training maps are not given; without them nothing is known of their memory")
    return training_index(replace(real, values=real.training, what="training map", training=None))


def measure(maps: MapStack, bins: TrainingIndex) -> Distances:
    """Return the distance of each map to its nearest training map.

    Raises:
        InputError: the training maps have another size.
    """
    return Distances(nearest_maps(maps, bins).distance, len(bins.maps.values))


def compare(real: Distances, generated: Distances, design: Design) -> MemorisationComparison:
    """Return the share of generated maps that lie nearer to a training map than 5 % of the real maps do.

    Distances count relative to those of real maps of equal parameters, of which they depend.
    """
    ours, theirs = real.distance, generated.distance
    scaled = design.scale(ours[:, None], theirs[:, None], "difference")
    (share,) = design.estimate(_share_of_near, scaled, ("upper",))
    quantiles = np.array([0, QUANTILE, 0.5, 1 - QUANTILE, 1])
    return MemorisationComparison(
        n_training=real.n_training,
        quantiles=quantiles,
        real_distance=np.quantile(ours, quantiles),
        generated_distance=np.quantile(theirs, quantiles),
        scores={"near": share},
    )


def _share_of_near(sample: Sample) -> Array:
    real, generated = sample.real.values[:, 0], sample.generated.values[:, 0]
    if real.size < FEWEST_MAPS:
        return np.array([np.nan])
    return np.array([sample.generated.rows.weights @ (generated < np.quantile(real, QUANTILE))])
