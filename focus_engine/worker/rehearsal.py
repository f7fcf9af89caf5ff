"""The rehearsal of a training: a few timed steps, and from them the time, memory and disk that the whole would need.

Config, data, network and device are prepared as in the worker. The weights are thrown away, and nothing is written to
the run folder.
"""

import math
import shutil
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from focus_engine.allocator import share_one_heap
from focus_engine.config.beginning import check_beginning
from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.config.load import load_config
from focus_engine.config.samplers import choose_sampler
from focus_engine.config.schema import Config
from focus_engine.data.batches import fits, held_bytes
from focus_engine.data.maps import MapSet
from focus_engine.data.memory import free_memory
from focus_engine.data.opening import open_maps
from focus_engine.data.splits import split_by_simulation
from focus_engine.errors import FocusError
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.events.table import DataProgress
from focus_engine.generative.guidance import nfe_per_call
from focus_engine.models.build import count_parameters
from focus_engine.models.power_average import LENGTHS, PowerAverages
from focus_engine.runs.folder import RunFolder
from focus_engine.training.devices import choose_device, device_name
from focus_engine.training.initial_weights import InitialWeights
from focus_engine.training.loop import train
from focus_engine.training.memory import is_out_of_memory, memory_advice
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import PreparedData, prepare_data
from focus_engine.training.snapshots import most_kept
from focus_engine.training.validation import DRAWS
from focus_engine.worker.beginning import initial_weights
from focus_engine.worker.live import FEWEST_MAPS, maps_to_measure
from focus_engine.worker.probe import (
    FREE_SHARE,
    Probe,
    average_seconds,
    most_resident,
    probe,
    synchronise,
    update_seconds,
)
from focus_engine.worker.run_queue import RunQueue

TIMED_STEPS = 3
"""Number of timed steps, after a first one that is not timed."""
STAGES = 4
STEP_SECONDS = 8.0
"""Longest time for whole steps [s]; where they take longer, their cost is scaled from a part of one."""
READ_BYTES = 2**28
"""Larger sets are not read as a whole."""
FEWEST_READ = 256
"""Training maps that are read of them at least."""


