"""Preparation of a run from its config: data, split, normalisation, network, generative process and state.

The worker, the rehearsal and the tests all build their runs here, so that every run is built the same way.
"""

import json
import math
import platform
import sys
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any, Self

import numpy as np
import torch

from focus_engine.allocator import keep_freed_memory
from focus_engine.config.beginning import check_beginning
from focus_engine.config.heap import needs_one_heap
from focus_engine.config.schema import Config, plain_config
from focus_engine.data.batches import Batches, Share
from focus_engine.data.maps import MapSet
from focus_engine.data.symmetries import Augmentation
from focus_engine.errors import InputError
from focus_engine.generative.build import build_process
from focus_engine.generative.process import Process
from focus_engine.generative.sampling import Precision
from focus_engine.models.batch_parts import WHOLE, BatchParts
from focus_engine.models.build import build_network
from focus_engine.models.fused import placed, why_not_fused
from focus_engine.models.recompute import recompute
from focus_engine.training.budget import Clock
from focus_engine.training.checkpoint import Checkpoint
from focus_engine.training.devices import choose_precision, device_name, git_commit, precision_context
from focus_engine.training.faster import compiled_before, compiles_surely, fastest_form
from focus_engine.training.initial_weights import InitialWeights
from focus_engine.training.prepared_data import PreparedData
from focus_engine.training.ranks import ALONE, Ranks
from focus_engine.training.state import TrainState, new_state
from focus_engine.training.step import Training
from focus_engine.training.validation import Validation
from focus_engine.trust import stamp
from focus_engine.version import __version__


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """A run ready to train.

    Attributes:
        config: the checked config.
        data: opened maps.
        process: the generative process.
        training: the fixed inputs of the loop.
        state: new, or restored from a checkpoint.
        device: the device of training.
        precision: float32 or bf16.
        context: the context of network evaluations in that precision.
        compiled: whether compiled code is trained.
        graphed: whether a CUDA graph is replayed.
        slower: why training is slower than it could be: a network that cannot be compiled or recorded, layers that
            do not run as one.
        init_from: what the run began from (`InitialWeights.describe`); None for random weights.
    """

    config: Config
    data: PreparedData
    process: Process
    training: Training
    state: TrainState
    device: torch.device
    precision: str
    context: Precision
    compiled: bool = False
    graphed: bool = False
    slower: tuple[str, ...] = ()
    init_from: dict[str, Any] | None = None

    def checkpoint(self) -> Checkpoint:
        """Return a checkpoint of the current state."""
        made = provenance(self.config, self.device, self.precision)
        return Checkpoint(
            config=plain_config(self.config),
            state=self.state.to_dict(),
            normaliser=self.data.normaliser.to_dict(),
            scaler=self.data.scaler.to_dict(),
            data=self.data.describe(),
            provenance=made
            | {
                "seconds": self.training.clock.seconds(),
                "compiled": self.compiled,
                "graphed": self.graphed,
                "init_from": self.init_from,
            },
        )


@dataclass(frozen=True, eq=False)
class Place:
    """Where and how a network is evaluated in training.

    Attributes:
        device: of network and batches.
        precision: float32 or bf16.
        context: of network evaluations in that precision.
        ranks: that train together.
        saved: the checkpoint that the run goes on from, if any.
    """

    device: torch.device
    precision: str
    context: Precision
    ranks: Ranks
    saved: Checkpoint | None

    @classmethod
    def of(cls, config: Config, device: torch.device, ranks: Ranks, saved: Checkpoint | None) -> Self:
        """Return the place of a run on `device`."""
        precision = precision_of_run(config, device, saved)
        return cls(device, precision, precision_context(precision, device), ranks, saved)

    @property
    def compiled_before(self) -> bool | None:
        """Whether the run was compiled on a device of this kind; None where it was not on such a one."""
        return compiled_before(self.device, self.saved)


def prepare_run(
    config: Config,
    data: PreparedData,
    device: torch.device,
    *,
    saved: Checkpoint | None = None,
    clock: Clock | None = None,
    ranks: Ranks = ALONE,
    initial: InitialWeights | None = None,
    may_compile: bool = True,
    resident: bool | None = None,
) -> PreparedRun:
    """Build network, generative process and batches on `device`; restore the state from `saved` if given.

    A new run begins from the weights `initial`, by default random ones.

    training.max_minutes counts by `clock`, by default one that starts now. Each of several `ranks` reads its part of
    every batch. Without `may_compile` nothing is compiled; `resident` is that of `Batches`.

    Raises:
        InputError: the settings do not fit together or do not fit the checkpoint, or cannot train a new run.
    """
    if device.type == "cpu":
        keep_freed_memory(one_heap=needs_one_heap(config, math.prod(data.maps.shape[1:])))
    place, process = Place.of(config, device, ranks, saved), build_process(config)
    if saved is None:
        check_beginning(config)
        process.check_trainable()
    network, began = _begun_network(config, data, place, initial)
    state = new_state(network, config.training)
    if saved is not None:
        restore_state(state, saved)
    parts = BatchParts.of(network, device) if ranks.size == 1 else WHOLE
    training = _training(config, data, process, place, clock or Clock(), parts, resident)
    if saved is not None and saved.config["training"]["batch_size"] != config.training.batch_size:
        _convert_position(state, training.batches)
    form = fastest_form(
        training,
        network,
        config.model,
        data.maps.shape,
        device,
        epochs=config.training.num_epochs - state.epoch,
        before=place.compiled_before,
        may_compile=may_compile,
    )
    # Threads that share a batch would each compile it; compiled code divides its loops among threads itself.
    parts = WHOLE if form.compiled else parts
    training = replace(training, replica=ranks.replica(form.module, device), parts=parts)
    return PreparedRun(
        *(config, data, process, training, state, device, place.precision, place.context),
        compiled=form.compiled,
        graphed=form.graphed,
        slower=tuple(filter(None, (form.problem, why_not_fused(network, device)))),
        init_from=began,
    )


