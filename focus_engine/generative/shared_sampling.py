"""Sampling shared out among several devices, one copy of the network and one thread each.

The devices take the batches that one device would draw, in turn and whole. A map is therefore the same bit for bit
whatever the number of devices, as long as they are of one kind and none runs out of memory. Threads suffice, because a
sampler step only queues work on a GPU.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from focus_engine.errors import FocusError
from focus_engine.generative.prior import SpectralPrior
from focus_engine.generative.process import Process
from focus_engine.generative.sampling import (
    Precision,
    Restore,
    SamplingPlan,
    SamplingProgress,
    maps_at_once,
    sample_steps,
)


@dataclass(frozen=True, eq=False, slots=True)
class Copy:
    """A copy of the network on a device."""

    network: nn.Module
    device: torch.device


@dataclass(frozen=True, eq=False, slots=True)
class SharedJob:
    """What all devices draw: as the arguments of `sample_steps`."""

    process: Process
    cond: Tensor
    map_shape: tuple[int, int, int]
    plan: SamplingPlan
    precision: Precision
    without_gradients: Precision
    prior: SpectralPrior | None = None
    restore: Restore | None = None


def share_steps(copies: Sequence[Copy], job: SharedJob) -> Iterator[SamplingProgress]:
    """Draw one map for each row of `job.cond` (N, P) on all devices; yield after each step of any of them.

    Finished batches come in the order of the rows. A device makes its next step when its last one has been taken.

    Raises:
        InputError: as `sample_steps`, before sampling.
        FocusError: a device is out of memory with one map, or fails; the message names it.
    """
    plan = job.plan.checked(job.process)
    lanes = [_Lane(copy, replace(job, plan=plan)) for copy in copies]
    return _share(lanes, len(job.cond), maps_at_once(plan, job.process))


def _share(lanes: Sequence["_Lane"], total: int, size: int) -> Iterator[SamplingProgress]:
    pieces = iter([slice(first, min(first + size, total)) for first in range(0, total, size)])
    order = _Order(total)
    with ThreadPoolExecutor(len(lanes), thread_name_prefix="focus-device") as pool:
        running: dict[Future[SamplingProgress | None], _Lane] = {}
        for lane in lanes:
            if lane.take(next(pieces, None)):
                running[pool.submit(lane.step)] = lane
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                lane, progress = running.pop(future), future.result()
                if progress is not None or lane.take(next(pieces, None)):
                    running[pool.submit(lane.step)] = lane
                if progress is not None:
                    yield from order.add(lane, progress)


class _Lane:
    """A device and the piece of maps that it draws."""

    def __init__(self, copy: Copy, job: SharedJob) -> None:
        self.copy, self.job, self.size = copy, job, job.plan.batch_size
        self.first = 0
        self._steps: Iterator[SamplingProgress] = iter(())

    def take(self, piece: slice | None) -> bool:
        """Begin to draw the rows of `piece`; return whether there is one."""
        if piece is None:
            return False
        copy, job, self.first = self.copy, self.job, piece.start
        self._steps = sample_steps(
            copy.network,
            job.process,
            job.cond[piece],
            job.map_shape,
            replace(job.plan, first=job.plan.first + piece.start, batch_size=self.size),
            device=copy.device,
            precision=job.precision,
            without_gradients=job.without_gradients,
            prior=job.prior,
            restore=job.restore,
        )
        return True

    def step(self) -> SamplingProgress | None:
        """Make one step, in any thread; None at the end of the piece. Raises FocusError with the device's name."""
        try:
            if self.copy.device.type == "cuda":
                torch.cuda.set_device(self.copy.device)  # of this thread
            progress = next(self._steps, None)
        except RuntimeError as error:  # as torch raises them
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise FocusError(f"{self.copy.device}: sampling failed: {first}") from error
        if progress is not None and progress.maps_done < progress.maps_total and progress.finished is not None:
            self.size = len(progress.finished)  # memory ran out; what fits now fits the next piece
        return progress


class _Order:
    """Puts the progress of all devices together."""

    def __init__(self, total: int) -> None:
        self._total, self._given = total, 0
        self._waiting: dict[int, SamplingProgress] = {}
        self._drawn: dict[int, float] = {}

    def add(self, lane: _Lane, progress: SamplingProgress) -> Iterator[SamplingProgress]:
        """Yield the progress of all after a step of `lane`, with the batches whose turn it is."""
        self._drawn[lane.first] = progress.maps_drawn
        whole = replace(progress, maps_done=self._given, maps_total=self._total, maps_drawn=sum(self._drawn.values()))
        if progress.finished is None:
            yield whole
            return
        self._waiting[lane.first + progress.maps_done - len(progress.finished)] = whole
        while (ready := self._waiting.pop(self._given, None)) is not None:
            assert ready.finished is not None  # noqa: S101  (for the type checker: only finished ones wait)
            self._given += len(ready.finished)
            yield replace(ready, maps_done=self._given, maps_drawn=whole.maps_drawn)
