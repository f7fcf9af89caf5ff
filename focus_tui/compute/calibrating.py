"""`focus calibrate`: brings what a trained model draws to its training maps."""

import json

from focus_engine.evaluation.calibrating import calibrate_run
from focus_engine.events.table import DataProgress
from focus_engine.generative.calibration import Calibration
from focus_engine.generative.sampling import SamplingProgress
from focus_engine.runs.folder import RunFolder
from focus_tui.compute.options import CalibrateOptions
from focus_tui.compute.progress import ProgressReporter
from focus_tui.terminal import out


def calibrate(run: RunFolder, options: CalibrateOptions) -> None:
    """Calibrate the checkpoints of `run` and say what changed.

    Raises:
        RunConflictError: it is being trained.
        InputError: there is no checkpoint, or the data are missing or have changed.
        FocusError: the network is too far from its training maps.
    """
    reporter = ProgressReporter(options.progress)

    def report(step: DataProgress | SamplingProgress) -> None:
        if isinstance(step, DataProgress):
            reporter.progress(step.done, step.total, [step.what])
        else:
            reporter.progress(round(step.maps_drawn), step.maps_total, ["drawing maps to calibrate by"])

    found = reporter.drain(calibrate_run(run, options.maps, device=options.device), report)
    if options.json:
        gains = {path.name: None if one is None else list(one.gain_range) for path, one in found.items()}
        out(json.dumps({"gain": gains}))
        return
    for path, calibration in found.items():
        out(f"{path.name}  {_words(calibration)}")


def _words(calibration: Calibration | None) -> str:
    if calibration is None:
        return "not calibrated"
    low, high = calibration.gain_range
    return f"calibrated: modes x {low:.2f} to {high:.2f}"
