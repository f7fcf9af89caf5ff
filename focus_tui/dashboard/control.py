"""Actions of the dashboard on runs: the same calls as the command line, each returning a message.

Each may take seconds (a worker that starts, a slow disk), so the app calls them in threads.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import Labels, read_labels, write_labels


@dataclass(frozen=True)
class ActionResult:
    """The result of an action.

    Attributes:
        words: the message for the user.
        undo: undoes the action and returns a message; None if it cannot be undone.
        offers_undo: whether `words` already names the key that undoes it.
    """

    words: str
    undo: Callable[[], str] | None = None
    offers_undo: bool = False


def start(run: RunFolder, *, resume: bool = False, queue: bool = False) -> ActionResult:
    """Start or resume the worker of `run`, or queue it until its device is free.

    Raises FocusError when the run cannot start.
    """
    from focus_engine.config.beginning import check_beginning
    from focus_engine.config.load import load_config  # pydantic: 0.1 s after the first paint
    from focus_engine.config.templates import check_method
    from focus_engine.launch.start import start_run

    loaded = load_config(run.config)
    check_method(loaded.config.method)
    if not run.has_checkpoints():
        check_beginning(loaded.config, str(loaded.path))
    identity = start_run(run, resume=resume, queue=queue)
    words = f"{'queued' if queue else 'resumed' if resume else 'started'} {run.name}, process {identity.pid}"
    return ActionResult("\n".join([words, *(f"warning: {warning}" for warning in loaded.warnings)]))


def stop(run: RunFolder, when: Literal["epoch", "now"]) -> ActionResult:
    """Request that the worker of `run` stops. Raises FocusError when it is not running."""
    from focus_engine.launch.start import request_stop, withdraw_stop

    request_stop(run, when)
    if when == "now":
        return ActionResult(f"{run.name} stops now, with a checkpoint; r resumes it")

    def undo() -> str:
        withdraw_stop(run)
        return f"{run.name} continues: the stop is withdrawn"

    return ActionResult(f"{run.name} stops after this epoch; u withdraws that", undo, offers_undo=True)


def relabel(run: RunFolder, change: Callable[[Labels], Labels], words: str) -> ActionResult:
    """Change tags, note or archive flag of `run`. Raises FocusError when the folder cannot be written."""
    before = read_labels(run)
    write_labels(run, change(before))

    def undo() -> str:
        write_labels(run, before)
        return f"undone: {words}"

    return ActionResult(words, undo)


def archive(run: RunFolder, archived: bool) -> ActionResult:
    """Archive `run`, which hides it from the list, or restore it; nothing is deleted."""
    words = f"{run.name} {'archived: hidden unless you filter archived:yes' if archived else 'is back in the list'}"
    return relabel(run, lambda labels: replace(labels, archived=archived), words)
