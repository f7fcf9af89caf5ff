"""`focus ls`: every experiment on a line, or as JSON. Without typer and pydantic, so that it answers at once."""

import json
import time
from pathlib import Path

from focus_engine.runs.folder import list_runs
from focus_engine.runs.state import LIVE_STATES, RunSummary, summarise
from focus_tui.terminal import colours, out, say, width


def print_runs(root: Path, *, as_json: bool) -> None:
    """Print the experiments under `root`, live ones first, then the most recent."""
    runs = [summarise(run) for run in list_runs(root)]
    if as_json:
        out(json.dumps([run.to_dict() for run in runs], ensure_ascii=False, indent=2, allow_nan=False))
    elif not runs:
        say(f"no experiments under {root} yet. Make one:\n  focus new experiment_diffusion")
    else:
        from focus_tui.run_table import run_table

        runs.sort(key=_standing)
        for line in run_table(runs, now=time.time(), columns=width(), color=colours()):
            out(line)


def _standing(run: RunSummary) -> tuple[bool, float, str]:
    return run.state not in LIVE_STATES, -(run.updated or 0.0), run.name
