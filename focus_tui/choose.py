"""Which experiment a command is about: the one named, else the one the user stands in, else the latest."""

from pathlib import Path
from typing import Annotated

import typer

from focus_engine.runs.folder import RunFolder, default_run, experiments_root, find_run
from focus_tui.terminal import say, visible

Exp = Annotated[
    str | None,
    typer.Argument(
        metavar="EXP",
        help="Name or path of the experiment; left out: the one you stand in, else the latest.",
        show_default=False,
    ),
]
NamedExp = Annotated[str, typer.Argument(metavar="EXP", help="Name or path of the experiment.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def root_of(context: typer.Context) -> Path:
    """Return the experiments folder: `--root`, else as `experiments_root` finds it."""
    given = context.find_root().obj
    return experiments_root(given if isinstance(given, Path) else None)


def chosen_run(context: typer.Context, name: str | None) -> RunFolder:
    """Return the experiment `name`, else the default one, and say which. Raises InputError when there is none."""
    root = root_of(context)
    if name is not None:
        return find_run(name, root)
    run = default_run(root)
    say(f"experiment {visible(run.name)}")
    return run
