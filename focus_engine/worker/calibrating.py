"""The calibration of a trained run: maps drawn when training has ended, and what they lack, kept in the checkpoints."""

import time
from collections.abc import Callable, Iterator
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

if TYPE_CHECKING:
    from focus_engine.worker.recorder import Recorder


class _StoppedError(Exception):
    """Raised to leave the calibration when a stop is requested."""


def calibrate(
    run: RunFolder, prepared: PreparedRun, recorder: "Recorder", stop_now: Callable[[], bool]
) -> Iterator[Event]:
    """Calibrate the checkpoints that maps are drawn from, once training is complete; rank 0 alone does.

    A failure is recorded as a warning: the checkpoints then stay as they are.
    """
    count = prepared.config.sampling.calibration_maps
    if not count or not prepared.training.ranks.lead:
        return
    try:
        with PULSE.within("calibrating"):
            yield from _calibrate(run, prepared, recorder, count, stop_now)
    except _StoppedError:
        return
    except Exception as error:  # noqa: BLE001  (no failure of the calibration spoils a run that is trained)
        first = (str(error).splitlines() or [type(error).__name__])[0]
        known = isinstance(error, FocusError | OSError) or is_out_of_memory(error)
        why = first if known else f"{type(error).__name__}: {first}"
        message = f"drawn maps are not calibrated (sampling.calibration_maps): {why}"
        yield recorder.record(Warned(code="calibration", message=message))


def _calibrate(
    run: RunFolder, prepared: PreparedRun, recorder: "Recorder", count: int, stop_now: Callable[[], bool]
) -> Iterator[Event]:
    found: dict[tuple[int, object], Calibration] = {}
    for path in filter(Path.is_file, (run.checkpoint_best, run.checkpoint_last)):
        began, saved = time.monotonic(), load_checkpoint(path)
        place = saved.epoch, saved.state.get("step")
        if place not in found:  # the best is often the last
            work = calibration_of(open_trained(path, device=str(prepared.device)), prepared.data, count)
            found[place] = drain(work, partial(_obey, stop_now))
        kept = replace(saved, data={**saved.data, CALIBRATION: found[place].to_dict()})
        with PULSE.within("writing a checkpoint"):
            save_checkpoint(path, kept)
        yield recorder.record(
            Calibrated(
                epoch=saved.epoch,
                path=str(path.relative_to(run.path)),
                maps=count + count % 2,
                gain_low=min(map(min, found[place].gain)),
                gain_high=max(map(max, found[place].gain)),
                seconds=time.monotonic() - began,
            )
        )


def _obey(stop_now: Callable[[], bool], _: object) -> None:
    if stop_now():
        raise _StoppedError
