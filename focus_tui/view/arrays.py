"""The numbers of a run as arrays: measurements inside epochs, and P(k) with its errors. Pure.

Separate from `run_view`, because numpy takes 0.06 s that the first frame of the dashboard does not wait for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_engine.events.statistics import LivePower
from focus_engine.events.table import StepProgress

Array = NDArray[np.float64]

MAX_STEPS = 20_000
"""The most step points kept of a run; above it every second one is dropped, which no terminal resolves."""


@dataclass(frozen=True, eq=False)
class StepSeries:
    """Measurements inside epochs, thinned evenly.

    Attributes:
        epoch: epochs done, including the fraction of the current one (n,).
        loss: mean training loss of the epoch so far (n,).
        lr: learning rate (n,).
        grad_norm: gradient norm before clipping (n,).
        maps_per_second: training speed (n,).
    """

    epoch: Array
    loss: Array
    lr: Array
    grad_norm: Array
    maps_per_second: Array

    @classmethod
    def of(cls, events: Sequence[StepProgress]) -> "StepSeries":
        """Return the points of `events`."""
        where = [event.epoch - 1 + event.batch / max(1, event.n_batches) for event in events]
        return cls(
            np.array(where, dtype=np.float64),
            floats([event.train_loss for event in events]),
            floats([event.lr for event in events]),
            floats([event.grad_norm for event in events]),
            floats([event.maps_per_second for event in events]),
        )

    def then(self, later: "StepSeries") -> "StepSeries":
        """Return these points followed by the `later` ones, thinned to at most `MAX_STEPS`."""
        stride = 1
        while (self.epoch.size + later.epoch.size) // stride > MAX_STEPS:
            stride *= 2
        return self._map(lambda name: np.concatenate([getattr(self, name), getattr(later, name)])[::stride])

    def until(self, epoch: float) -> "StepSeries":
        """Return the points up to the end of `epoch`."""
        kept = self.epoch <= epoch
        return self if kept.all() else self._map(lambda name: getattr(self, name)[kept])

    def _map(self, column: Callable[[str], Array]) -> "StepSeries":
        return StepSeries(*(column(name) for name in StepSeries.__dataclass_fields__))


def floats(values: Sequence[float | None]) -> Array:
    """Return numbers as an array (n,), NaN where unknown."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def ratio_errors(power: LivePower) -> Array:
    """Return the standard error of the ratio of P(k) in each bin (n,); old logs hold only the scatter of real maps."""
    if any(one is not None for one in power.ratio_std):
        return np.nan_to_num(floats(power.ratio_std))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(floats(power.real_std) / floats(power.real_mean)) * math.sqrt(2 / max(1, power.n_maps))
