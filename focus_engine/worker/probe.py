"""The cost of a training step from a part of its batch: fewer maps and fewer pixels, scaled by FLOP.

The gradient of a batch of 64 maps of 256 x 256 pixels through 146 M weights takes tens of minutes on two CPU cores and
more memory than most machines have. Of its maps a corner is cut out that takes a few seconds.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from focus_engine.data.batches import Batch
from focus_engine.models.recompute import recompute, recomputed_blocks
from focus_engine.training.flop import training_flop
from focus_engine.training.prepare import PreparedRun
from focus_engine.training.step import add_gradients, apply_gradients

PROBE_SECONDS = 8.0
"""Longest time for gradients of parts of a batch [s]."""
SIDES = (16, 64, 128, 256, 512)
"""Sides of corners [pixels]; the first is so small that it shows the constant part of the cost."""


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
    """

    maps: int
    height: int
    width: int
    seconds: float
    forward: float
    kept: float


def probe(prepared: PreparedRun) -> Probe:
    """Return the costs of a batch from gradients of ever larger parts, as many as PROBE_SECONDS allow.

    Costs are a constant, such as the conversion of the weights to bf16, and a term in the number of pixels. The latter
    is that of the two largest parts; per pixel it grows as the FLOP do, which for attention depend on the size.
    """
    batch = next(iter(prepared.training.batches.epoch(1)))
    size = prepared.config.training.batch_size * batch.maps[0].numel()
    # On a CPU the time of the process counts, stretched by what other programs take: they disturb short times most.
    clock = time.process_time if prepared.device.type == "cpu" else time.perf_counter
    done: list[tuple[Batch, float]] = []
    began, began_on_clock = time.perf_counter(), clock()
    for part in _parts(prepared, batch):
        if len(done) > 1 and time.perf_counter() - began + _expected(done, part.maps.numel()) > PROBE_SECONDS:
            break
        if not done:
            _timed(prepared, part, clock)  # chooses and compiles kernels
        done.append((part, _timed(prepared, part, clock)))
    stretch = (time.perf_counter() - began) / max(clock() - began_on_clock, 1e-9)
    part, seconds = done[-1]
    height, width = part.maps.shape[2:]
    growth = 1.0 if (height, width) == batch.maps.shape[2:] else _growth(prepared, part, batch)
    whole = stretch * _expected(done, growth * size)
    corners = [_cut(one, 1, *one.maps.shape[2:]) for one, _ in done[:2]]
    kept = [(one, float(_kept(prepared, one))) for one in corners]
    forward = _timed_forward(prepared, part, clock) * whole / seconds
    return Probe(len(part.maps), height, width, whole, forward, _expected(kept, size))


def _expected(done: list[tuple[Batch, float]], pixels: float) -> float:
    """Return the cost at a number of pixels, on the line through the last two parts, else in proportion to the last."""
    part, last = done[-1]
    slope = last / part.maps.numel()
    if len(done) > 1:
        before, less = done[-2]
        more = part.maps.numel() - before.maps.numel()
        slope = min(slope, (last - less) / more) if more and last > less else slope
    return last + slope * (pixels - part.maps.numel())


def update_seconds(prepared: PreparedRun) -> float:
    """Return the time of an update of weights and averages; the weights must have gradients."""
    for _ in range(2):  # the first makes the moments
        began = time.perf_counter()
        apply_gradients(prepared.training, prepared.state)
        synchronise(prepared.device)
        seconds = time.perf_counter() - began
        if seconds > PROBE_SECONDS / 4:
            break
    return seconds


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
        flop = training_flop(prepared.config.model, (channels, height, width))
        per_pixel.append(None if flop is None else flop / (height * width))
    return 1.0 if per_pixel[0] is None or per_pixel[1] is None else per_pixel[1] / per_pixel[0]


def _timed(prepared: PreparedRun, part: Batch, clock: Callable[[], float]) -> float:
    """Return the time of the gradient of a part of a batch."""
    network = prepared.state.network.train()
    network.zero_grad(set_to_none=True)
    synchronise(prepared.device)
    began = clock()
    add_gradients(prepared.training, network, 1, 0, part, len(part.maps))
    synchronise(prepared.device)
    return clock() - began


def _loss(prepared: PreparedRun, part: Batch) -> Tensor:
    u = torch.full((len(part.maps),), 0.5, device=part.maps.device)
    with prepared.context():
        return prepared.process.loss(
            prepared.state.network, part.maps, part.cond, u=u, noise=torch.ones_like(part.maps)
        )


def _timed_forward(prepared: PreparedRun, part: Batch, clock: Callable[[], float]) -> float:
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
