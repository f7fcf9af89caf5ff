"""Networks recorded as CUDA graphs, which a GPU replays without waiting for the host to launch each kernel.

A step of a small network is thousands of kernels of a few microseconds, and launching each takes the host longer: on
an H100, 32 maps of 32 x 32 pixels took the network of the template `small` 28 ms layer by layer and 4.5 ms as a graph
(forward pass, backward pass and AdamW). A graph is of one shape of its inputs and reads the weights where they are, so
that they may change but not move.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from focus_engine.models import fused

Inputs = tuple[Tensor, ...]
log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()
"""torch records one graph at a time in a process; each lane of several GPUs is a thread."""

MOST_PIXELS = 2**20
"""Largest batch, in pixels of all maps, that is evaluated as a graph: larger ones keep the GPU busy by themselves, and
the memory of a graph cannot be used for anything else."""


class GraphedTraining(nn.Module):
    """A network whose training batches of the shape of `record` are replayed; others run as they are.

    A gradient may be overwritten by the next one, so that it must be used, or copied, before. The weights, their names
    and so the checkpoints are those of `network`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._shape: torch.Size | None = None
        self._replay: Any = None

    def forward(self, x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        """Return what the network returns; see `Network`. The first evaluation with gradients is recorded."""
        inputs = (x, time, cond) if unconditional is None else (x, time, cond, unconditional)
        if not torch.is_grad_enabled():
            return self._network(inputs)
        if self._shape is None:
            self._record(inputs)
        if x.shape != self._shape:
            return self._network(inputs)
        out: Tensor = self._replay(*inputs)
        return out

    def _network(self, inputs: Inputs) -> Tensor:
        out: Tensor = self.network(*inputs)
        return out

    def _record(self, inputs: Inputs) -> None:
        with _recording(inputs[0].device):
            module: Any = torch.cuda.make_graphed_callables(
                _Alone(self.network), tuple(one.clone() for one in inputs), allow_unused_input=True
            )
        self._replay = module.forward  # the module itself would be a second name of the weights
        self._shape = inputs[0].shape


class _Alone(nn.Module):
    """A module around a network, whose `forward` torch replaces instead of the network's own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        out: Tensor = self.network(*inputs)
        return out


class GraphedEvaluation(nn.Module):
    """A network whose evaluations without gradients are replayed, a graph for each shape; large ones run as they are.

    Where recording fails, the network runs as it is from then on.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._graphs: dict[tuple[object, ...], _Graph] = {}
        self._records = True

    def forward(self, x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        """Return what the network returns, (B, C, H, W); see `Network`."""
        inputs = (x, time, cond) if unconditional is None else (x, time, cond, unconditional)
        pixels = len(x) * x.shape[-2] * x.shape[-1]
        if not self._records or pixels > MOST_PIXELS or torch.is_grad_enabled():
            out: Tensor = self.network(*inputs)
            return out
        key = (*((one.shape, one.dtype) for one in inputs), torch.is_autocast_enabled("cuda"))
        if key in self._graphs or self._record(key, inputs):
            return self._graphs[key].replay(inputs)
        # Outside of the handling of the error, which would hold the memory of what failed.
        return self.forward(x, time, cond, unconditional)

    def _record(self, key: tuple[object, ...], inputs: Inputs) -> bool:
        """Record the evaluation of such inputs; return whether that succeeded."""
        try:
            self._graphs[key] = _Graph(self.network, inputs)
        except RuntimeError as error:
            log.warning("evaluations are not recorded as CUDA graphs: %s", error)
            self._records = False
            self._graphs.clear()
        return self._records


class _Graph:
    """One recorded evaluation."""

    def __init__(self, network: nn.Module, inputs: Inputs) -> None:
        device = inputs[0].device
        self._inputs = tuple(one.clone() for one in inputs)
        self._graph = torch.cuda.CUDAGraph()
        with _recording(device) as aside:
            aside.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(aside):
                network(*self._inputs)  # what is made at the first call only must not be recorded
            torch.cuda.current_stream(device).wait_stream(aside)
            with torch.cuda.graph(self._graph, stream=aside, capture_error_mode="thread_local"):
                self._output: Tensor = network(*self._inputs)

    def replay(self, inputs: Inputs) -> Tensor:
        """Return the output for `inputs`, in memory of its own."""
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given)
        self._graph.replay()
        return self._output.clone()


@contextlib.contextmanager
def _recording(device: torch.device) -> Iterator[torch.cuda.Stream]:
    """Record on `device` within the context, alone in this process, by the stream that is given.

    torch leaves its stream where a recording fails, and otherwise records on a stream of the device of its first graph.
    Autocast's copies of weights are made within: a graph must not read what lives outside.
    """
    cast, dtype = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
    with _one_at_a_time, torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
        aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        torch.cuda.graph.default_capture_stream = aside
        with torch.autocast(device.type, dtype, enabled=cast, cache_enabled=False), fused.always():
            yield aside
