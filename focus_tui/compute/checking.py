"""`focus check`: estimates time, memory and disk of a training before it is started."""

import json
from typing import TYPE_CHECKING

from focus_engine.config.advice import data_wait_advice
from focus_engine.config.load import load_config
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_tui.terminal import out, say
from focus_tui.view.follow import Printer
from focus_tui.view.words import bar_line, duration, origin_words, percent, size

if TYPE_CHECKING:
    from focus_engine.worker.rehearsal import Rehearsal


NOTICEABLE = 1.2
"""Slowdown by other programs from which the time without them is shown."""


def check(run: RunFolder, *, device: str | None, as_json: bool) -> None:
    """Rehearse `run` and print the estimates.

    Raises:
        InputError: the config or the data are wrong.
        FocusError: the device is out of memory.
    """
    printer = Printer()
    try:
        printer.progress(bar_line(0, 1, ["loading torch"]))
        from focus_engine.worker.rehearsal import rehearse

        work = rehearse(run, device=device)
        found = drain(work, lambda step: printer.progress(bar_line(step.done, step.total, [step.what])))
    finally:
        printer.clear()
    if as_json:
        out(json.dumps(found.to_dict()))
        return
    for label, words in rehearsal_lines(found):
        out(f"{label:<11} {words}")
    for warning in _warnings(found, run):
        say(f"warning: {warning}")


def rehearsal_lines(found: "Rehearsal") -> list[tuple[str, str]]:
    """Return the estimates as pairs of label and text."""
    _, height, width = found.map_shape
    training, validation, test = found.maps
    maps_per_step = found.batch_size * found.accumulate
    epoch = found.seconds_per_epoch
    lines = [
        ("method", found.method),
        ("data", f"{training} maps train, {validation} validate, {test} test; {height} x {width} pixels"),
        ("", "held on the device" if found.resident else f"read from disk: {percent(found.data_wait)} of a step waits"),
        *([("", _before_words(found))] if found.universes else []),
        ("device", f"{found.device} {found.device_name}, {found.precision}{_devices_words(found)}"),
        ("network", f"{found.n_parameters:,} parameters"),
        *([("", origin_words(found.init_from))] if found.init_from else []),
        *([("measured", found.measured)] if found.measured else []),
        ("step", f"{duration(found.seconds_per_step)}, {maps_per_step / found.seconds_per_step:.0f} maps/s"),
        ("epoch", f"{duration(epoch)}: {found.steps_per_epoch} steps and validation"),
    ]
    if found.slowdown is not None and found.slowdown > NOTICEABLE:
        alone = epoch / found.slowdown
        lines.append(
            ("", f"beside other programs, which make it {found.slowdown:.1f} times as long: {duration(alone)} alone")
        )
    lines.append(("training", _training_words(found)))
    if found.sampling_seconds is not None:
        lines.append(("samples", f"{duration(found.sampling_seconds)} each time"))
    if found.calibration_seconds:
        lines.append(
            ("calibration", f"{duration(found.calibration_seconds)} for each checkpoint, when training has ended")
        )
    return [
        *lines,
        ("memory", f"{size(found.peak_memory)} at most, {size(found.free_memory)} were free"),
        ("checkpoint", f"{size(found.checkpoint_bytes)}; three are kept, {size(found.free_disk)} are free"),
        *([("averages", f"{size(found.averages_bytes)} of snapshots at most")] if found.averages_bytes else []),
    ]


def _before_words(found: "Rehearsal") -> str:
    return f"{found.universes} universes are simulated first, which takes about {duration(found.simulation_seconds)}"


def _devices_words(found: "Rehearsal") -> str:
    return "" if found.devices == 1 else f"; {found.devices} train together, one was timed with its share of a batch"


def _training_words(found: "Rehearsal") -> str:
    whole = found.seconds_per_epoch * found.num_epochs
    words = f"{duration(whole)} for all {found.num_epochs} epochs"
    if found.max_minutes is None or 60 * found.max_minutes >= whole:
        return words
    return f"{words}; training.max_minutes ends it after {duration(60 * found.max_minutes)}"


def _warnings(found: "Rehearsal", run: RunFolder) -> list[str]:
    warnings = []
    if not found.enough_disk:
        need = size(4 * found.checkpoint_bytes + found.averages_bytes)
        warnings.append(
            f"checkpoints and averages need {need} while one is written: free some space on the disk of {run.path}"
        )
    if found.measured and found.peak_memory > found.free_memory:
        warnings.append(
            f"training needs about {size(found.peak_memory)} of memory and {size(found.free_memory)} are free: halve "
            "training.batch_size and double training.accumulate, or use a smaller model"
        )
    workers = load_config(run.config).config.data.num_workers
    if advice := data_wait_advice(found.data_wait, workers, "training would wait"):
        warnings.append(advice)
    return warnings
