"""The calibration of a trained model, by maps that it draws at the parameters of its training maps."""

import math
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from focus_engine.data.opening import open_maps, spread
from focus_engine.data.randomness import keyed_integer
from focus_engine.errors import InputError
from focus_engine.evaluation.averages import BestAverage
from focus_engine.evaluation.trained_model import TrainedModel, find_checkpoint, open_trained
from focus_engine.events.table import DataProgress
from focus_engine.generative.calibration import FEWEST_MAPS, Calibration, fit_calibration
from focus_engine.generative.map_noise import MapNoise
from focus_engine.generative.sampling import DrawnBatches, SamplingProgress
from focus_engine.launch.run_lock import run_lock
from focus_engine.launch.start import check_idle
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import load_checkpoint, save_checkpoint, sha256_of
from focus_engine.training.prepared_data import CALIBRATION, PreparedData, prepare_data

TRUE_PIXELS, FEWEST_TRUE_MAPS = 2**23, 256
"""Pixels of the training maps that drawn maps are brought to, and the fewest maps: 64 MiB of 256 x 256."""
USUAL_MAPS = 512
"""Maps of a calibration that is asked for, where the config wants none."""


def calibrated_paths(run: RunFolder) -> list[Path]:
    """Return the checkpoints of `run` that maps are drawn from, the last first; the best is often the same."""
    return [path for path in (run.checkpoint_last, run.checkpoint_best) if path.is_file()]


def calibrate_run(
    run: RunFolder, count: int | None = None, *, device: str | None = None
) -> Generator[DataProgress | SamplingProgress, None, dict[Path, Calibration | None]]:
    """Yield progress; calibrate the checkpoints of a run that is not being trained, and return their calibrations.

    `count` maps are drawn for each; None takes the number in the config of the last checkpoint, or `USUAL_MAPS` where
    that is 0. With 0 the calibrations are taken away. All checkpoints are drawn from before the first is written. What
    is remembered of the averages of a checkpoint is kept for the new file.

    Raises:
        RunConflictError: it is being trained, or may be.
        InputError: there is no checkpoint, `count` is negative, or the data are missing or have changed.
        CalibrationError: a network is too far from its training maps; the checkpoints stay as they are.
        OSError: a checkpoint can't be written.
    """
    if count is not None and count < 0:
        raise InputError(f"{count} maps: give a number of maps, or 0 to take the calibration away")
    with run_lock(run):
        check_idle(run)
        paths = calibrated_paths(run) or [find_checkpoint(run, "last")]
        model = open_trained(paths[0], device=device)
        found: dict[Path, Calibration | None] = dict.fromkeys(paths)
        if count != 0:
            maps = yield from open_maps(model.config, run.path)
            data = prepare_data(model.config, maps, load_checkpoint(paths[0]))
            count = count or model.config.sampling.calibration_maps or USUAL_MAPS
            found |= yield from calibrations_of(paths, data, count, str(model.device))
        for path, calibration in found.items():
            known = BestAverage.read(run)
            remembered = known is not None and known.checkpoint == sha256_of(path)
            keep_calibration(path, calibration)
            if known is not None and remembered:
                replace(known, checkpoint=sha256_of(path)).write(run)
    return found


def calibrations_of(
    paths: Iterable[Path], data: PreparedData, count: int, device: str
) -> Generator[SamplingProgress, None, dict[Path, Calibration]]:
    """Yield progress; return the calibration of each checkpoint. Those that draw the same maps share one."""
    models: dict[Path, TrainedModel] = {}
    found: dict[Path, Calibration] = {}
    for path in paths:
        model = open_trained(path, device=device)
        same = next((other for other, known in models.items() if _equal(known, model)), None)
        found[path] = found[same] if same else (yield from calibration_of(model, data, count))
        models[path] = model
    return found


def keep_calibration(path: Path, calibration: Calibration | None) -> int:
    """Write `calibration` into the checkpoint at `path`, or take it out; return the epochs that this holds."""
    saved = load_checkpoint(path)
    data = {name: value for name, value in saved.data.items() if name != CALIBRATION}
    if calibration is not None:
        data[CALIBRATION] = calibration.to_dict()
    save_checkpoint(path, replace(saved, data=data))
    return saved.epoch


def calibration_of(
    model: TrainedModel, data: PreparedData, count: int
) -> Generator[SamplingProgress, None, Calibration]:
    """Draw `count` maps, at least `FEWEST_MAPS` and an even number, by the config's sampler; return what they lack.

    Their parameters are spread over those of the training maps, and their noise is of a seed of its own, so that no map
    that is judged later was calibrated on itself.

    Raises:
        CalibrationError: as `fit_calibration`.
    """
    true, cond = _training_maps(data)
    places = torch.linspace(0, len(cond) - 1, maps_drawn(count) // 2).round().long()
    rows = cond[places].repeat_interleave(2, dim=0)
    plan = model.plan(seed=keyed_integer("calibration", model.config.training.seed), paired=True)
    drawn = DrawnBatches()
    for progress in model.in_units_of_network().draw_at(rows, plan):
        yield progress
        drawn.add(progress)
    noise = MapNoise(plan.seed, 0, len(rows), model.map_shape, torch.device("cpu"), paired=True)()
    return fit_calibration(drawn.maps, noise, true)


def maps_drawn(count: int) -> int:
    """Return how many maps are drawn where `count` are asked for: at least `FEWEST_MAPS`, an even number."""
    return 2 * math.ceil(max(count, FEWEST_MAPS) / 2)


def _equal(one: TrainedModel, other: TrainedModel) -> bool:
    """Return whether two models have the same weights and sampler."""
    weights, others = (model.network.state_dict().values() for model in (one, other))
    return one.config.sampling == other.config.sampling and all(map(torch.equal, weights, others))


def _training_maps(data: PreparedData) -> tuple[Tensor, Tensor]:
    """Return training maps as the network sees them, evenly spaced over the simulations, and their parameters."""
    _, height, width = data.maps.shape
    most = max(FEWEST_TRUE_MAPS, TRUE_PIXELS // (height * width))
    return data.standardised(spread(data.maps.maps_of(data.split.train), most))
