"""Arguments that choose an experiment: the one named, else that of the current folder, else the latest."""

import os
from pathlib import Path
from typing import Annotated

import typer

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder, experiments_root, find_run, list_runs
from focus_tui.cli.named import named_run
from focus_tui.terminal import visible


def complete_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of experiments that begin with `incomplete`, for shell completion."""
    given = context.find_root().params.get("root")
    root = experiments_root(Path(given) if given else None)
    return [run.name for run in list_runs(root) if run.name.startswith(incomplete)]


Exp = Annotated[
    str | None,
    typer.Argument(
        metavar="EXP",
        help="Name or path of the experiment [that of the current folder, else the latest].",
        show_default=False,
        autocompletion=complete_names,
    ),
]
Model = Annotated[
    str | None,
    typer.Argument(
        metavar="EXP",
        help="Name or path of the experiment, or a file of focus export --weights [as elsewhere].",
        show_default=False,
        autocompletion=complete_names,
    ),
]
NamedExp = Annotated[
    str, typer.Argument(metavar="EXP", help="Name or path of the experiment.", autocompletion=complete_names)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def root_of(context: typer.Context) -> Path:
    """Return the experiments folder: `--root`, else the default of `experiments_root`."""
    given = context.find_root().obj
    return experiments_root(given if isinstance(given, Path) else None)


def chosen_run(context: typer.Context, name: str | None) -> RunFolder:
    """Return the experiment `name`, else the default one, whose name is printed. Raises InputError if there is none."""
    return named_run(root_of(context), name)


def chosen_model(context: typer.Context, name: str | None) -> RunFolder | Path:
    """Return the weights file `name` (it ends in .safetensors), else the experiment, as `chosen_run` does."""
    if name is None or not name.endswith(".safetensors"):
        return chosen_run(context, name)
    file = Path(name).expanduser()
    if file.is_file():
        return file
    try:  # an experiment may be called so
        return find_run(name, root_of(context))
    except InputError:
        raise InputError(f"{visible(name)}: no such weights file; focus export EXP --weights writes one") from None


def _trust(given: bool) -> bool:
    """Allow code named by a checkpoint to run in this process and its children."""
    if given:
        from focus_engine.trust_flag import TRUST_VARIABLE

        os.environ[TRUST_VARIABLE] = "1"
    return given


Trust = Annotated[
    bool,
    typer.Option("--trust", callback=_trust, help="Run the code that somebody else's checkpoint names; follow links."),
]
