"""The rehearsal of a training: a few timed steps, and from them the time, memory and disk that the whole would need.

Config, data, network and device are prepared as in the worker. The weights are thrown away, and nothing is written to
the run folder. Universes that are missing are not simulated: random maps stand for them.
"""

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from focus_engine.allocator import share_one_heap
from focus_engine.config.beginning import check_beginning
from focus_engine.config.heap import needs_one_heap
from focus_engine.config.load import load_config
from focus_engine.config.schema import Config
from focus_engine.data.maps import MapSet
from focus_engine.data.memory import free_memory
from focus_engine.data.opening import open_maps
from focus_engine.errors import FocusError, is_out_of_memory
from focus_engine.events.table import DataProgress
from focus_engine.models.build import count_parameters
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.training.devices import choose_device, device_name
from focus_engine.training.initial_weights import InitialWeights
from focus_engine.training.memory import memory_advice
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import PreparedData, prepare_data
from focus_engine.worker.beginning import initial_weights
from focus_engine.worker.costs import (
    TIMED_STEPS,
    Costs,
    Whole,
    averages_bytes,
    checkpoint_bytes,
    scaled_costs,
    timed_costs,
    whole_training,
)
from focus_engine.worker.probe import FREE_SHARE, probe
from focus_engine.worker.run_queue import RunQueue
from focus_engine.worker.universes_ahead import UniversesAhead, stand_in, universes_ahead

STAGES = 5
STEP_SECONDS = 8.0
"""Longest time for whole steps [s]; where they take longer, their cost is scaled from a part of one."""