@dataclass(frozen=True)
class Rehearsal:
    """The cost of a training.

    Attributes:
        method: one of `METHODS`.
        device: such as cuda:0.
        device_name: its maker's name.
        precision: float32 or bf16.
        n_parameters: of the network.
        maps: for training, validation and test.
        map_shape: channels, height, width.
        resident: whether the training maps are held on the device.
        batch_size: maps a batch.
        accumulate: batches a step.
        steps_per_epoch: optimiser steps.
        seconds_per_step: of an optimiser step.
        data_wait: share of that spent waiting for data.
        seconds_per_epoch: with validation, without samples.
        num_epochs: at most.
        sampling_seconds: of the samples of one epoch during training; None where none are drawn.
        measured: empty where whole steps were made; else the part of one that was, from which the rest is scaled.
        peak_memory: peak memory of the device, on a CPU of the process [bytes].
        free_memory: of the device before the run was prepared [bytes].
        checkpoint_bytes: of one checkpoint; three are kept, and a fourth exists while it is written.
        averages_bytes: of all snapshots of the averaged weights, at most.
        free_disk: on the disk of the run folder [bytes].
        init_from: what the run begins from (`InitialWeights.describe`); None for random weights.
        slowdown: how many times as long as alone this process took for its work, because other programs used the cores;
            all times are those beside them. None where it is unknown, and on a GPU.
    """

    method: str
    device: str
    device_name: str
    precision: str
    n_parameters: int
    maps: tuple[int, int, int]
    map_shape: tuple[int, int, int]
    resident: bool
    batch_size: int
    accumulate: int
    steps_per_epoch: int
    seconds_per_step: float
    data_wait: float
    seconds_per_epoch: float
    num_epochs: int
    sampling_seconds: float | None
    peak_memory: int
    free_memory: int
    checkpoint_bytes: int
    averages_bytes: int
    free_disk: int
    measured: str = ""
    init_from: dict[str, Any] | None = None
    slowdown: float | None = None

    @property
    def enough_disk(self) -> bool:
        """Whether the checkpoints and the snapshots of averages fit on the disk."""
        return 4 * self.checkpoint_bytes + self.averages_bytes < self.free_disk

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of `focus check --json`."""
        return asdict(self) | {"enough_disk": self.enough_disk}


def rehearse(run: RunFolder, *, device: str | None = None) -> Generator[DataProgress, None, Rehearsal]:
    """Yield the progress of simulating universes, where they are missing; return the cost of training `run`.

    Raises:
        InputError: config or data are wrong.
        FocusError: there is not enough memory; the message gives a batch that needs half of it.
    """
    share_one_heap()
    config = load_config(run.config).config
    check_beginning(config, str(run.config))
    yield DataProgress(what="opening the maps", done=0, total=STAGES)
    place = choose_device(device or config.device)
    initial = initial_weights(run, config)
    maps = yield from open_maps(config, run.path)
    free = free_memory(place)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    try:
        yield DataProgress(what="building the network", done=1, total=STAGES)
        whole = _whole(config, maps, place)
        data = prepare_data(config, maps, initial=initial, most_maps=whole.maps_to_read)
        prepared = _prepared(config, data, place, whole, initial)
        queue = RunQueue()
        yield DataProgress(what="timing a part of a step", done=2, total=STAGES)
        part = probe(prepared)
        steps = config.training.accumulate * part.seconds * (1 + min(TIMED_STEPS, whole.steps_per_epoch))
        affordable = steps <= STEP_SECONDS and (place.type == "cuda" or part.kept < FREE_SHARE * free)
        what = "timing steps" if affordable else "timing an update of the weights"
        yield DataProgress(what=what, done=3, total=STAGES)
        costs = _timed_costs(prepared, whole) if affordable else _scaled_costs(prepared, whole, part)
        slowdown = queue.slowdown() if place.type == "cpu" else None
        return _rehearsal(run, prepared, whole, costs, free, slowdown)
    except Exception as error:
        if is_out_of_memory(error):
            raise FocusError(memory_advice(config.training)) from error
        raise


def _prepared(
    config: Config, data: PreparedData, place: torch.device, whole: "_Whole", initial: InitialWeights | None
) -> PreparedRun:
    """Return the run, without the averages of its weights: for 146 M weights their copies take a second."""
    lean = config.model_copy(update={"training": config.training.model_copy(update={"averages": False})})
    prepared = prepare_run(lean, data, place, may_compile=False, resident=whole.resident, initial=initial)
    return replace(prepared, config=config)


@dataclass(frozen=True)
class _Whole:
    """Sizes of the whole training, of which the rehearsal reads `maps_to_read` maps (None: all)."""

    maps: tuple[int, int, int]
    steps_per_epoch: int
    validation_maps: int
    resident: bool
    maps_to_read: int | None
    unread_bytes: int


def _whole(config: Config, maps: MapSet, place: torch.device) -> _Whole:
    split = split_by_simulation(maps.n_simulations, config.data.train_split, config.data.split_seed)
    train_maps, held_out, test = (
        len(part) * maps.maps_per_simulation for part in (split.train, split.validation, split.test)
    )
    size, accumulate = config.training.batch_size, config.training.accumulate
    resident = fits(train_maps, maps.shape, place)
    wanted = max(FEWEST_READ, (1 + TIMED_STEPS) * size * accumulate)
    all_read = held_bytes(train_maps + held_out, maps.shape) <= READ_BYTES or wanted >= train_maps
    return _Whole(
        maps=(train_maps, held_out, test),
        steps_per_epoch=math.ceil(math.ceil(train_maps / size) / accumulate),
        validation_maps=held_out * max(1, math.ceil(DRAWS / held_out)),
        resident=resident,
        maps_to_read=None if all_read else wanted,
        unread_bytes=held_bytes(train_maps - wanted, maps.shape) if resident and not all_read else 0,
    )


@dataclass(frozen=True)
class _Costs:
    """What was measured, or scaled from it: seconds of a step, of its waits for data, of a validation, of samples."""

    step: float
    waited: float
    validation: float
    sampling: float | None
    peak_memory: int
    measured: str = ""


def _timed_costs(prepared: PreparedRun, whole: _Whole) -> _Costs:
    """Return the costs from whole steps."""
    if prepared.config.training.averages:
        prepared.state.averages = PowerAverages(prepared.state.network)
    seconds, waited = _time_steps(prepared)
    validation = _time_validation(prepared, whole)
    per_epoch = seconds * whole.steps_per_epoch + validation
    sampling = _time_sampling(prepared, per_epoch) if prepared.config.training.sample_every else None
    return _Costs(seconds, waited, validation, sampling, _peak_memory(prepared))


def _scaled_costs(prepared: PreparedRun, whole: _Whole, part: Probe) -> _Costs:
    """Return the costs from a part of a step and an update of the weights."""
    training = prepared.config.training
    seconds = training.accumulate * part.seconds + update_seconds(prepared, part.seconds)
    seconds += len(LENGTHS) * average_seconds(prepared) if training.averages else 0.0
    validation = 2 * whole.validation_maps / training.batch_size * part.forward
    _, height, width = prepared.data.maps.shape
    sampling = None
    if training.sample_every:
        plan = model_in_training(prepared).plan()
        method = prepared.process.method
        nfe = choose_sampler(plan.sampler, method).nfe(plan.steps, method) * nfe_per_call(plan.guidance)
        map_seconds = nfe * part.forward / training.batch_size
        per_epoch = seconds * whole.steps_per_epoch + validation
        sampling = map_seconds * maps_to_measure(map_seconds, training.sample_every * per_epoch)
    return _Costs(
        step=seconds,
        waited=0.0,
        validation=validation,
        sampling=sampling,
        peak_memory=_scaled_memory(prepared, part),
        measured=f"{part.maps} of {training.batch_size} maps a batch, {part.height} x {part.width} of {height} x "
        f"{width} pixels; scaled by the arithmetic",
    )


def _rehearsal(
    run: RunFolder, prepared: PreparedRun, whole: _Whole, costs: _Costs, free: int, slowdown: float | None
) -> Rehearsal:
    config = prepared.config
    return Rehearsal(
        method=config.method,
        device=str(prepared.device),
        device_name=device_name(prepared.device),
        precision=prepared.precision,
        n_parameters=count_parameters(prepared.state.network),
        maps=whole.maps,
        map_shape=prepared.data.maps.shape,
        resident=whole.resident,
        batch_size=config.training.batch_size,
        accumulate=config.training.accumulate,
        steps_per_epoch=whole.steps_per_epoch,
        seconds_per_step=costs.step,
        data_wait=min(1.0, costs.waited / costs.step) if costs.step else 0.0,
        seconds_per_epoch=costs.step * whole.steps_per_epoch + costs.validation,
        num_epochs=config.training.num_epochs,
        sampling_seconds=costs.sampling,
        peak_memory=costs.peak_memory + whole.unread_bytes,
        free_memory=free,
        checkpoint_bytes=_checkpoint_bytes(prepared),
        averages_bytes=_averages_bytes(config.training, count_parameters(prepared.state.network)),
        free_disk=shutil.disk_usage(run.path).free,
        measured=costs.measured,
        init_from=prepared.init_from,
        slowdown=slowdown,
    )


def _kept_averages(prepared: PreparedRun) -> int:
    """Return the bytes of the averages of the weights that training keeps and `prepared` lacks."""
    lacks = prepared.config.training.averages and prepared.state.averages is None
    return 4 * len(LENGTHS) * count_parameters(prepared.state.network) if lacks else 0


def _checkpoint_bytes(prepared: PreparedRun) -> int:
    return _tensor_bytes(prepared.state.to_dict()) + _kept_averages(prepared)


def _averages_bytes(training: TrainingBlock, weights: int) -> int:
    """Return the bytes of all snapshots of the averages: two in float16 each."""
    size = 2 * len(LENGTHS) * weights
    return size * most_kept(size, training.averages_gb) if training.averages else 0


def _time_steps(prepared: PreparedRun) -> tuple[float, float]:
    """Train for a few steps; return the seconds per step, and how many of these were spent waiting for data."""
    batches, times, waits = prepared.training.batches, [], []
    wanted = min(1 + TIMED_STEPS, prepared.training.steps_per_epoch)

    def stop_wanted() -> str | None:  # called before each step, and before validation
        synchronise(prepared.device)
        times.append(time.perf_counter())
        waits.append(batches.seconds_waited)
        return "now" if len(times) > wanted else None

    for _ in train(prepared.training, prepared.state, stop_wanted):  # type: ignore[arg-type]
        pass
    first = 1 if len(times) > 2 else 0  # the first step includes choosing and compiling kernels
    steps = len(times) - 1 - first
    return (times[-1] - times[first]) / steps, (waits[-1] - waits[first]) / steps


def _time_validation(prepared: PreparedRun, whole: _Whole) -> float:
    """Return the seconds of a validation, scaled up from one batch."""
    validation, state = prepared.training.validation, prepared.state
    times = []

    def cut_short() -> bool:
        synchronise(prepared.device)
        times.append(time.perf_counter())
        return len(times) > 1

    began = time.perf_counter()
    state.network.eval()
    validation.losses(state.ema.module, state.network, cut_short=cut_short)
    if len(times) < 2:  # the validation maps are one batch
        return time.perf_counter() - began
    in_batch = min(prepared.config.training.batch_size, whole.maps[1])
    return (times[1] - times[0]) * whole.validation_maps / in_batch


def _time_sampling(prepared: PreparedRun, seconds_per_epoch: float) -> float:
    """Return the seconds of drawing the samples of an epoch, scaled up from a few steps of the sampler."""
    model = model_in_training(prepared)
    count = min(FEWEST_MAPS, prepared.config.training.batch_size)
    plan = model.plan(batch_size=count)
    params = prepared.data.maps.params_of(prepared.data.maps.maps_of(prepared.data.split.validation)[:count])
    times = [time.perf_counter()]
    for _ in model.draw(params, plan):
        synchronise(prepared.device)
        times.append(time.perf_counter())
        if len(times) > 3:
            break
    steps = times[1:] if len(times) > 2 else times
    batch = (steps[-1] - steps[0]) / (len(steps) - 1) * plan.steps
    every = prepared.config.training.sample_every
    return batch * -(-maps_to_measure(batch / count, every * seconds_per_epoch) // count)


def _peak_memory(prepared: PreparedRun) -> int:
    """Return the peak memory so far; on a CPU with the copy from which a checkpoint is written (`HostCopy`)."""
    if prepared.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(prepared.device))
    return _checkpoint_bytes(prepared) + most_resident()


def _scaled_memory(prepared: PreparedRun, part: Probe) -> int:
    """Return the peak memory of whole steps, of which a part was made.

    Averages that `prepared` lacks count once as weights and once in the copy for a checkpoint.
    """
    lacking = _kept_averages(prepared)
    if prepared.device.type == "cuda":
        return _peak_memory(prepared) + lacking + int(part.kept)
    moments = _tensor_bytes(prepared.state.optimizer.state_dict())
    whole_step = part.before + moments + int(part.peak)
    return _checkpoint_bytes(prepared) + lacking + max(most_resident(), whole_step)


def _tensor_bytes(value: object) -> int:
    """Return the bytes of all tensors in nested containers."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(_tensor_bytes(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_tensor_bytes(item) for item in value)
    return 0
