"""Opening the dashboard: apart from the command line's parser, so that `focus tui` paints as soon as it can."""

from pathlib import Path

from focus_engine.errors import InputError
from focus_engine.runs.folder import find_run
from focus_tui.terminal import is_terminal


def open_dashboard(root: Path, exp: str | None) -> None:
    """Show the experiments under `root`, or watch `exp` at once.

    Raises:
        InputError: there is no terminal, or no such experiment.
    """
    _check_terminal()
    first = None if exp is None else find_run(exp, root)
    from focus_tui.dashboard.app import FocusApp

    FocusApp(root, first=first).run()


def open_recording(speed: float) -> None:
    """Replay the recorded training. Raises InputError when there is no terminal."""
    _check_terminal()
    from focus_tui.dashboard.app import FocusApp
    from focus_tui.dashboard.replay import replayed

    with replayed(speed=speed) as root:
        FocusApp(root, recording=True).run()


def _check_terminal() -> None:
    if not is_terminal():
        raise InputError("the dashboard needs a terminal; for scripts there are focus ls --json and focus logs -f")
