"""The numbers of a run as arrays: measurements inside epochs, and P(k) with its errors. Pure.

Separate from `run_view`, because numpy takes 0.06 s that the first frame of the dashboard does not wait for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_engine.events.statistics import LivePower
from focus_engine.events.table import StepProgress

Array = NDArray[np.float64]

MAX_STEPS = 20_000
"""The most step points kept of a run; above it every second one is dropped, which no terminal resolves."""
COLUMNS = ("epoch", "loss", "lr", "grad_norm", "maps_per_second")
ROOMS = (*(1024 << double for double in range(5)), MAX_STEPS)
"""Sizes of the blocks that hold them; the system gives memory to what is written only."""


class _Block:
    """Room for columns of numbers that grow in place: a copy at every poll would leave holes in the heap."""

    def __init__(self, room: int = 0) -> None:
        self.values: Array = np.empty((len(COLUMNS), room))
        self.used = 0

    def with_more(self, size: int, columns: Array) -> "_Block":
        """Return a block of the first `size` columns and `columns` (5, m): this one if they fit there."""
        block, whole = self, size + columns.shape[1]
        if self.used != size or whole > self.values.shape[1]:  # another series went on from here, or it is full
            block = _Block(next(room for room in ROOMS if room >= whole))
            block.values[:, :size] = self.values[:, :size]
        block.values[:, size:whole] = columns
        block.used = whole
        return block


@dataclass(frozen=True, eq=False)
class StepSeries:
    """Measurements inside epochs, thinned evenly.

    A series and those that follow it share a block of memory, of which each sees its own points.

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
    _block: _Block
    _stride: int = 1
    _seen: int = 0

    @classmethod
    def of(cls, events: Sequence[StepProgress]) -> "StepSeries":
        """Return the points of `events`, thinned to at most `MAX_STEPS`."""
        return cls._over(_Block(), 0, 1, 0).then(events)

    def then(self, events: Sequence[StepProgress]) -> "StepSeries":
        """Return these points followed by those of `events`, thinned to at most `MAX_STEPS`."""
        block, size, stride = self._block, self.epoch.size, self._stride
        kept = _columns(events[-self._seen % stride :: stride])
        if size + kept.shape[1] > MAX_STEPS:
            kept = np.concatenate([block.values[:, :size], kept], axis=1)
            block, size = _Block(), 0
        while kept.shape[1] > MAX_STEPS:
            kept, stride = kept[:, ::2], 2 * stride
        block, whole = block.with_more(size, kept), size + kept.shape[1]
        return StepSeries._over(block, whole, stride, self._seen + len(events))

    def until(self, epoch: float) -> "StepSeries":
        """Return the points up to the end of `epoch`."""
        kept = self.epoch <= epoch
        if kept.all():
            return self
        values = self._block.values[:, : kept.size][:, kept]
        size = values.shape[1]
        return StepSeries._over(_Block().with_more(0, values), size, self._stride, self._stride * size)

    @classmethod
    def _over(cls, block: _Block, size: int, stride: int, seen: int) -> "StepSeries":
        """Return the first `size` points of a block; each stands for `stride` of the `seen` events."""
        epoch, loss, learning_rate, grad_norm, maps_per_second = block.values[:, :size]
        return cls(epoch, loss, learning_rate, grad_norm, maps_per_second, block, stride, seen)


def _columns(events: Sequence[StepProgress]) -> Array:
    """Return the measurements of `events` (5, n), in the order of `COLUMNS`."""
    where = [event.epoch - 1 + event.batch / max(1, event.n_batches) for event in events]
    measured = ("train_loss", *COLUMNS[2:])
    return np.array([where, *(floats([getattr(event, name) for event in events]) for name in measured)])


def floats(values: Sequence[float | None]) -> Array:
    """Return numbers as an array (n,), NaN where unknown."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def ratio_errors(power: LivePower) -> Array:
    """Return the standard error of the ratio of P(k) in each bin (n,); old logs hold only the scatter of real maps."""
    if any(one is not None for one in power.ratio_std):
        return np.nan_to_num(floats(power.ratio_std))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(floats(power.real_std) / floats(power.real_mean)) * math.sqrt(2 / max(1, power.n_maps))
