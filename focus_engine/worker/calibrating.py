"""The calibration of a trained run: maps drawn when training has ended, and what they lack, kept in the checkpoints."""

import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from focus_engine.errors import FocusError, is_out_of_memory
from focus_engine.evaluation.calibrating import calibrated_paths, calibrations_of, keep_calibration
from focus_engine.events.table import Calibrated, Event, Warned
from focus_engine.progress import drain
from focus_engine.pulse import PULSE
from focus_engine.runs.folder import RunFolder
from focus_engine.training.prepare import PreparedRun
from focus_engine.worker.saving import writing_checkpoints

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
    work = calibrations_of(calibrated_paths(run), prepared.data, count, str(prepared.device))
    for path, calibration in drain(work, partial(_obey, run, switch)).items():
        with writing_checkpoints(2 * path.stat().st_size):
            epoch = keep_calibration(path, calibration)
        low, high = calibration.gain_range
        yield recorder.record(
            Calibrated(
                epoch=epoch,
                path=str(path.relative_to(run.path)),
                gain_low=low,
                gain_high=high,
                seconds=time.monotonic() - began,
            )
        )


def _obey(run: RunFolder, switch: "StopSwitch", _: object) -> None:
    if switch.now():
        raise FocusError(f"asked to stop; focus calibrate {run.name} does it")