def _begun_network(
    config: Config, data: PreparedData, place: Place, initial: InitialWeights | None
) -> tuple[torch.nn.Module, dict[str, Any] | None]:
    """Return the network on its device with the weights that a new run begins from, and what these are of."""
    compiles = compiles_surely(config.training, place.device, place.compiled_before)
    network = build_network(config.model, seed=config.training.seed)
    network = placed(network, place.device, fuse=not compiles, precision=place.precision)
    check_map_size(network, data.maps)
    _recompute_blocks(network, config)
    if place.saved is not None:
        return network, place.saved.provenance.get("init_from")
    if initial is None:
        return network, None
    initial.load_into(network)
    return network, initial.describe(data.maps)


def _training(
    config: Config,
    data: PreparedData,
    process: Process,
    place: Place,
    clock: Clock,
    parts: BatchParts,
    resident: bool | None,
) -> Training:
    """Return the fixed inputs of the loop, which evaluates the network of the state."""
    settings, ranks = config.training, place.ranks
    batches, held_out = _batches(config, data, place, resident)
    validation = Validation(held_out, process, seed=settings.seed, precision=place.context, ranks=ranks, parts=parts)
    return Training(settings, process, batches, validation, place.context, clock, ranks, None, parts)


def _convert_position(state: TrainState, batches: Batches) -> None:
    """Convert the position in the epoch from batches of the size before to those of the present size."""
    done = state.running.maps
    state.running.batch = len(batches) if done == batches.n_maps else done // batches.batch_size


def _batches(config: Config, data: PreparedData, place: Place, resident: bool | None) -> tuple[Batches, Batches]:
    """Return the batches of the training maps, with their symmetries, and those of the validation maps."""
    settings, split, maps = config.training, data.split, data.maps
    augmentation = settings.augmentation
    symmetries = Augmentation(augmentation.rotation_p, augmentation.flip_p, augmentation.shift)
    made = partial(
        Batches,
        normaliser=data.normaliser,
        scaler=data.scaler,
        standard=None if data.own_spectrum is None else data.own_spectrum.standardise,
        batch_size=settings.batch_size,
        seed=settings.seed,
        device=place.device,
        num_workers=config.data.num_workers,
        resident=resident,
        share=Share(place.ranks.rank, place.ranks.size),
    )
    training = made(
        maps,
        maps.maps_of(split.train),
        shuffle=config.data.shuffle,
        augmentation=symmetries if settings.use_augmentation else None,
    )
    return training, made(maps, maps.maps_of(split.validation))


def _recompute_blocks(network: torch.nn.Module, config: Config) -> None:
    """Let blocks be recomputed as training.activation_checkpointing says. Raises InputError if there are none."""
    wanted = config.training.activation_checkpointing
    if not recompute(network, on=wanted) and wanted:
        raise InputError(
            f"training.activation_checkpointing: {config.model.from_} has no block that can be recomputed (a "
            "focus_engine.models.recompute.RecomputedBlock); set it to false",
            keys=("training.activation_checkpointing",),
        )


def precision_of_run(config: Config, device: torch.device, saved: Checkpoint | None) -> str:
    """Return the precision of a run: with `auto`, a resumed run keeps its own on a device of the same kind."""
    made = {} if saved is None else saved.provenance
    before, kind = made.get("precision"), str(made.get("device")).partition(":")[0]
    if config.training.precision == "auto" and kind == device.type and before in ("float32", "bf16"):
        return str(before)
    return choose_precision(config.training.precision, device)


def check_map_size(network: torch.nn.Module, maps: MapSet) -> None:
    """Raise InputError with the stride if the network does not accept maps of this size."""
    stride, remedy = getattr(network, "stride", 1), getattr(network, "size_remedy", "")
    _, height, width = maps.shape
    if height % stride or width % stride:
        raise InputError(
            f"{maps.maps_path}: maps of {height} x {width} pixels do not fit a network of stride {stride}: "
            f"sides must be multiples of {stride}" + (f"; use {remedy}" if remedy else "")
        )


def restore_state(state: TrainState, saved: Checkpoint) -> None:
    """Load `saved` into `state`. Raises InputError if the checkpoint is of another model."""
    try:
        state.load_dict(saved.state)
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        first = (str(error).splitlines() or ["?"])[0]
        raise InputError(f"the checkpoint is of another model than config.yaml describes: {first}") from None


def config_digest(config: Config) -> str:
    """Return the SHA-256 of the checked config."""
    return sha256(json.dumps(plain_config(config), sort_keys=True).encode()).hexdigest()


def provenance(config: Config, device: torch.device, precision: str) -> dict[str, Any]:
    """Return versions, host, device and seed of a run, as plain data."""
    return {
        "versions": versions(),
        "host": platform.node(),
        "device": str(device),
        "device_name": device_name(device),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "seed": config.training.seed,
        "git_commit": git_commit(),
        "stamp": stamp(config.model.from_),
        "config_sha256": config_digest(config),
    }


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {
        "focus": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "torch": str(torch.__version__),  # torch's version class would be refused by weights_only
        "numpy": np.__version__,
    }
