"""Faster forms of the network for training on a GPU: compiled by torch.compile, or recorded as a CUDA graph.

Which one pays, and what happens where it fails.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.errors import is_out_of_memory
from focus_engine.generative.process import Process
from focus_engine.generative.sampling import Precision
from focus_engine.models.graphed import GraphedTraining
from focus_engine.training.memory import release_memory

BACKEND = "inductor"
COMPILE_SECONDS = 60.0
"""Time of a compilation [s]; 54 s on an H100 for the UNet of 143 M weights."""
SAVED_SHARE = 0.28
"""Share of a step that compiled code saves; measured there in bf16, of that UNet layer by layer, whose layers are fused
now. For other networks it is a guess."""
EAGER_RATE = 1.7e14
"""FLOP/s that training reaches there uncompiled and layer by layer; on a slower GPU a run takes longer, and compiling
pays earlier."""
GRAPH_SECONDS = 0.1
"""Predicted time of a step below which it is recorded as a CUDA graph; launching its kernels takes the host up to that
long. Longer steps keep a GPU busy without."""


class CompiledNetwork(nn.Module):
    """A network whose training batches of `maps` maps run as compiled code.

    Others, such as the last of an epoch, run as they are: compiling once more for one batch an epoch does not pay. The
    weights, their names and so the checkpoints are those of `network`.
    """

    def __init__(self, network: nn.Module, maps: int) -> None:
        super().__init__()
        self.network, self.maps = network, maps
        self._compiled: Callable[..., Tensor] = torch.compile(network.forward, backend=BACKEND, dynamic=False)

    def forward(self, x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        """Return what the network returns; see `Network`."""
        compiled = len(x) == self.maps and torch.is_grad_enabled()
        return (self._compiled if compiled else self.network)(x, time, cond, unconditional)


def compiling_pays(flop: float | None, maps: int, batches: int, seconds_left: float) -> bool:
    """Return whether compiled code saves more than its compilation takes, on a GPU.

    The saved time is SAVED_SHARE of the predicted one: `batches` of `maps` maps at `flop` each and EAGER_RATE, all
    in at most `seconds_left`. Without `flop` the answer is no.
    """
    if flop is None:
        return False
    predicted = batches * flop * maps / EAGER_RATE
    return SAVED_SHARE * min(predicted, seconds_left) > COMPILE_SECONDS


def compile_network(
    network: nn.Module,
    process: Process,
    precision: Precision,
    device: torch.device,
    *,
    maps: tuple[int, int, int, int],
    cond_dim: int,
) -> tuple[nn.Module, str]:
    """Return `network` compiled for training on batches of shape `maps` (B, C, H, W), and "".

    The gradient of one batch of zeros is computed, so that nothing is left to compile. Where that fails, return
    `network` itself and the reason with a remedy.
    """
    return _after_trial(
        CompiledNetwork(network, maps[0]).train(), "compile", process, precision, device, maps, cond_dim
    )


def graph_network(
    network: nn.Module,
    process: Process,
    precision: Precision,
    device: torch.device,
    *,
    maps: tuple[int, int, int, int],
    cond_dim: int,
) -> tuple[nn.Module, str]:
    """Return `network` recorded as a CUDA graph for training on such batches, and ""; as `compile_network`."""
    return _after_trial(GraphedTraining(network).train(), "record", process, precision, device, maps, cond_dim)


def graph_pays(flop: float | None, maps: int) -> bool:
    """Return whether a step of `maps` maps of `flop` each is so short that the GPU would wait for launches."""
    return flop is not None and flop * maps / EAGER_RATE < GRAPH_SECONDS


def _after_trial(
    faster: CompiledNetwork | GraphedTraining,
    verb: str,
    process: Process,
    precision: Precision,
    device: torch.device,
    maps: tuple[int, int, int, int],
    cond_dim: int,
) -> tuple[nn.Module, str]:
    """Return `faster` once it has computed a gradient, and ""; where that fails, its network and the reason."""
    network = faster.network
    try:
        count = maps[0]
        zeros, flags = torch.zeros(maps, device=device), torch.zeros(count, dtype=torch.bool, device=device)
        cond, u = torch.zeros(count, cond_dim, device=device), torch.full((count,), 0.5, device=device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself
            with precision():
                losses = process.loss(faster, zeros, cond, u=u, noise=torch.ones_like(zeros), unconditional=flags)
            losses.sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001  (a compiler can fail in any way)
        words = _failure(error, verb)
    else:
        words = ""
    network.zero_grad(set_to_none=True)
    if words:
        release_memory()
    return (network, words) if words else (faster, "")


def _failure(error: Exception, verb: str) -> str:
    """Return why the network could not be compiled or recorded, and what to do."""
    without = {"compile": "uncompiled", "record": "without the graph"}[verb]
    if is_out_of_memory(error):
        return f"training.compile: out of memory while {verb.removesuffix('e')}ing; training goes on {without}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Set TORCH")]
    first = " ".join(lines[:2])  # the first names torch's part
    if verb == "record":
        what = f"{type(error).__name__}: {first[:300]}"
        return (
            f"training.compile: the step cannot be recorded as a CUDA graph here ({what}); training goes on without it"
        )
    return (
        f"training.compile: the network cannot be compiled here ({type(error).__name__}: {first[:300]}); training goes "
        "on uncompiled. torch.compile needs a C++ compiler such as g++, and Triton on a GPU; training.compile: false "
        "leaves it out, and on a GPU fuses the layers instead"
    )


def compile_wanted(
    settings: TrainingBlock, device: torch.device, before: bool | None, pays: Callable[[], bool]
) -> bool:
    """Return whether to compile: as the config says; with auto as the run did `before`, else on a GPU if it `pays`.

    `before` is None for a run that begins, or that goes on where another kind of device was used.
    """
    if settings.compile != "auto":
        return settings.compile
    if before is not None:
        return before
    return device.type == "cuda" and pays()
