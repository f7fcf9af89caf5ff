"""`focus ls`: every experiment on a line, or as JSON. Without typer and pydantic, so that it answers at once."""

import json
import time
from pathlib import Path

from focus_engine.runs.folder import RunFolder, list_runs
from focus_engine.runs.labels import read_labels
from focus_engine.runs.state import summarise
from focus_tui.columns import RunRow, in_standing_order
from focus_tui.terminal import colours, out, say, width


def print_runs(root: Path, *, as_json: bool) -> None:
    """Print the experiments under `root`, live ones first, then the most recent."""
    rows = [read_row(run) for run in list_runs(root)]
    if as_json:
        out(json.dumps([row.summary.to_dict() for row in rows], ensure_ascii=False, indent=2, allow_nan=False))
    elif not rows:
        say(f"no experiments under {root} yet. Make one:\n  focus new experiment_diffusion")
    else:
        from focus_tui.run_table import run_table

        for line in run_table(in_standing_order(rows), now=time.time(), width=width(), color=colours()):
            out(line)


def read_row(run: RunFolder) -> RunRow:
    """Return what the list shows of `run`."""
    return RunRow(summarise(run), read_labels(run))
