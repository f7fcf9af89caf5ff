"""`focus doctor`: checks whether this machine can train."""

import json
from typing import Annotated

import typer

from focus_engine.errors import FocusError
from focus_engine.runs.folder import find_run
from focus_tui.cli.choose import Json, complete_names, root_of
from focus_tui.cli.command import Command
from focus_tui.terminal import BLUE, GREEN, RED, YELLOW, cells, out, padded, painted

SIGNS = {"ok": ("✓", GREEN), "absent": ("-", BLUE), "warning": ("!", YELLOW), "problem": ("✗", RED)}


def doctor(
    context: typer.Context,
    exp: Annotated[
        str | None,
        typer.Argument(metavar="EXP", help="Also this experiment.", show_default=False, autocompletion=complete_names),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check this machine.

    Python, torch, GPUs, disk, terminal, SLURM; with EXP also its config and data. Each with a remedy. Exit code 1 if
    a problem prevents training.

    Example: focus doctor --json
    """
    from focus_tui.view.checks import examine

    root = root_of(context)
    findings = examine(root, None if exp is None else find_run(exp, root))
    if as_json:
        out(json.dumps([finding.to_dict() for finding in findings], ensure_ascii=False, indent=2))
    else:
        label = max(cells(finding.name) for finding in findings)
        for finding in findings:
            sign, colour = SIGNS[finding.status]
            out(f"{painted(sign, colour)} {padded(finding.name, label)}  {finding.found}")
            if finding.remedy:
                out(f"  {'':<{label}}  -> {finding.remedy}")
    problems = [finding.name for finding in findings if finding.status == "problem"]
    if problems:
        raise FocusError(f"{', '.join(problems)}: training can't run like this")


COMMANDS = (Command(doctor, "machine"),)
