"""Costs of a training that is rehearsed: seconds of a step, of validation and samples, and memory.

They come from whole steps, or from a part of one that `probe` timed.
"""

import math
import time
from dataclasses import dataclass

import torch

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.config.samplers import choose_sampler
from focus_engine.config.schema import Config
from focus_engine.data.batches import fits, held_bytes
from focus_engine.data.splits import split_by_simulation
from focus_engine.evaluation.calibrating import maps_drawn
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.generative.guidance import nfe_per_call
from focus_engine.models.build import count_parameters
from focus_engine.models.power_average import LENGTHS, PowerAverages
from focus_engine.training.loop import train
from focus_engine.training.prepare import PreparedRun
from focus_engine.training.snapshots import most_kept
from focus_engine.training.validation import DRAWS
from focus_engine.worker.live import FEWEST_MAPS, maps_to_measure
from focus_engine.worker.probe import Probe, average_seconds, most_resident, synchronise, update_seconds

TIMED_STEPS = 3
"""Number of timed steps, after a first one that is not timed."""
READ_BYTES = 2**28
"""Larger sets are not read as a whole."""
FEWEST_READ = 256
"""Training maps that are read of them at least."""
FEWEST_HELD_OUT = 4
"""Simulations for validation and test beside them, at least."""


@dataclass(frozen=True)
class Whole:
    """Sizes of the whole training, of which the rehearsal reads `maps_to_read` training maps (None: all).

    Attributes:
        maps: for training, validation and test.
        shape: of a map: channels, height, width.
        ranks: processes that share each batch (training.devices).
        batch_size: maps of a batch on one of them.
        steps_per_epoch: optimiser steps.
        validation_maps: evaluations of one network in a validation.
        resident: whether the training maps are held on the device.
        maps_to_read: training maps that are read; None if all are.
        unread_bytes: memory on the device of those that are not.
    """

    maps: tuple[int, int, int]
    shape: tuple[int, int, int]
    ranks: int
    batch_size: int
    steps_per_epoch: int
    validation_maps: int
    resident: bool
    maps_to_read: int | None
    unread_bytes: int

    def simulations(self, config: Config) -> int:
        """Return how many simulations hold the training maps that are read."""
        if self.maps_to_read is None:
            return config.data.simulations
        train = self.maps_to_read / config.data.maps_per_simulation / config.data.train_split
        return min(config.data.simulations, math.ceil(train) + FEWEST_HELD_OUT)


def whole_training(
    config: Config, simulations: int, maps_per_simulation: int, shape: tuple[int, int, int], place: torch.device
) -> Whole:
    """Return the sizes of a training on the maps of all simulations, one of whose `training.devices` is `place`."""
    split = split_by_simulation(simulations, config.data.train_split, config.data.split_seed)
    parts = (split.train, split.validation, split.test)
    train_maps, held_out, test = (len(part) * maps_per_simulation for part in parts)
    size, accumulate = config.training.batch_size, config.training.accumulate
    resident = fits(train_maps, shape, place)
    wanted = max(FEWEST_READ, (1 + TIMED_STEPS) * size * accumulate)
    all_read = held_bytes(train_maps + held_out, shape) <= READ_BYTES or wanted >= train_maps
    return Whole(
        maps=(train_maps, held_out, test),
        shape=shape,
        ranks=config.training.devices,
        batch_size=math.ceil(size / config.training.devices),
        steps_per_epoch=math.ceil(math.ceil(train_maps / size) / accumulate),
        validation_maps=held_out * max(1, math.ceil(DRAWS / held_out)),
        resident=resident,
        maps_to_read=None if all_read else wanted,
        unread_bytes=held_bytes(train_maps - wanted, shape) if resident and not all_read else 0,
    )


@dataclass(frozen=True)
class Costs:
    """What was measured, or scaled from it.

    Attributes:
        step: of an optimiser step [s].
        waited: of that, waiting for data [s].
        validation: of a validation [s].
        sampling: of the samples of an epoch [s]; None where none are drawn.
        calibration: of drawing the maps of a calibration when training ends [s]; 0 without one.
        peak_memory: of the device, on a CPU of the process [bytes].
        measured: see `Rehearsal`.
    """

    step: float
    waited: float
    validation: float
    sampling: float | None
    calibration: float
    peak_memory: int
    measured: str = ""


