"""Opening the dashboard; separate from the command-line parser, so that `focus tui` paints early."""

from pathlib import Path

from focus_engine.errors import InputError
from focus_engine.runs.folder import find_run
from focus_tui.terminal import is_terminal


def open_dashboard(root: Path, exp: str | None = None) -> None:
    """Open the dashboard on the experiments under `root`, or directly on the Watch screen of `exp`.

    Raises:
        InputError: stdout is no terminal, or `exp` does not exist.
    """
    _check_terminal()
    first = None if exp is None else find_run(exp, root)
    from focus_tui.dashboard.app import FocusApp

    FocusApp(root, first=first).run()


def open_recording(speed: float) -> None:
    """Replay the recorded training. Raises InputError when stdout is no terminal."""
    _check_terminal()
    from focus_tui.dashboard.app import FocusApp
    from focus_tui.dashboard.replay import replayed

    with replayed(speed=speed) as root:
        FocusApp(root, recording=True).run()


def _check_terminal() -> None:
    if not is_terminal():
        raise InputError("the dashboard needs a terminal; in scripts use focus ls --json or focus logs -f")