@dataclass(frozen=True)
class Rehearsal:
    """The cost of a training.

    Attributes:
        method: one of `METHODS`.
        device: such as cuda:0.
        device_name: its maker's name.
        devices: how many of them train together (training.devices); one was measured, with its share of a batch.
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
        max_minutes: of the whole training at most; None without a limit.
        sampling_seconds: of the samples of one epoch during training; None where none are drawn.
        calibration_seconds: of the calibration of a checkpoint when training ends (sampling.calibration_maps); else 0.
        measured: empty where whole steps were made; else the part of one that was, from which the rest is scaled.
        peak_memory: peak memory of the device, on a CPU of the processes [bytes].
        free_memory: of the device before the run was prepared [bytes].
        checkpoint_bytes: of one checkpoint; three are kept, and a fourth exists while it is written.
        averages_bytes: of all snapshots of the averaged weights, at most.
        free_disk: on the disk of the run folder [bytes].
        init_from: what the run begins from (`InitialWeights.describe`); None for random weights.
        slowdown: how many times as long as alone this process took for its work, because other programs used the cores;
            all times are those beside them. None where it is unknown, and on a GPU.
        universes: how many are simulated first; random maps stood for those of the training.
        simulation_seconds: of these universes.
    """

    method: str
    device: str
    device_name: str
    devices: int
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
    max_minutes: float | None
    sampling_seconds: float | None
    calibration_seconds: float
    peak_memory: int
    free_memory: int
    checkpoint_bytes: int
    averages_bytes: int
    free_disk: int
    measured: str = ""
    init_from: dict[str, Any] | None = None
    slowdown: float | None = None
    universes: int = 0
    simulation_seconds: float = 0.0

    @property
    def enough_disk(self) -> bool:
        """Whether the checkpoints and the snapshots of averages fit on the disk."""
        return 4 * self.checkpoint_bytes + self.averages_bytes < self.free_disk

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of `focus check --json`."""
        return asdict(self) | {"enough_disk": self.enough_disk}


def rehearse(run: RunFolder, *, device: str | None = None) -> Generator[DataProgress, None, Rehearsal]:
    """Yield the progress of the rehearsal; return the cost of training `run`.

    Raises:
        InputError: config or data are wrong.
        FocusError: there is not enough memory; the message gives a batch that needs half of it.
    """
    config = load_config(run.config).config
    if needs_one_heap(config):
        share_one_heap()
    check_beginning(config, str(run.config))
    place = choose_device(device or config.device)
    initial = initial_weights(run, config)
    yield DataProgress(what="looking for the maps", done=0, total=STAGES)
    ahead = universes_ahead(config)
    free = free_memory(place)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    with tempfile.TemporaryDirectory(prefix="focus-check-") as scratch, _threads_of_a_rank(config, place):
        try:
            yield DataProgress(what="opening the maps", done=1, total=STAGES)
            whole, maps = _opened(run, config, ahead, place, Path(scratch))
            yield DataProgress(what="building the network", done=2, total=STAGES)
            data = prepare_data(config, maps, initial=initial, most_maps=whole.maps_to_read)
            prepared = _prepared(config, data, place, whole, initial)
            queue = RunQueue()
            yield DataProgress(what="timing a part of a step", done=3, total=STAGES)
            part = probe(prepared)
            steps = config.training.accumulate * part.seconds * (1 + min(TIMED_STEPS, whole.steps_per_epoch))
            affordable = steps <= STEP_SECONDS and (place.type == "cuda" or part.kept < FREE_SHARE * free)
            what = "timing steps" if affordable else "timing an update of the weights"
            yield DataProgress(what=what, done=4, total=STAGES)
            costs = timed_costs(prepared, whole) if affordable else scaled_costs(prepared, whole, part)
            found = _rehearsal(run, config, prepared, whole, costs, free)
            if ahead is not None:
                found = replace(found, universes=ahead.count, simulation_seconds=ahead.seconds)
            return replace(found, slowdown=queue.slowdown()) if place.type == "cpu" else found
        except Exception as error:
            if is_out_of_memory(error):
                raise FocusError(memory_advice(config.training)) from error
            raise


def _opened(
    run: RunFolder, config: Config, ahead: UniversesAhead | None, place: torch.device, scratch: Path
) -> tuple[Whole, MapSet]:
    """Return the sizes of the training, and its maps or those that stand for them."""
    if ahead is None:
        maps = drain(open_maps(config, run.path))
        return whole_training(config, maps.n_simulations, maps.maps_per_simulation, maps.shape, place), maps
    data = config.data
    shape = (1, data.map_size, data.map_size)
    whole = whole_training(config, data.simulations, data.maps_per_simulation, shape, place)
    return whole, stand_in(config, ahead, scratch, whole.simulations(config))


@contextmanager
def _threads_of_a_rank(config: Config, place: torch.device) -> Iterator[None]:
    """Use the threads that one of several ranks on a CPU has."""
    threads, ranks = torch.get_num_threads(), config.training.devices
    if place.type != "cpu" or ranks == 1:
        yield
        return
    torch.set_num_threads(max(1, threads // ranks))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _prepared(
    config: Config, data: PreparedData, place: torch.device, whole: Whole, initial: InitialWeights | None
) -> PreparedRun:
    """Return the run on one rank, without the averages of its weights: for 143 M weights their copies take a second."""
    training = config.training.model_copy(update={"batch_size": whole.batch_size})
    lean = config.model_copy(update={"training": training.model_copy(update={"averages": False})})
    prepared = prepare_run(lean, data, place, may_compile=False, resident=whole.resident, initial=initial)
    return replace(prepared, config=config.model_copy(update={"training": training}))


def _rehearsal(
    run: RunFolder, config: Config, prepared: PreparedRun, whole: Whole, costs: Costs, free: int
) -> Rehearsal:
    weights, training = count_parameters(prepared.state.network), config.training
    processes = whole.ranks if prepared.device.type == "cpu" else 1
    return Rehearsal(
        method=config.method,
        device=str(prepared.device),
        device_name=device_name(prepared.device),
        devices=whole.ranks,
        precision=prepared.precision,
        n_parameters=weights,
        maps=whole.maps,
        map_shape=whole.shape,
        resident=whole.resident,
        batch_size=training.batch_size,
        accumulate=training.accumulate,
        steps_per_epoch=whole.steps_per_epoch,
        seconds_per_step=costs.step,
        data_wait=min(1.0, costs.waited / costs.step) if costs.step else 0.0,
        seconds_per_epoch=costs.step * whole.steps_per_epoch + costs.validation,
        num_epochs=training.num_epochs,
        max_minutes=training.max_minutes,
        sampling_seconds=costs.sampling,
        calibration_seconds=costs.calibration,
        peak_memory=processes * (costs.peak_memory + whole.unread_bytes),
        free_memory=free,
        checkpoint_bytes=checkpoint_bytes(prepared),
        averages_bytes=averages_bytes(training, weights),
        free_disk=shutil.disk_usage(run.path).free,
        measured=costs.measured,
        init_from=prepared.init_from,
    )