def timed_costs(prepared: PreparedRun, whole: Whole) -> Costs:
    """Return the costs from whole steps."""
    if prepared.config.training.averages:
        prepared.state.averages = PowerAverages(prepared.state.network)
    seconds, waited = _time_steps(prepared)
    validation = _time_validation(prepared, whole)
    per_epoch = seconds * whole.steps_per_epoch + validation
    map_seconds = _time_map(prepared) if _draws(prepared.config) else 0.0
    return Costs(
        step=seconds,
        waited=waited,
        validation=validation,
        sampling=_sampling_seconds(prepared, map_seconds, per_epoch, whole),
        calibration=map_seconds * _calibration_maps(prepared.config),
        peak_memory=_peak_memory(prepared),
    )


def scaled_costs(prepared: PreparedRun, whole: Whole, part: Probe) -> Costs:
    """Return the costs from a part of a step and an update of the weights."""
    training = prepared.config.training
    seconds = training.accumulate * part.seconds + update_seconds(prepared, part.seconds)
    seconds += len(LENGTHS) * average_seconds(prepared) if training.averages else 0.0
    validation = 2 * whole.validation_maps / whole.ranks / training.batch_size * part.forward
    _, height, width = prepared.data.maps.shape
    plan, method = model_in_training(prepared).plan(), prepared.process.method
    nfe = choose_sampler(plan.sampler, method).nfe(plan.steps, method) * nfe_per_call(plan.guidance)
    map_seconds = nfe * part.forward / training.batch_size
    return Costs(
        step=seconds,
        waited=0.0,
        validation=validation,
        sampling=_sampling_seconds(prepared, map_seconds, seconds * whole.steps_per_epoch + validation, whole),
        calibration=map_seconds * _calibration_maps(prepared.config),
        peak_memory=_scaled_memory(prepared, part),
        measured=f"{part.maps} of {training.batch_size} maps a batch, {part.height} x {part.width} of {height} x "
        f"{width} pixels; scaled by the arithmetic",
    )


def _kept_averages(prepared: PreparedRun) -> int:
    """Return the bytes of the averages of the weights that training keeps and `prepared` lacks."""
    lacks = prepared.config.training.averages and prepared.state.averages is None
    return 4 * len(LENGTHS) * count_parameters(prepared.state.network) if lacks else 0


def checkpoint_bytes(prepared: PreparedRun) -> int:
    """Return the bytes of a checkpoint."""
    return _tensor_bytes(prepared.state.to_dict()) + _kept_averages(prepared)


def averages_bytes(training: TrainingBlock, weights: int) -> int:
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


def _time_validation(prepared: PreparedRun, whole: Whole) -> float:
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
        times = [began, time.perf_counter()]
    held_out = len(prepared.data.maps.maps_of(prepared.data.split.validation))
    in_batch = min(prepared.config.training.batch_size, held_out)
    return (times[1] - times[0]) * whole.validation_maps / whole.ranks / in_batch


def _draws(config: Config) -> bool:
    """Return whether a training draws maps."""
    return bool(config.training.sample_every or config.sampling.calibration_maps)


def _calibration_maps(config: Config) -> int:
    """Return how many maps the calibration draws of a checkpoint; the best is often the last, which counts once."""
    return maps_drawn(config.sampling.calibration_maps) if config.sampling.calibration_maps else 0


def _time_map(prepared: PreparedRun) -> float:
    """Return the seconds of drawing a map, from a few steps of the sampler with the maps of one epoch's samples."""
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
    return (steps[-1] - steps[0]) / (len(steps) - 1) * plan.steps / count


def _sampling_seconds(prepared: PreparedRun, map_seconds: float, per_epoch: float, whole: Whole) -> float | None:
    """Return the seconds of the samples of an epoch; None where none are drawn."""
    every = prepared.config.training.sample_every
    return map_seconds * maps_to_measure(map_seconds, every * per_epoch) / whole.ranks if every else None


def _peak_memory(prepared: PreparedRun) -> int:
    """Return the peak memory so far; on a CPU with the copy from which a checkpoint is written (`HostCopy`)."""
    if prepared.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(prepared.device))
    return checkpoint_bytes(prepared) + most_resident()


def _scaled_memory(prepared: PreparedRun, part: Probe) -> int:
    """Return the peak memory of whole steps, of which a part was made.

    Averages that `prepared` lacks count once as weights and once in the copy for a checkpoint.
    """
    lacking = _kept_averages(prepared)
    if prepared.device.type == "cuda":
        return _peak_memory(prepared) + lacking + int(part.kept)
    moments = _tensor_bytes(prepared.state.optimizer.state_dict())
    whole_step = part.before + moments + int(part.peak)
    return checkpoint_bytes(prepared) + lacking + max(most_resident(), whole_step)


def _tensor_bytes(value: object) -> int:
    """Return the bytes of all tensors in nested containers."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(_tensor_bytes(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_tensor_bytes(item) for item in value)
    return 0
