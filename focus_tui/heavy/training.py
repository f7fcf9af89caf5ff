"""`focus train`: training in this very process, with its events shown as they come."""

from focus_engine.errors import FocusError
from focus_engine.runs.folder import RunFolder
from focus_engine.worker import run_in_foreground
from focus_tui.follow import Printer


def train(run: RunFolder, *, resume: bool, device: str | None = None, devices: int | None = None) -> None:
    """Train `run` here and show its epoch blocks.

    Raises:
        FocusError: training failed; the message is the run's last word.
        KeyboardInterrupt: Ctrl-C stopped it, after a checkpoint.
    """
    printer = Printer()
    try:
        ended = run_in_foreground(run, resume=resume, device=device, devices=devices, on_event=printer.show)
    finally:
        printer.clear()
    if ended.state == "failed":
        raise FocusError(f"{run.name} failed after epoch {ended.epoch}")
    if ended.state == "stopped" and "interrupt" in ended.reason:
        raise KeyboardInterrupt
