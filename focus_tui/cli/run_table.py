"""The table of `focus ls` as plain text. Pure.

Not rich's table, whose import alone takes as long as the whole command (measured 1.6 against `import typer` = 1).
`focus_tui.view.columns` decides the text of the columns and which of them fit.
"""

from collections.abc import Sequence

from focus_tui.terminal import GREY, cells, fitted, painted
from focus_tui.view.columns import GAP, LIST_KEYS, Column, RunRow, columns_of, fit_columns
from focus_tui.view.words import GLYPHS


def run_table(
    rows: Sequence[RunRow],
    *,
    now: float,
    width: int | None,
    color: bool,
    columns: Sequence[Column] | None = None,
) -> list[str]:
    """Return the lines of the table, heading first; at most `width` cells wide; None leaves it uncut."""
    if columns is None:
        tagged = any(row.labels.tags or row.labels.archived for row in rows)
        columns = columns_of((*LIST_KEYS, "tags") if tagged else LIST_KEYS)
    shown = fit_columns(columns, rows, width, now)
    heading = _joined([_padded(column.title, column, room) for column, room in shown])
    lines = [painted(heading, GREY if color else None)]
    for row in rows:
        entries = [_padded(column.text(row, now), column, room) for column, room in shown]
        if color:
            paint = GLYPHS[row.summary.state][1]
            entries = [
                painted(entry, paint) if column.key == "state" else entry
                for entry, (column, _) in zip(entries, shown, strict=True)
            ]
        lines.append(_joined(entries))
    return lines


def _padded(text: str, column: Column, room: int) -> str:
    return fitted(text, room) if column.align == "left" else " " * max(0, room - cells(text)) + text


def _joined(entries: Sequence[str]) -> str:
    return (" " * GAP).join(entries).rstrip()
