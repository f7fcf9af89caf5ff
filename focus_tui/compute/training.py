"""`focus train`: trains in this process and prints its events as they occur."""

from focus_engine.errors import FocusError
from focus_engine.runs.folder import RunFolder
from focus_engine.worker.foreground import train_here
from focus_engine.worker.options import WorkerOptions
from focus_engine.worker.work import INTERRUPTED
from focus_tui.view.follow import Printer


def train(run: RunFolder, *, resume: bool, device: str | None = None, devices: int | None = None) -> None:
    """Train `run` in this process and print its epoch blocks.

    Raises:
        FocusError: training failed.
        KeyboardInterrupt: Ctrl-C stopped training, after a checkpoint.
    """
    printer = Printer()
    options = WorkerOptions(resume=resume, device=device, devices=devices, foreground=True)
    try:
        ended, code = train_here(run, options, printer.show)
    finally:
        printer.clear()
    if ended.state == "failed":
        raise FocusError(f"{run.name} failed after epoch {ended.epoch}")
    if code == INTERRUPTED:
        raise KeyboardInterrupt
