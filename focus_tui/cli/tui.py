"""`focus tui`: the dashboard."""

from typing import Annotated

import typer

from focus_engine.errors import InputError
from focus_tui.cli.choose import complete_names, root_of
from focus_tui.cli.command import Command


def tui(
    context: typer.Context,
    exp: Annotated[
        str | None,
        typer.Argument(
            metavar="EXP",
            help="Open the Watch screen of this experiment.",
            show_default=False,
            autocompletion=complete_names,
        ),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Replay a recorded training at speed.")] = False,
    speed: Annotated[float, typer.Option("--speed", min=0.1, max=1000, help="Of the replay, with --demo.")] = 1.0,
) -> None:
    """Open the dashboard.

    Quitting it never stops a run.

    Example: focus tui
    """
    from focus_tui.dashboard.open import open_dashboard, open_recording

    if not demo:
        open_dashboard(root_of(context), exp)
    elif exp is None:
        open_recording(speed)
    else:
        raise InputError(f"--demo shows its own recording: leave {exp!r} out")


COMMANDS = (Command(tui, "open"),)
