"""The rehearsal of a training: a few timed steps, and from them the time, memory and disk that the whole would need.

Config, data, network and device are prepared as in the worker. The weights are thrown away, and nothing is written to
the run folder.
"""

import resource
import shutil
import sys
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.config.load import load_config
from focus_engine.data.memory import free_memory
from focus_engine.data.opening import open_maps
from focus_engine.errors import FocusError
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.events.table import DataProgress
from focus_engine.models.build import count_parameters
from focus_engine.models.power_average import LENGTHS
from focus_engine.runs.folder import RunFolder
from focus_engine.training.devices import choose_device, device_name
from focus_engine.training.loop import train
from focus_engine.training.memory import is_out_of_memory, memory_advice
from focus_engine.training.prepare import PreparedRun, prepare_data, prepare_run
from focus_engine.training.snapshots import most_kept
from focus_engine.worker.beginning import initial_weights
from focus_engine.worker.live import FEWEST_MAPS, maps_to_measure

TIMED_STEPS = 3
"""Number of timed steps, after a first one that is not timed."""


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
        peak_memory: peak memory of the device, on a CPU of the process [bytes].
        free_memory: of the device before the run was prepared [bytes].
        checkpoint_bytes: of one checkpoint; three are kept, and a fourth exists while it is written.
        averages_bytes: of all snapshots of the averaged weights, at most.
        free_disk: on the disk of the run folder [bytes].
        init_from: what the run begins from (`InitialWeights.describe`); None for random weights.
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
    init_from: dict[str, Any] | None = None

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
    config = load_config(run.config).config
    place = choose_device(device or config.device)
    initial = initial_weights(run, config)
    maps = yield from open_maps(config, run.path)
    free = free_memory(place)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    try:
        prepared = prepare_run(config, prepare_data(config, maps, None, initial), place, initial=initial)
        return _measured(run, prepared, free)
    except Exception as error:
        if is_out_of_memory(error):
            raise FocusError(memory_advice(config.training)) from error
        raise


def _measured(run: RunFolder, prepared: PreparedRun, free: int) -> Rehearsal:
    config, training, data = prepared.config, prepared.training, prepared.data
    seconds, waited = _time_steps(prepared)
    validation, checkpoint = _time_validation(prepared), _tensor_bytes(prepared.state.to_dict())
    per_epoch = seconds * training.steps_per_epoch + validation
    per_simulation = data.maps.maps_per_simulation
    train_maps, validation_maps, test_maps = (
        len(part) * per_simulation for part in (data.split.train, data.split.validation, data.split.test)
    )
    return Rehearsal(
        method=config.method,
        device=str(prepared.device),
        device_name=device_name(prepared.device),
        precision=prepared.precision,
        n_parameters=count_parameters(prepared.state.network),
        maps=(train_maps, validation_maps, test_maps),
        map_shape=data.maps.shape,
        resident=training.batches.resident,
        batch_size=config.training.batch_size,
        accumulate=config.training.accumulate,
        steps_per_epoch=training.steps_per_epoch,
        seconds_per_step=seconds,
        data_wait=min(1.0, waited / seconds) if seconds else 0.0,
        seconds_per_epoch=per_epoch,
        num_epochs=config.training.num_epochs,
        sampling_seconds=_time_sampling(prepared, per_epoch) if config.training.sample_every else None,
        peak_memory=_peak_memory(prepared.device, checkpoint),
        free_memory=free,
        checkpoint_bytes=checkpoint,
        averages_bytes=_averages_bytes(config.training, count_parameters(prepared.state.network)),
        free_disk=shutil.disk_usage(run.path).free,
        init_from=prepared.init_from,
    )


def _averages_bytes(training: TrainingBlock, weights: int) -> int:
    """Return the bytes of all snapshots of the averages: two in float16 each."""
    size = 2 * len(LENGTHS) * weights
    return size * most_kept(size, training.averages_gb) if training.averages else 0


def _time_steps(prepared: PreparedRun) -> tuple[float, float]:
    """Train for a few steps; return the seconds per step, and how many of these were spent waiting for data."""
    batches, times, waits = prepared.training.batches, [], []
    wanted = min(1 + TIMED_STEPS, prepared.training.steps_per_epoch)

    def stop_wanted() -> str | None:  # called before each step, and before validation
        _synchronise(prepared.device)
        times.append(time.perf_counter())
        waits.append(batches.seconds_waited)
        return "now" if len(times) > wanted else None

    for _ in train(prepared.training, prepared.state, stop_wanted):  # type: ignore[arg-type]
        pass
    first = 1 if len(times) > 2 else 0  # the first step includes choosing and compiling kernels
    steps = len(times) - 1 - first
    return (times[-1] - times[first]) / steps, (waits[-1] - waits[first]) / steps


def _time_validation(prepared: PreparedRun) -> float:
    """Return the seconds of a validation, scaled up from one batch."""
    validation, state = prepared.training.validation, prepared.state
    times = []

    def cut_short() -> bool:
        _synchronise(prepared.device)
        times.append(time.perf_counter())
        return len(times) > 1

    began = time.perf_counter()
    state.network.eval()
    validation.losses(state.ema.module, state.network, cut_short=cut_short)
    if len(times) < 2:  # the validation maps are one batch
        return time.perf_counter() - began
    return (times[1] - times[0]) * validation.n_batches


def _time_sampling(prepared: PreparedRun, seconds_per_epoch: float) -> float:
    """Return the seconds of drawing the samples of an epoch, scaled up from a few steps of the sampler."""
    model = model_in_training(prepared)
    count = min(FEWEST_MAPS, prepared.config.training.batch_size)
    plan = model.plan(batch_size=count)
    params = prepared.data.maps.params_of(prepared.data.maps.maps_of(prepared.data.split.validation)[:count])
    times = [time.perf_counter()]
    for _ in model.draw(params, plan):
        _synchronise(prepared.device)
        times.append(time.perf_counter())
        if len(times) > 3:
            break
    steps = times[1:] if len(times) > 2 else times
    batch = (steps[-1] - steps[0]) / (len(steps) - 1) * plan.steps
    every = prepared.config.training.sample_every
    return batch * -(-maps_to_measure(batch / count, every * seconds_per_epoch) // count)


def _synchronise(device: torch.device) -> None:
    """Wait until the device is idle, so that the clock may be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_memory(device: torch.device, checkpoint: int) -> int:
    """Return the peak memory; on a CPU with the copy from which a checkpoint is written (`HostCopy`)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return checkpoint + (peak if sys.platform == "darwin" else peak * 1024)


def _tensor_bytes(value: object) -> int:
    """Return the bytes of all tensors in nested containers."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(_tensor_bytes(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_tensor_bytes(item) for item in value)
    return 0
