"""The columns of a list of runs: their text, sort value and width. Pure.

`focus ls` and the dashboard's table share this definition, so that both name, cut and sort alike. The module must
stay light for `focus ls`: the sparkline, shown by default on the dashboard only, is imported when it is drawn.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from focus_engine.errors import InputError
from focus_engine.launch.summary import LIVE_STATES, RunSummary
from focus_engine.runs.labels import Labels
from focus_tui.terminal import cells, visible
from focus_tui.view.words import GLYPHS, counted, duration, loss, measured, perfect, rate, state_words

GAP = 2
"""Spaces between two columns."""
SPARK_WIDTH = 12
SortValue = float | str | tuple[str | int, ...]

_STATE_ORDER = {
    state: place
    for place, state in enumerate(
        (
            *("running", "starting", "stopping", "queued", "stalled", "unreachable", "lost", "failed"),
            *("stopped", "created", "early_stopped", "finished"),
        )
    )
}
"""Sort order of the states: live runs, runs that need attention, completed runs."""


@dataclass(frozen=True)
class RunRow:
    """The data that a list shows of one run.

    Attributes:
        summary: its state and latest numbers.
        labels: its tags, its note, and whether it is archived.
        val_losses: validation loss of each epoch; epochs superseded by a resume are left out.
        seconds_per_epoch: mean over its latest epochs.
        device: where it trains, such as `cuda:1`.
    """

    summary: RunSummary
    labels: Labels = field(default_factory=Labels)
    val_losses: tuple[float | None, ...] = ()
    seconds_per_epoch: float | None = None
    device: str | None = None


@dataclass(frozen=True)
class Column:
    """A column of the list.

    Attributes:
        key: its name in `--columns`, `--sort` and the settings.
        title: its heading.
        text: its text for a run at a time [Unix seconds]: one line, without control characters.
        value: its sort value; None if unknown.
        rank: columns are dropped from the highest rank down when the screen is narrow; rank 0 is never dropped.
        align: numbers are aligned to the right.
        low: the least width it may be cut to; None for a column that is never cut.
    """

    key: str
    title: str
    text: Callable[[RunRow, float], str]
    value: Callable[[RunRow], SortValue | None]
    rank: int
    align: Literal["left", "right"] = "right"
    low: int | None = None


def _ago(row: RunRow, now: float) -> str:
    """Return the time since the last event, in one unit, so that the column keeps its width."""
    if row.summary.updated is None:
        return "-"
    seconds = max(0.0, now - row.summary.updated)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _phase(row: RunRow) -> str:
    run = row.summary
    if run.state == "early_stopped":
        return f"early stopped @ {run.epoch}"
    return run.phase.upper() if run.phase and run.state in {"running", "stopping"} else state_words(run)


def _spark(row: RunRow) -> str:
    if not row.val_losses:
        return ""
    from focus_tui.charts.sparkline import sparkline

    return sparkline(row.val_losses, SPARK_WIDTH)


def _one_line(text: str) -> str:
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def _natural(text: str) -> tuple[str | int, ...]:
    """Return `text` as a key for natural order: `run2` before `run10`, ignoring case."""
    import re

    parts = re.split(r"(\d+)", text.casefold())
    return tuple(int(part) if odd % 2 else part for odd, part in enumerate(parts))


COLUMNS = (
    Column(
        "state",
        "STATE",
        lambda row, _: f"{GLYPHS[row.summary.state][0]} {state_words(row.summary)}",
        lambda row: (_STATE_ORDER.get(row.summary.state, len(_STATE_ORDER)), row.summary.queue_place or 0),
        0,
        "left",
    ),
    Column(
        "name",
        "NAME",
        lambda row, _: _one_line(row.summary.name),
        lambda row: _natural(row.summary.name),
        0,
        "left",
        12,
    ),
    Column(
        "method",
        "METHOD",
        lambda row, _: _one_line(row.summary.method or "-"),
        lambda row: row.summary.method,
        8,
        "left",
    ),
    Column("phase", "PHASE", lambda row, _: _phase(row), _phase, 4, "left"),
    Column("epoch", "EPOCH", lambda r, _: counted(r.summary.epoch, r.summary.num_epochs), lambda r: r.summary.epoch, 1),
    Column("spark", "VAL LOSS", lambda row, _: _spark(row), lambda row: row.summary.val_loss, 6, "left"),
    Column("val", "VAL", lambda row, _: loss(row.summary.val_loss), lambda row: row.summary.val_loss, 5),
    Column("best", "BEST", lambda row, _: loss(row.summary.best_val_loss), lambda row: row.summary.best_val_loss, 2),
    Column("at", "AT", lambda row, _: _count(row.summary.best_epoch), lambda row: row.summary.best_epoch, 6),
    Column(
        "pk",
        "P(k)",
        lambda row, _: measured(row.summary.pk_error, row.summary.pk_error_std),
        lambda row: row.summary.pk_error,
        4,
    ),
    Column(
        "perfect",
        "PERFECT",
        lambda row, _: perfect(row.summary.pk_error_null),
        lambda row: row.summary.pk_error_null,
        4,
    ),
    Column("lr", "LR", lambda row, _: rate(row.summary.lr), lambda row: row.summary.lr, 7),
    Column("time", "PER EPOCH", lambda row, _: duration(row.seconds_per_epoch), lambda r: r.seconds_per_epoch, 9),
    Column("eta", "LEFT", lambda row, _: duration(row.summary.eta_seconds), lambda row: row.summary.eta_seconds, 3),
    Column("gpu", "GPU", lambda row, _: _one_line(row.device or "-"), lambda row: row.device, 9, "left"),
    Column("age", "UPDATED", _ago, lambda row: None if row.summary.updated is None else -row.summary.updated, 3),
    Column(
        "tags",
        "TAGS",
        lambda row, _: " ".join([*row.labels.tags, *(["(archived)"] if row.labels.archived else [])]),
        lambda r: " ".join(r.labels.tags) or None,
        5,
        "left",
        8,
    ),
    Column(
        "note",
        "NOTE",
        lambda row, _: visible(" ".join(row.labels.note.split())),
        lambda row: row.labels.note.casefold() or None,
        10,
        "left",
        12,
    ),
)
"""Every column, in the order of the widest list."""

BY_KEY = {column.key: column for column in COLUMNS}
LIST_KEYS = ("state", "name", "method", "epoch", "val", "best", "at", "pk", "perfect", "lr", "eta", "age")
"""The columns of `focus ls`, which adds `tags` if any run has a tag."""
DASHBOARD_KEYS = (
    "state",
    "name",
    "method",
    "epoch",
    "spark",
    "best",
    "at",
    "pk",
    "perfect",
    "lr",
    "time",
    "eta",
    "gpu",
    "age",
    "tags",
)
"""The dashboard's default columns."""
HISTORY_KEYS = frozenset({"spark", "time", "gpu"})
"""Columns that need the whole log, not only its end."""


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def columns_of(keys: Iterable[str]) -> tuple[Column, ...]:
    """Return the columns named by `keys`, each once. Raises InputError for an unknown key, and for no key at all."""
    found = tuple(column_of(key) for key in dict.fromkeys(key.strip() for key in keys) if key)
    if not found:
        raise InputError(f"no column is named; allowed: {', '.join(BY_KEY)}")
    return found


