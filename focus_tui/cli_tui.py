"""`focus tui`: the dashboard."""

from pathlib import Path
from typing import Annotated

import typer

from focus_engine.errors import InputError
from focus_engine.runs.folder import find_run
from focus_tui.choose import root_of
from focus_tui.terminal import is_terminal


def tui(
    context: typer.Context,
    exp: Annotated[
        str | None, typer.Argument(metavar="EXP", help="Watch this experiment at once.", show_default=False)
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Replay a recorded training at speed.")] = False,
    speed: Annotated[float, typer.Option("--speed", min=0.1, max=1000, help="Of the replay, with --demo.")] = 1.0,
) -> None:
    """Open the dashboard.

    Quitting it never stops a run.

    Example: focus tui
    """
    if not is_terminal():
        raise InputError("the dashboard needs a terminal; for scripts there are focus ls --json and focus logs -f")
    root = root_of(context)
    if demo:
        if exp is not None:
            raise InputError(f"--demo shows its own recording: leave {exp!r} out")
        from focus_tui.replay import replayed

        with replayed(speed=speed) as recorded:
            _open(recorded, None, recording=True)
        return
    _open(root, exp)


def _open(root: Path, exp: str | None, *, recording: bool = False) -> None:
    first = None if exp is None else find_run(exp, root)
    from focus_tui.app import FocusApp

    FocusApp(root, first=first, recording=recording).run()
