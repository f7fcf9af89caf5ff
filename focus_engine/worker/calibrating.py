"""The calibration of a trained run: maps drawn when training has ended, and what they lack, kept in the checkpoints."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from focus_engine.errors import FocusError, is_out_of_memory
from focus_engine.evaluation.calibrating import calibration_of
from focus_engine.evaluation.trained_model import open_trained
from focus_engine.events.table import Calibrated, Event, Warned
from focus_engine.generative.calibration import Calibration
from focus_engine.progress import drain
from focus_engine.pulse import PULSE
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import load_checkpoint, save_checkpoint
from focus_engine.training.prepare import PreparedRun
from focus_engine.training.prepared_data import CALIBRATION
from focus_engine.worker.saving import SLOW_DISK

if TYPE_CHECKING:
    from focus_engine.worker.recorder import Recorder
    from focus_engine.worker.stop import StopSwitch


def calibrate(run: RunFolder, prepared: PreparedRun, recorder: "Recorder", switch: "StopSwitch") -> Iterator[Event]:
    """Calibrate the checkpoints that maps are drawn from, once training is complete; rank 0 does, the others wait.

    A failure is recorded as a warning, as is a stop meanwhile: the checkpoints then stay as they are.
    """
    count = prepared.config.sampling.calibration_maps
    if not count:
        return
    if prepared.training.ranks.lead:
        try:
            with PULSE.within("calibrating"):
                yield from _calibrate(run, prepared, recorder, count, switch)
        except Exception as error:  # noqa: BLE001  (no failure of the calibration spoils a run that is trained)
            first = (str(error).splitlines() or [type(error).__name__])[0]
            known = isinstance(error, FocusError | OSError) or is_out_of_memory(error)
            why = first if known else f"{type(error).__name__}: {first}"
            message = f"drawn maps are not calibrated (sampling.calibration_maps): {why}"
            yield recorder.record(Warned(code="calibration", message=message))
    prepared.training.ranks.agree(0)


def _calibrate(
    run: RunFolder, prepared: PreparedRun, recorder: "Recorder", count: int, switch: "StopSwitch"
) -> Iterator[Event]:
    """Find the calibration of each checkpoint, then write all: an interruption leaves none, or whole ones."""
    began = time.monotonic()
    paths = list(filter(Path.is_file, (run.checkpoint_best, run.checkpoint_last)))
    places = [_place_of(path) for path in paths]
    found: dict[tuple[int, object], Calibration] = {}
    for path, place in zip(paths, places, strict=True):
        if place not in found:  # the best is often the last
            work = calibration_of(open_trained(path, device=str(prepared.device)), prepared.data, count)
            found[place] = drain(work, partial(_obey, switch))
    for path, place in zip(paths, places, strict=True):
        size = path.stat().st_size
        with PULSE.within("writing a checkpoint", allowed=2 * size / SLOW_DISK):
            saved = load_checkpoint(path)
            save_checkpoint(path, replace(saved, data={**saved.data, CALIBRATION: found[place].to_dict()}))
            del saved
        yield recorder.record(
            Calibrated(
                epoch=place[0],
                path=str(path.relative_to(run.path)),
                gain_low=min(map(min, found[place].gain)),
                gain_high=max(map(max, found[place].gain)),
                seconds=time.monotonic() - began,
            )
        )


def _place_of(path: Path) -> tuple[int, object]:
    """Return epoch and step of a checkpoint; what else it holds is freed."""
    saved = load_checkpoint(path)
    return saved.epoch, saved.state.get("step")


def _obey(switch: "StopSwitch", _: object) -> None:
    if switch.now():
        raise FocusError("asked to stop")
