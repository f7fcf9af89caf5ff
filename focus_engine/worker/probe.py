"""The cost of a training step from a part of its batch: fewer maps and fewer pixels, scaled by FLOP.

The gradient of a batch of 64 maps of 256 x 256 pixels through 143 M weights takes tens of minutes on two CPU cores and
more memory than most machines have. Of its maps a corner is cut out that takes a few seconds.
"""

import math
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from focus_engine.data.batches import Batch
from focus_engine.data.memory import free_memory
from focus_engine.models.recompute import recompute, recomputed_blocks
from focus_engine.training.flop import forward_flop
from focus_engine.training.prepare import PreparedRun
from focus_engine.training.step import add_gradients, apply_gradients

PROBE_SECONDS = 8.0
"""Longest time for the parts of a batch [s], as far as it can be predicted, beside the first two."""
SHORT_SECONDS = 0.25
"""Shorter gradients are timed again, without the choice of kernels."""
FREE_SHARE = 0.5
"""Share of the free memory of a CPU's host that the activations of a part may take."""
SIDES = (16, 64, 128, 256, 512)
"""Sides of corners [pixels]; the first is so small that it shows the constant part of the cost."""
IMPRECISE_SECONDS = 1.0
"""Parts of up to this cost are measured even if there is no time left: shorter ones are imprecise."""
SMALL_SHARE = 0.02
"""Share of the time of a batch below which the time of an update is not measured twice."""
SECOND = 2
"""Place of the largest part that is measured whatever it costs: a corner of 128 x 128 pixels."""
FEWEST_KEPT_BYTES = 2**28
"""Parts that keep less for the backward pass do not show the peak memory: what was freed before has room for them."""
PEAK_OVER_KEPT = 1.9
"""Peak memory of a step on a CPU beside weights and optimiser, over the kept activations, where it is not measured.

The backward pass holds 1.1 of it at once; more are the work space of convolutions and gaps between freed tensors.
"""
PEAKS_OVER_KEPT = (1.2, 2.3)
"""Lowest and highest that were found."""
GAPS = 1.06
"""Peak memory of a batch over that of its parts in proportion: gaps between freed tensors grow with them."""
BACKWARD = 3.0
"""Cost of a gradient over that of its forward pass, for choosing parts."""


@dataclass(frozen=True)
class Probe:
    """Costs of a whole batch, scaled from those of a part.

    Attributes:
        maps: number of maps of the part.
        height: of the corner of each [pixels].
        width: of the corner of each [pixels].
        seconds: forward and backward pass of the batch.
        forward: forward pass of the batch alone.
        kept: memory of the activations that it keeps for the backward pass [bytes].
        before: peak memory of the process before the larger parts, on a CPU; with the gradients of the weights [bytes].
        peak: peak memory of forward and backward pass beside that, on a CPU [bytes].
    """

    maps: int
    height: int
    width: int
    seconds: float
    forward: float
    kept: float
    before: int = 0
    peak: float = 0.0


Measured = list[tuple[Batch, float]]
"""Parts of a batch and what was measured of each, seconds or bytes."""


class _Clock:
    """Seconds of work: on a CPU the time of the process, because other programs disturb short times most.

    `stretch` is what the last gradient took: wall time over that of this clock.
    """

    def __init__(self, device: torch.device) -> None:
        self._read = time.process_time if device.type == "cpu" else time.perf_counter
        self.stretch = 1.0

    def __call__(self) -> float:
        return self._read()


def probe(prepared: PreparedRun) -> Probe:
    """Return the costs of a batch from gradients of its smallest part and of the largest ones that there is time for.

    Costs are a constant, such as the conversion of the weights to bf16, and a term in the number of pixels. The latter
    is that of the two largest parts; per pixel it grows as the FLOP do, which for attention depend on the size.
    Forward passes of the two smallest parts show the memory, and how large a part can be.
    """
    began, clock = time.perf_counter(), _Clock(prepared.device)
    batch = next(iter(prepared.training.batches.epoch(1)))
    parts, size = list(_parts(prepared, batch)), prepared.config.training.batch_size * batch.maps[0].numel()
    kept, forward = _forward_passes(prepared, parts[:2], clock)
    done = [(parts[0], _timed(prepared, parts[0], clock))]
    resident = [(parts[0], float(most_resident()))]

    def left() -> float:
        return PROBE_SECONDS - (time.perf_counter() - began)

    while (larger := _next(prepared, parts, done, kept, forward, left() / 2)) is not None:
        done.append((larger, _timed(prepared, larger, clock)))
        resident.append((larger, float(most_resident())))
    part, seconds = done[-1]
    if seconds * clock.stretch < PROBE_SECONDS / 2:  # without the first use of memory, which a training hardly sees
        seconds = _timed(prepared, part, clock)
        done[-1] = (part, seconds)
    share = min(1.0, _timed_forward(prepared, part, clock) / seconds)
    height, width = part.maps.shape[2:]
    growth = 1.0 if (height, width) == batch.maps.shape[2:] else _growth(prepared, part, batch)
    whole = clock.stretch * _expected(done, growth * size)
    before = int(resident[0][1])
    memory = _expected(kept, size)
    return Probe(
        *(len(part.maps), height, width, whole, share * whole, memory, before),
        peak=_peak(resident, _expected(kept, part.maps.numel()), memory, size),
    )


