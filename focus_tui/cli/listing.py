"""`focus ls`: one line per experiment, or JSON. Imports neither typer nor pydantic, to start fast."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder, list_runs
from focus_engine.runs.labels import read_labels
from focus_tui.terminal import colours, out, say, width
from focus_tui.view.columns import HISTORY_KEYS, Column, RunRow, columns_of, in_default_order

Order = Callable[[Iterable[RunRow]], list[RunRow]]


def print_runs(
    root: Path,
    *,
    as_json: bool = False,
    archived: bool = False,
    wanted: str = "",
    sort: str | None = None,
    columns: str | None = None,
) -> None:
    """Print the experiments under `root`.

    Args:
        root: the experiments folder.
        as_json: JSON instead of a table.
        archived: include archived experiments.
        wanted: a filter (see `focus_tui.view.query`).
        sort: a column, with a leading `-` for descending; None for live runs first, then the most recently updated
            (JSON: by name).
        columns: keys of the columns, separated by commas; None for `LIST_KEYS`.

    Raises:
        InputError: a wrong filter, sort or column; raised before any run is read.
    """
    chosen = None if columns is None else columns_of(columns.split(","))
    passes, fields = _filter(wanted, archived=archived)
    ordered = _order(sort) if sort is not None else list if as_json else in_default_order
    fields |= {column.key for column in chosen or ()} | {(sort or "").strip().lstrip("-")}
    known = [read_row(run, details=not fields.isdisjoint(HISTORY_KEYS)) for run in list_runs(root)]
    rows = ordered(row for row in known if passes(row))
    if as_json:
        out(json.dumps([row_document(row) for row in rows], ensure_ascii=False, indent=2, allow_nan=False))
    elif not rows:
        say(_no_rows_message(root, wanted, known))
    else:
        _print_table(rows, chosen)


def read_row(run: RunFolder, *, details: bool = False) -> RunRow:
    """Return the row of `run`; with loss curve, time per epoch and device if `details`."""
    row = RunRow(summarise(run), read_labels(run))
    if details:
        from focus_tui.view.row_details import DetailReader

        row = DetailReader(run).added_to(row)
    return row


def row_document(row: RunRow) -> dict[str, Any]:
    """Return the documented JSON object of `focus ls --json` and `focus status --json`."""
    labels = {"tags": list(row.labels.tags), "note": row.labels.note, "archived": row.labels.archived}
    return row.summary.to_dict() | labels


def _filter(wanted: str, *, archived: bool) -> tuple[Callable[[RunRow], bool], set[str]]:
    """Return the predicate of the filter `wanted`, and the fields it uses."""
    if not wanted.strip():
        return lambda row: archived or not row.labels.archived, set()
    from focus_tui.view.query import parse_query

    query = parse_query(wanted)
    query = replace(query, archived=query.archived or archived)
    now = time.time()
    return lambda row: query.matches(row, now), set(query.fields)


def _order(sort: str) -> Order:
    from focus_tui.view.query import parse_sort, sort_rows

    key, descending = parse_sort(sort)
    return lambda rows: sort_rows(in_default_order(rows), key, descending)


def _print_table(rows: Sequence[RunRow], columns: Sequence[Column] | None) -> None:
    from focus_tui.cli.run_table import run_table

    for line in run_table(rows, now=time.time(), width=width(), color=colours(), columns=columns):
        out(line)


def _no_rows_message(root: Path, wanted: str, known: Sequence[RunRow]) -> str:
    if not known:
        return f"no experiments under {root} yet. Make one:\n  focus new experiment_diffusion"
    hidden_count = sum(row.labels.archived for row in known)
    if not wanted.strip():
        return f"{_counted(hidden_count)} archived: focus ls --all"
    hidden = f"; {_counted(hidden_count)} archived: add --all" if hidden_count else ""
    return f"none of {_counted(len(known))} passes the filter {wanted.strip()!r}{hidden}"


def _counted(count: int) -> str:
    return f"{count} experiment{'' if count == 1 else 's'}"
