"""`focus verify`: reads checkpoints and weights files in full and says which are damaged. Needs no torch."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from focus_engine.errors import FocusError, InputError
from focus_engine.runs.folder import RunFolder, list_runs
from focus_tui.cli.choose import Json, chosen_model, complete_names, root_of
from focus_tui.cli.command import Command
from focus_tui.terminal import GREEN, GREY, RED, colours, out, padded, painted, say, visible

if TYPE_CHECKING:
    from focus_engine.runs.proofs import Verified
    from focus_engine.seal import Condition, Inspection

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
            metavar="[EXP|FILE]...",
            help="Experiments or weights files (.safetensors) [experiment of the current folder, else the latest].",
            show_default=False,
            autocompletion=complete_names,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All experiments, archived ones too.")] = False,
    as_json: Json = False,
) -> None:
    """Check that no checkpoint or weights file is damaged.

    Reads every byte of the checkpoints and of the snapshots of averaged weights. Exits with 1 if one is damaged.

    Example: focus verify --all
    """
    if every and exps:
        raise InputError("--all is every experiment: leave the names out")
    root = root_of(context)
    if every:
        chosen: Chosen = list(list_runs(root))
    else:
        chosen = list(dict.fromkeys(chosen_model(context, name) for name in exps or (None,)))
    rows = _as_json(chosen) if as_json else _as_table(chosen)
    if not rows:
        say("no checkpoints to verify")
    _report(rows)


Chosen = list[RunFolder | Path]


@dataclass(frozen=True)
class Row:
    """What was found of one file.

    Attributes:
        name: the name of the experiment, or the path of a weights file.
        file: path within the experiment; empty for a weights file.
        checked: what reading it has shown.
    """

    name: str
    file: str
    checked: "Verified"

    @property
    def inspection(self) -> "Inspection":
        """What reading the file has shown."""
        return self.checked.inspection


def _report(rows: list[Row]) -> None:
    """Raise FocusError if a file is damaged, or could not be read, which may be the machine's fault."""
    damaged = [row for row in rows if row.inspection.condition == "damaged"]
    if unread := [row for row in rows if not row.inspection.readable]:
        raise FocusError(
            f"{len(unread)} of {len(rows)} files cannot be read, such as {visible(str(unread[0].checked.path))} "
            f"({unread[0].inspection.problem.removeprefix('cannot be read: ')}): try again once the disk answers"
        )
    if damaged:
        listed = ", ".join("/".join(filter(None, (row.name, row.file))) for row in damaged)
        remedies = ["focus resume goes on from the newest checkpoint that is whole"] * any(row.file for row in damaged)
        remedies += ["copy weights files again, or write them again by focus export"] * any(
            not row.file for row in damaged
        )
        raise FocusError(
            f"{len(damaged)} of {len(rows)} files are damaged: {visible(listed)}. No command loads them; "
            + "; ".join(remedies)
        )


def _verified(chosen: Chosen) -> Iterator[Row]:
    from focus_engine.runs.proofs import Verified
    from focus_engine.runs.proofs import verify as verify_run
    from focus_engine.weights_seal import inspect_weights

    for one in chosen:
        if isinstance(one, Path):
            yield Row(str(one), "", Verified(one, one.stat().st_size, inspect_weights(one)))
            continue
        for checked in verify_run(one):
            yield Row(one.name, str(checked.path.relative_to(one.path)), checked)


def _as_table(chosen: Chosen) -> list[Row]:
    """Print each file as soon as it is read, because large ones take seconds."""
    from focus_engine.runs.proofs import checkpoint_files
    from focus_tui.view.words import size

    runs = [one for one in chosen if isinstance(one, RunFolder)]
    files = {run.name: [str(path.relative_to(run.path)) for path in checkpoint_files(run)] for run in runs}
    shown = [name for name, held in files.items() if held] + [str(one) for one in chosen if isinstance(one, Path)]
    names = max((len(visible(name)) for name in shown), default=0)
    paths = max((len(path) for held in files.values() for path in held), default=0)
    rows: list[Row] = []
    for row in _verified(chosen):
        rows.append(row)
        words, colour = WORDS[row.inspection.condition] if row.inspection.readable else ("unread", RED)
        if not row.file and row.inspection.condition == "unproved":
            words = "unproved: an earlier FOCUS wrote no CRC-32"
        problem = row.inspection.problem.removeprefix("damaged: ")
        text = painted(f"{words}: {visible(problem)}" if problem else words, colour if colours() else None)
        out(f"{padded(visible(row.name), names)}  {padded(row.file, paths)}  {size(row.checked.bytes):>8}  {text}")
    return rows


def _as_json(chosen: Chosen) -> list[Row]:
    rows = list(_verified(chosen))
    out(json.dumps([_document(row) for row in rows], ensure_ascii=False, indent=2))
    return rows


def _document(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "path": str(row.checked.path),
        "bytes": row.checked.bytes,
        "condition": row.inspection.condition,
        "problem": row.inspection.problem or None,
    }


COMMANDS = (Command(verify, "keep"),)