def _peak(resident: Measured, kept_by_part: float, kept: float, size: int) -> float:
    """Return the peak memory of a batch beside that of the first part, from the peaks of the process [bytes].

    `kept_by_part` and `kept` are what the last part and the batch keep for the backward pass.
    """
    if kept_by_part < FEWEST_KEPT_BYTES:
        return PEAK_OVER_KEPT * kept
    low, high = PEAKS_OVER_KEPT
    measured = GAPS * (_expected(resident, size) - resident[0][1])
    return min(max(measured, low * kept), high * kept)


def _forward_passes(prepared: PreparedRun, parts: list[Batch], clock: _Clock) -> tuple[Measured, Measured]:
    """Return the kept memory and the time of the forward pass of the first map of each part."""
    kept: Measured = []
    forward: Measured = []
    for part in parts:
        corner, start = _cut(part, 1, *part.maps.shape[2:]), clock()
        kept.append((corner, float(_kept(prepared, corner))))
        forward.append((corner, clock() - start))
    return kept, forward


def most_resident() -> int:
    """Return the largest memory that this process has had [bytes]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _next(
    prepared: PreparedRun, parts: list[Batch], done: Measured, kept: Measured, forward: Measured, seconds: float
) -> Batch | None:
    """Return the largest part whose gradient fits into `seconds` and into the memory; None if it is done already.

    A second part is done in any case: the first of `parts` up to SECOND that is expected to cost twice as much as the
    smallest, so that their difference is large against the error of each. If it cost less, so is a third.
    """
    largest, costs = done[-1][0].maps.numel(), _costs(parts, done, forward)
    best = None
    if len(done) == 1 or done[-1][1] < 2 * done[0][1]:
        candidates = [part for part, cost in zip(parts, costs, strict=True) if cost >= 2 * done[0][1]]
        best = min([*candidates, *parts[: SECOND + 1][-1:]], key=lambda part: part.maps.numel())
        best = best if best.maps.numel() > largest else None
    free = FREE_SHARE * free_memory(prepared.device) if prepared.device.type == "cpu" else math.inf
    for part, cost in zip(parts, costs, strict=True):
        pixels = part.maps.numel()
        # A part little larger than the last adds nothing.
        if pixels >= 2 * largest and cost <= max(seconds, IMPRECISE_SECONDS) and _expected(kept, pixels) <= free:
            best = part
    return best


def _costs(parts: list[Batch], done: Measured, forward: Measured) -> list[float]:
    """Return the expected times of the gradients of `parts`; before there are two, by those of forward passes."""
    if len(done) > 1:
        return [_expected(done, part.maps.numel()) for part in parts]
    smallest, seconds = done[0]
    less = _expected(forward, smallest.maps.numel())
    return [seconds + BACKWARD * (_expected(forward, part.maps.numel()) - less) for part in parts]


def _expected(done: Measured, pixels: float) -> float:
    """Return the cost at a number of pixels, on the line through the last two parts, else in proportion to the last."""
    part, last = done[-1]
    slope = last / part.maps.numel()
    if len(done) > 1:
        before, less = done[-2]
        more = part.maps.numel() - before.maps.numel()
        slope = min(slope, (last - less) / more) if more and last > less else slope
    return last + slope * (pixels - part.maps.numel())


def update_seconds(prepared: PreparedRun, batch: float) -> float:
    """Return the time of an update of weights and averages; the weights must have gradients.

    The first one also makes the moments. It is repeated unless it took little beside a batch of `batch` seconds.
    """
    for _ in range(2):
        began = time.perf_counter()
        apply_gradients(prepared.training, prepared.state)
        synchronise(prepared.device)
        seconds = time.perf_counter() - began
        if seconds < SMALL_SHARE * batch or seconds > PROBE_SECONDS / 2:
            break
    return seconds


def average_seconds(prepared: PreparedRun) -> float:
    """Return the time of an update of one average of the weights."""
    began = time.perf_counter()
    prepared.state.ema.update(prepared.state.network)
    synchronise(prepared.device)
    return time.perf_counter() - began


def synchronise(device: torch.device) -> None:
    """Wait until the device is idle, so that the clock may be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _parts(prepared: PreparedRun, batch: Batch) -> Iterator[Batch]:
    """Yield parts by size: corners of a map for each thread that shares a batch, more maps, the batch."""
    stride, (height, width) = getattr(prepared.state.network, "stride", 1), batch.maps.shape[2:]
    count = prepared.training.parts.count(len(batch.maps))
    for side in (-(-wanted // stride) * stride for wanted in SIDES):
        if side < max(height, width):
            yield _cut(batch, count, min(side, height), min(side, width))
    while count < len(batch.maps):
        yield _cut(batch, count, height, width)
        count *= 2
    yield batch


def _cut(batch: Batch, count: int, height: int, width: int) -> Batch:
    maps = batch.maps[:count, :, :height, :width].contiguous()
    return replace(batch, maps=maps, cond=batch.cond[:count], ids=batch.ids[:count], whole=count, part=slice(0, count))


def _growth(prepared: PreparedRun, part: Batch, batch: Batch) -> float:
    """Return the FLOP per pixel of whole maps over those of the corners of a part; 1 if FLOP are unknown."""
    per_pixel = []
    for one in (part, batch):
        channels, height, width = one.maps.shape[1:]
        flop = forward_flop(prepared.config.model, (channels, height, width))
        per_pixel.append(None if flop is None else flop / (height * width))
    return 1.0 if per_pixel[0] is None or per_pixel[1] is None else per_pixel[1] / per_pixel[0]


def _timed(prepared: PreparedRun, part: Batch, clock: _Clock) -> float:
    """Return the time of the gradient of a part of a batch."""
    network, seconds = prepared.state.network.train(), 0.0
    for _ in range(2):
        network.zero_grad(set_to_none=True)
        synchronise(prepared.device)
        began, wall = clock(), time.perf_counter()
        add_gradients(prepared.training, network, 1, 0, part, len(part.maps))
        synchronise(prepared.device)
        seconds = clock() - began
        clock.stretch = (time.perf_counter() - wall) / max(seconds, 1e-9)
        if seconds > SHORT_SECONDS and prepared.device.type == "cpu":
            break
    return seconds


def _loss(prepared: PreparedRun, part: Batch) -> Tensor:
    u = torch.full((len(part.maps),), 0.5, device=part.maps.device)
    with prepared.context():
        return prepared.process.loss(
            prepared.state.network, part.maps, part.cond, u=u, noise=torch.ones_like(part.maps)
        )


def _timed_forward(prepared: PreparedRun, part: Batch, clock: _Clock) -> float:
    began = clock()
    with torch.no_grad():
        _loss(prepared, part)
    synchronise(prepared.device)
    return clock() - began


def _kept(prepared: PreparedRun, part: Batch) -> int:
    """Return the bytes that the forward pass keeps for the backward pass, without the weights.

    Of blocks that are recomputed these are their inputs; the backward pass then holds the rest of one block at a time.
    """
    network, kept = prepared.state.network, _Kept(prepared.state.network)
    with kept:
        _loss(prepared, part)
    blocks = [block for block in recomputed_blocks(network) if block.recomputes]
    if not blocks:
        return kept.bytes
    entered: list[int] = []
    of_blocks: list[int] = []
    inside = _Kept(network)
    hooks = [block.register_forward_pre_hook(lambda *_: entered.append(inside.bytes)) for block in blocks]
    hooks += [
        block.register_forward_hook(lambda *_: of_blocks.append(inside.bytes - entered.pop())) for block in blocks
    ]
    recompute(network, on=False)
    try:
        with inside:
            _loss(prepared, part)
    finally:
        recompute(network, on=True)
        for hook in hooks:
            hook.remove()
    return kept.bytes + max(of_blocks)


class _Kept(torch.autograd.graph.saved_tensors_hooks):
    """The memory of the tensors that are saved for the backward pass in this context, without the weights [bytes]."""

    def __init__(self, network: torch.nn.Module) -> None:
        self._weights = {one.untyped_storage().data_ptr() for one in network.parameters()}
        self._storages: dict[int, int] = {}
        super().__init__(self._keep, lambda saved: saved)

    @property
    def bytes(self) -> int:
        """The memory of what was saved so far."""
        return sum(self._storages.values())

    def _keep(self, saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self._storages[storage.data_ptr()] = storage.nbytes()
        return saved
