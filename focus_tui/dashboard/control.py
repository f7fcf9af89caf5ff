"""What the dashboard does to runs: the same calls as the command line's, each answering with a sentence.

Everything here may take seconds (a worker's first word, a slow disk), so the app calls it in threads.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import Labels, read_labels, write_labels


@dataclass(frozen=True)
class Done:
    """Something was done.

    Attributes:
        words: what, for people.
        undo: takes it back and says so; None where that cannot be.
        offers_undo: whether the words say which key takes it back.
    """

    words: str
    undo: Callable[[], str] | None = None
    offers_undo: bool = False


def start(run: RunFolder, *, resume: bool = False, queue: bool = False) -> Done:
    """Start or resume the worker of `run`, or let it wait until its device is free.

    Raises FocusError, in words, when that cannot be.
    """
    from focus_engine.config.load import load_config  # pydantic: 0.1 s after the first paint
    from focus_engine.config.templates import check_method
    from focus_engine.launch.start import start_run

    loaded = load_config(run.config)
    check_method(loaded.config.method)
    identity = start_run(run, resume=resume, queue=queue)
    words = f"{'queued' if queue else 'resumed' if resume else 'started'} {run.name}, process {identity.pid}"
    return Done("\n".join([words, *(f"warning: {warning}" for warning in loaded.warnings)]))


def stop(run: RunFolder, when: Literal["epoch", "now"]) -> Done:
    """Ask the worker of `run` to stop. Raises FocusError when it does not run."""
    from focus_engine.launch.start import request_stop, withdraw_stop

    request_stop(run, when)
    if when == "now":
        return Done(f"{run.name} stops now, with a checkpoint; r resumes it")

    def undo() -> str:
        withdraw_stop(run)
        return f"{run.name} goes on: the stop is withdrawn"

    return Done(f"{run.name} stops after this epoch; u withdraws that", undo, offers_undo=True)


def relabel(run: RunFolder, change: Callable[[Labels], Labels], words: str) -> Done:
    """Change tags, note or archive mark of `run`. Raises FocusError when the folder cannot be written."""
    before = read_labels(run)
    write_labels(run, change(before))

    def undo() -> str:
        write_labels(run, before)
        return f"taken back: {words}"

    return Done(words, undo)


def archive(run: RunFolder, archived: bool) -> Done:
    """Hide `run` from the list, or show it again; nothing is deleted."""
    words = f"{run.name} {'archived: hidden unless you filter archived:yes' if archived else 'is back in the list'}"
    return relabel(run, lambda labels: replace(labels, archived=archived), words)
