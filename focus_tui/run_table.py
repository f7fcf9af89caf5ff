"""The table of `focus ls`, in plain text: pure.

Not rich's table, whose import alone costs as much as the whole command (measured 1.6 against `import typer`).
Columns that matter least go first when the terminal is narrow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from focus_engine.runs.state import RunSummary
from focus_tui.words import GLYPHS, age, counted, duration, loss, percent, rate, state_words
from focus_tui.terminal import GREY, cells, fitted, painted, visible

MIN_NAME = 12


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        title: its heading.
        text: what it says of a run.
        rank: the lowest rank stays longest.
        right: numbers stand at the right.
    """

    title: str
    text: Callable[[RunSummary, float], str]
    rank: int
    right: bool = True


COLUMNS = (
    Column("STATE", lambda run, _: f"{GLYPHS[run.state][0]} {state_words(run)}", 0, right=False),
    Column("NAME", lambda run, _: visible(run.name), 0, right=False),
    Column("METHOD", lambda run, _: visible(run.method or "-"), 6, right=False),
    Column("EPOCH", lambda run, _: counted(run.epoch, run.num_epochs), 1),
    Column("VAL", lambda run, _: loss(run.val_loss), 4),
    Column("BEST", lambda run, _: loss(run.best_val_loss), 2),
    Column("AT", lambda run, _: "-" if run.best_epoch is None else str(run.best_epoch), 5),
    Column("P(k)", lambda run, _: percent(run.pk_error), 4),
    Column("LR", lambda run, _: rate(run.lr), 7),
    Column("LEFT", lambda run, _: duration(run.eta_seconds), 3),
    Column("UPDATED", lambda run, now: "-" if run.updated is None else f"{age(run.updated, now)} ago", 3),
)


def run_table(runs: Sequence[RunSummary], *, now: float, columns: int | None, color: bool) -> list[str]:
    """Return the lines of the table, heading first; at most `columns` wide, or as wide as it needs."""
    shown = list(COLUMNS)
    cells_of = {column: [column.text(run, now) for run in runs] for column in shown}
    widths = {column: max(cells(text) for text in [column.title, *cells_of[column]]) for column in shown}
    name = next(column for column in shown if column.title == "NAME")
    if columns is not None:
        while _needed(shown, widths, name) > columns and any(column.rank for column in shown):
            shown.remove(max(shown, key=lambda column: (column.rank, shown.index(column))))
        spare = columns - sum(widths[column] + 2 for column in shown if column is not name)
        widths[name] = max(1, min(widths[name], spare))
    heading = _line([(column, column.title) for column in shown], widths)
    lines = [painted(heading, GREY if color else None)]
    for number, run in enumerate(runs):
        line = _line([(column, cells_of[column][number]) for column in shown], widths)
        state = widths[shown[0]]
        lines.append(painted(line[:state], GLYPHS[run.state][1] if color else None) + line[state:])
    return lines


def _needed(shown: Sequence[Column], widths: dict[Column, int], name: Column) -> int:
    wide = {**widths, name: min(widths[name], MIN_NAME)}
    return sum(wide[column] + 2 for column in shown) - 2


def _line(entries: Sequence[tuple[Column, str]], widths: dict[Column, int]) -> str:
    parts = []
    for column, text in entries:
        padding = " " * max(0, widths[column] - cells(text))
        parts.append(padding + text if column.right else fitted(text, widths[column]))
    return "  ".join(parts).rstrip()
