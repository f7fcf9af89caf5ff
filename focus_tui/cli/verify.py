"""`focus verify`: reads every checkpoint in full and says which are damaged. Needs no torch."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from focus_engine.errors import FocusError, InputError
from focus_engine.runs.folder import RunFolder, find_run, list_runs
from focus_tui.cli.choose import Json, chosen_run, complete_names, root_of
from focus_tui.cli.command import Command
from focus_tui.terminal import GREEN, GREY, RED, colours, out, padded, painted, say, visible

if TYPE_CHECKING:
    from focus_engine.runs.proofs import Verified
    from focus_engine.seal import Condition

WORDS: dict["Condition", tuple[str, int]] = {
    "proved": ("proved: every byte is as it was written", GREEN),
    "unproved": ("unproved: contents are right, but an earlier FOCUS wrote no CRC-32 over the whole file", GREY),
    "damaged": ("DAMAGED", RED),
}


def verify(
    context: typer.Context,
    exps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXP]...",
            help="Names or paths of experiments [that of the current folder, else the latest].",
            show_default=False,
            autocompletion=complete_names,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All experiments, archived ones too.")] = False,
    as_json: Json = False,
) -> None:
    """Check that no checkpoint is damaged.

    Reads every byte of the checkpoints and of the snapshots of averaged weights. Exits with 1 if one is damaged.

    Example: focus verify --all
    """
    if every and exps:
        raise InputError("--all is every experiment: leave the names out")
    root = root_of(context)
    if every:
        runs = list_runs(root)
    else:
        runs = list(dict.fromkeys(find_run(name, root) for name in exps or ())) or [chosen_run(context, None)]
    rows = _as_json(runs) if as_json else _as_table(runs)
    if not rows:
        say("no checkpoints to verify")
    _report(rows)


Rows = list[tuple[RunFolder, "Verified"]]


def _report(rows: Rows) -> None:
    """Raise FocusError if a file is damaged, or could not be read, which may be the machine's fault."""
    damaged = [f"{run.name}/{_file(run, one)}" for run, one in rows if one.inspection.condition == "damaged"]
    if unread := [one for _, one in rows if not one.inspection.readable]:
        raise FocusError(
            f"{len(unread)} of {len(rows)} files cannot be read, such as {visible(str(unread[0].path))} "
            f"({unread[0].inspection.problem.removeprefix('cannot be read: ')}): try again once the disk answers"
        )
    if damaged:
        raise FocusError(
            f"{len(damaged)} of {len(rows)} files are damaged: {visible(', '.join(damaged))}. No command loads them; "
            "focus resume goes on from the newest checkpoint that is whole"
        )


def _verified(runs: list[RunFolder]) -> Iterator[tuple[RunFolder, "Verified"]]:
    from focus_engine.runs.proofs import verify as verify_run

    for run in runs:
        for one in verify_run(run):
            yield run, one


def _as_table(runs: list[RunFolder]) -> Rows:
    """Print each file as soon as it is read, because large ones take seconds."""
    from focus_engine.runs.proofs import checkpoint_files
    from focus_tui.view.words import size

    files = {run.name: [str(path.relative_to(run.path)) for path in checkpoint_files(run)] for run in runs}
    names = max((len(visible(name)) for name, held in files.items() if held), default=0)
    paths = max((len(path) for held in files.values() for path in held), default=0)
    rows: Rows = []
    for run, one in _verified(runs):
        rows.append((run, one))
        words, colour = WORDS[one.inspection.condition] if one.inspection.readable else ("unread", RED)
        problem = one.inspection.problem.removeprefix("damaged: ")
        text = painted(f"{words}: {visible(problem)}" if problem else words, colour if colours() else None)
        out(f"{padded(visible(run.name), names)}  {padded(_file(run, one), paths)}  {size(one.bytes):>8}  {text}")
    return rows


def _as_json(runs: list[RunFolder]) -> Rows:
    rows = list(_verified(runs))
    out(json.dumps([_document(run, one) for run, one in rows], ensure_ascii=False, indent=2))
    return rows


def _document(run: RunFolder, one: "Verified") -> dict[str, Any]:
    return {
        "name": run.name,
        "path": str(one.path),
        "bytes": one.bytes,
        "condition": one.inspection.condition,
        "problem": one.inspection.problem or None,
    }


def _file(run: RunFolder, one: "Verified") -> str:
    return str(one.path.relative_to(run.path))


COMMANDS = (Command(verify, "keep"),)
