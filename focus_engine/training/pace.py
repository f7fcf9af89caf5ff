"""The pace of training: when progress is reported, and the speed of this worker in the running epoch."""

import time

import torch

from focus_engine.data.batches import Batches
from focus_engine.events.table import StepProgress
from focus_engine.training.state import EpochSums, TrainState

PROGRESS_SECONDS = 1.0
"""Minimum time between two StepProgress events."""


class Pace:
    """Timing of StepProgress events and throughput of this worker in the current epoch."""

    def __init__(self, batches: Batches, sums: EpochSums) -> None:
        self._batches, self._sums = batches, sums
        self._began = self._last = time.monotonic()
        self._maps, self._batch = sums.maps, sums.batch
        self._waited = batches.seconds_waited

    def due(self) -> bool:
        """Whether a StepProgress event is due."""
        now = time.monotonic()
        if now - self._last < PROGRESS_SECONDS:
            return False
        self._last = now
        return True

    def seconds(self) -> float:
        """Return the seconds since the epoch began in this worker."""
        return time.monotonic() - self._began

    def maps_per_second(self) -> float:
        """Return the training speed."""
        return (self._sums.maps - self._maps) / max(self.seconds(), 1e-9)

    def data_wait(self) -> float:
        """Return the share of the time spent waiting for data, 0 to 1."""
        return min(1.0, (self._batches.seconds_waited - self._waited) / max(self.seconds(), 1e-9))

    def event(self, state: TrainState, grad_norm: float) -> StepProgress:
        """Return the progress after a step of the running epoch."""
        sums, n_batches, device = self._sums, len(self._batches), self._batches.device
        return StepProgress(
            epoch=state.epoch + 1,
            batch=sums.batch,
            n_batches=n_batches,
            step=state.step,
            train_loss=sums.mean_loss,
            lr=state.budget.rate,
            grad_norm=grad_norm,
            maps_per_second=self.maps_per_second(),
            data_wait=self.data_wait(),
            eta_epoch=self.seconds() * (n_batches - sums.batch) / max(1, sums.batch - self._batch),
            device_memory=torch.cuda.memory_allocated(device) if device.type == "cuda" else None,
        )
