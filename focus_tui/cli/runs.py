"""Commands on experiment folders: new, ls, status, logs, rm. None of them imports torch.

The event table and the state of runs are imported where they are used: 0.06 s that `focus --help` does without.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from focus_engine.config.methods import method_words
from focus_engine.errors import FocusError, InputError, RunConflictError
from focus_engine.runs.folder import RunFolder, find_run
from focus_tui.cli.choose import Exp, Json, chosen_run, complete_names, root_of
from focus_tui.cli.command import Command
from focus_tui.cli.named import quoted_name
from focus_tui.terminal import out, say, visible

MOST_COUNTED = 10_000
"""The most files of a run that `focus rm` counts before it asks."""


def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the experiment and of its folder.")],
    template: Annotated[
        str | None,
        typer.Option(help="diffusion [default], flow, edm; on a CPU small, small_flow or small_edm."),
    ] = None,
    method: Annotated[str | None, typer.Option(help=f"{method_words()}: the first template of that method.")] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="EXP", help="Copy this experiment's config.", autocompletion=complete_names),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key; comments stay. Repeatable.")
    ] = None,
    lang: Annotated[
        str | None, typer.Option(metavar="en|ko", help="Language of its README [the locale's].", show_default=False)
    ] = None,
) -> None:
    """Make an experiment.

    A folder with a commented config.yaml, READMEs and run_model.sh.

    Example: focus new my_run --template small --set training.num_epochs=20
    """
    from focus_engine.runs.create import create_experiment  # pydantic: 0.1 s that `focus ls` avoids

    root = root_of(context)
    copied = None if source is None else find_run(source, root)
    made = {"template": template, "method": method, "source": copied, "language": lang}
    run = create_experiment(root, name, settings=settings or (), **made)  # type: ignore[arg-type]
    out(str(run.path))
    say(f"edit   {run.config}\ncheck  focus config check {quoted_name(run)}\nstart  focus start {quoted_name(run)}")


def ls(
    context: typer.Context,
    wanted: Annotated[
        str, typer.Option("--filter", metavar="QUERY", help="state:running,lost lr>=1e-4 name~vp tag:x -method:flow …")
    ] = "",
    sort: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="best, -epoch (descending), …", show_default=False)
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="state,name,best,time,note, …", show_default=False)
    ] = None,
    archived: Annotated[bool, typer.Option("--all", help="Archived ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List the experiments.

    State, epoch, loss, P(k) error, time left. Live ones first.

    Example: focus ls --filter 'state:lost age<1d' --sort best
    """
    from focus_tui.cli.listing import print_runs

    root = root_of(context)
    print_runs(root, as_json=as_json, archived=archived, wanted=wanted, sort=sort, columns=columns)


def status(context: typer.Context, exp: Exp = None, as_json: Json = False) -> None:
    """Show the state of an experiment.

    Derived from its log, its heartbeat and its OS process.

    Example: focus status experiment_diffusion
    """
    from focus_tui.cli.status import print_status

    print_status(chosen_run(context, exp), as_json=as_json)


def logs(
    context: typer.Context,
    exp: Exp = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Follow until the run ends; Ctrl-C leaves the run alone.")
    ] = False,
    last: Annotated[int | None, typer.Option("-n", "--last", min=0, help="Only the last N epochs.")] = None,
    events: Annotated[bool, typer.Option("--events", help="The events themselves, one JSON object a line.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Draw loss, learning rate and P(k) instead.")] = False,
) -> None:
    """Print the epoch blocks of an experiment.

    Example: focus logs -f -n 3
    """
    if plot:
        if follow or events or last is not None:
            raise InputError("--plot draws the whole log once: leave --follow, --events and --last out")
        from focus_tui.view.log_plot import plot_log  # numpy: 0.1 s

        plot_log(chosen_run(context, exp))
        return
    from focus_tui.view.follow import print_log

    print_log(chosen_run(context, exp), follow=follow, last=last, raw=events)


def rm(
    context: typer.Context,
    exps: Annotated[
        list[str],
        typer.Argument(metavar="EXP...", help="Names or paths of experiments.", autocompletion=complete_names),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete experiments.

    With their checkpoints and logs; cannot be undone.

    Example: focus rm old_run --yes
    """
    root = root_of(context)
    runs = list(dict.fromkeys(find_run(name, root) for name in exps))
    for run in runs:
        _check_removable(run)
    if not yes:
        _confirm(runs)
    from focus_engine.launch.run_lock import run_lock

    for run in runs:
        with run_lock(run):  # refuses a start in the meantime
            _check_removable(run)
            say(f"deleting {visible(str(run.path))} …")
            shutil.rmtree(run.path)
        say(f"deleted {visible(run.name)}")


def _check_removable(run: RunFolder) -> None:
    if run.path.is_symlink():
        raise InputError(f"{run.path} is a link to {run.path.resolve()}: remove the link itself with rm")
    if not run.config.is_file():
        raise InputError(f"{run.path} has no config.yaml: it may be no experiment; remove it with rm -r")
    from focus_engine.launch.state import summarise
    from focus_engine.launch.summary import LIVE_STATES

    summary = summarise(run)
    if summary.state in LIVE_STATES:
        raise RunConflictError(f"{run.name} is {summary.state}: stop it first: focus stop --now {quoted_name(run)}")
    if summary.state == "unreachable":
        raise RunConflictError(f"{run.name} may still run on {summary.host}: {summary.reason}")


def _confirm(runs: list[RunFolder]) -> None:
    for run in runs:
        say(f"{visible(str(run.path))}: {_contents(run)}")
    if not sys.stdin.isatty():
        raise InputError("rm cannot be undone: give --yes where no terminal can confirm it")
    if not typer.confirm(f"delete {'it' if len(runs) == 1 else f'these {len(runs)}'}?", err=True):
        raise FocusError("nothing was deleted")


def _contents(run: RunFolder) -> str:
    """Return size and number of checkpoints of a run, of its first `MOST_COUNTED` files."""
    from focus_tui.view import words

    files = checkpoints = size = 0
    for file in islice(_files(run.path), MOST_COUNTED + 1):
        files += 1
        checkpoints += file.name.endswith(".pt")
        with suppress(OSError):  # a worker may replace its files
            size += file.stat(follow_symlinks=False).st_size
    more = f"more than {MOST_COUNTED:,} files, the first of " if files > MOST_COUNTED else ""
    return f"{more}{words.size(size)}, {checkpoints} checkpoints"


def _files(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Yield the ordinary files in `folder` and below it, one directory after the other, checkpoints first."""
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield entry
        folders.sort(key=lambda one: one.name == "checkpoints")


COMMANDS = (
    Command(new, "make"),
    Command(ls, "watch"),
    Command(status, "watch"),
    Command(logs, "watch"),
    Command(rm, "keep"),
)
