"""The choice of the form in which a network is trained: as it is, compiled, or as a CUDA graph."""

from dataclasses import dataclass

import torch
from torch import nn

from focus_engine.config.blocks.model import ModelBlock
from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.config.networks import NETWORKS
from focus_engine.data.batches import Share
from focus_engine.models.fused import fuses
from focus_engine.models.graphed import MOST_PIXELS
from focus_engine.training.budget import Limits
from focus_engine.training.checkpoint import Checkpoint
from focus_engine.training.compiled import (
    compile_network,
    compile_wanted,
    compiling_pays,
    graph_network,
    graph_pays,
)
from focus_engine.training.flop import training_flop
from focus_engine.training.step import Training


@dataclass(frozen=True, eq=False)
class TrainedForm:
    """What training evaluates.

    Attributes:
        module: the network itself, or a module around it.
        compiled: whether it is compiled code.
        graphed: whether a CUDA graph is replayed.
        problem: why it is neither although it should be; else empty.
    """

    module: nn.Module
    compiled: bool = False
    graphed: bool = False
    problem: str = ""


def fastest_form(
    training: Training,
    network: nn.Module,
    model: ModelBlock,
    maps: tuple[int, int, int],
    device: torch.device,
    *,
    epochs: int,
    before: bool | None,
    may_compile: bool,
) -> TrainedForm:
    """Return the form of `network` that training.compile asks for, on all ranks the same.

    Args:
        training: what is trained with; its `replica` is not read.
        network: the network of the state, described by `model`.
        model: the config's model block.
        maps: channels, height and width of a map.
        device: where the network is.
        epochs: that are left to train.
        before: whether the run that goes on was compiled on this kind of device; None for one that begins.
        may_compile: without it, nothing is compiled, but short steps are recorded.
    """
    settings, ranks = training.settings, training.ranks
    part, _ = Share(ranks.rank, ranks.size).of(min(settings.batch_size, training.batches.n_maps))
    count, flop = part.stop - part.start, training_flop(model, maps) if device.type == "cuda" else None
    short = graph_pays(flop, count) and may_graph(training, model, maps, count)

    def pays() -> bool:
        left = Limits.of(settings).seconds - training.clock.seconds()
        return (
            not fuses(network, device)
            and not short
            and compiling_pays(flop, count, len(training.batches) * epochs, left)
        )

    shape, cond_dim = (count, *maps), model.cond_dim
    if ranks.agree(int(may_compile and compile_wanted(settings, device, before, pays))):
        module, problem = compile_network(
            network, training.process, training.precision, device, maps=shape, cond_dim=cond_dim
        )
        if ranks.sum(float(bool(problem))):
            other = "training.compile: another rank cannot compile; training goes on uncompiled"
            return TrainedForm(network, problem=problem or other)
        return TrainedForm(module, compiled=True)
    if short and settings.compile == "auto":
        module, problem = graph_network(
            network, training.process, training.precision, device, maps=shape, cond_dim=cond_dim
        )
        return TrainedForm(module, graphed=not problem, problem=problem)
    return TrainedForm(network)


def may_graph(training: Training, model: ModelBlock, maps: tuple[int, int, int], count: int) -> bool:
    """Return whether a step of `count` maps can be replayed.

    Not with `accumulate`, which adds to gradients that a replay overwrites, in several ranks, with recomputed blocks,
    or for a network of the user's own.
    """
    settings = training.settings
    simple = settings.accumulate == 1 and training.ranks.size == 1 and not settings.activation_checkpointing
    return simple and model.from_ in NETWORKS and count * maps[1] * maps[2] <= MOST_PIXELS


def compiled_before(device: torch.device, saved: Checkpoint | None) -> bool | None:
    """Return whether the run was compiled on a device of this kind; None where it was not on such a one."""
    made = {} if saved is None else saved.provenance
    return made.get("compiled") if str(made.get("device")).partition(":")[0] == device.type else None


def compiles_surely(settings: TrainingBlock, device: torch.device, before: bool | None) -> bool:
    """Return whether compiled code is wanted even of a network whose layers run as one."""
    return compile_wanted(settings, device, before, lambda: False)
