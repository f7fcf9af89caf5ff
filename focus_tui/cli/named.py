"""Experiments by their names, as commands take and print them. Separate from `choose`, which needs typer."""

from pathlib import Path

from focus_engine.runs.folder import RunFolder, default_run, find_run
from focus_tui.terminal import say, visible


def named_run(root: Path, name: str | None = None) -> RunFolder:
    """Return the experiment `name`, else the default one, whose name is printed. Raises InputError if there is none."""
    if name is not None:
        return find_run(name, root)
    run = default_run(root)
    say(f"experiment {visible(run.name)}")
    return run


def quoted_name(run: RunFolder) -> str:
    """Return the experiment's name, quoted for a shell."""
    import shlex

    return shlex.quote(run.name)