def column_of(key: str) -> Column:
    """Return the column named `key`. Raises InputError that suggests the nearest one."""
    if key in BY_KEY:
        return BY_KEY[key]
    raise InputError(f"unknown column {key!r}{nearest(key, BY_KEY)}")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" for the nearest of the `known` words, followed by all of them."""
    import difflib

    names = list(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"{f'; did you mean {close[0]!r}?' if close else ';'} allowed: {', '.join(names)}"


def in_default_order(rows: Iterable[RunRow]) -> list[RunRow]:
    """Return rows in the default order: live runs first, then the most recently updated."""
    return sorted(
        rows,
        key=lambda row: (row.summary.state not in LIVE_STATES, -(row.summary.updated or 0.0), row.summary.name),
    )


def fit_columns(
    columns: Sequence[Column], rows: Sequence[RunRow], width: int | None, now: float
) -> list[tuple[Column, int]]:
    """Return the columns that fit in `width` cells, each with its own width; with None, all of them uncut.

    Names, tags and notes are cut before a column is dropped; then the highest rank is dropped first. A column is as
    wide as its title and its texts in `rows`, which may be the rows on the screen only.
    """
    widths = {
        column.key: max(map(cells, {column.title, *(column.text(row, now) for row in rows)})) for column in columns
    }
    if width is None:
        return [(column, widths[column.key]) for column in columns]
    lows = {column.key: min(widths[column.key], column.low or widths[column.key]) for column in columns}
    shown = list(columns)
    while _total(shown, lows) > width and any(column.rank for column in shown):
        shown.remove(max(shown, key=lambda column: (column.rank, shown.index(column))))
    for column in sorted(shown, key=lambda column: (column.low is None, -column.rank)):
        excess = _total(shown, widths) - width
        floor = lows[column.key] if column.rank else 1
        widths[column.key] = max(floor, widths[column.key] - max(0, excess))
    return [(column, widths[column.key]) for column in shown]


def _total(columns: Sequence[Column], widths: dict[str, int]) -> int:
    return sum(widths[column.key] + GAP for column in columns) - GAP
