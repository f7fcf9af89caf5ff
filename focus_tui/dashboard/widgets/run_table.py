"""The table of runs; it draws only visible rows, so that thousands of runs scroll smoothly."""

import time
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from focus_tui.terminal import cells, fitted
from focus_tui.view.columns import GAP, Column, RunRow, columns_of, fit_columns
from focus_tui.view.words import GLYPHS

GUTTER = 2
"""Cells before the first column, for the selection mark."""
STATE_STYLES = {90: "bright_black", 31: "red", 32: "green", 33: "yellow", 34: "blue"}
HEAD, DIM = Style(bold=True), Style(dim=True)


class RunTable(Widget, can_focus=True):
    """Rows of runs with a heading, a cursor and selection marks; sorting and filtering are left to the screen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"run-table--cursor"}
    DEFAULT_CSS = """
    RunTable { height: 1fr; width: 1fr; }
    RunTable > .run-table--cursor { background: $primary 35%; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "jump(0)", "first", show=False),
        Binding("end,G", "jump(-1)", "last", show=False),
        Binding("space", "mark", "select", tooltip="select for comparison"),
    ]

    cursor: reactive[int] = reactive(0)

    class CursorMoved(Message):
        """The cursor has moved to another run."""

    class RunOpened(Message):
        """A run was opened by enter or a double click."""

    class SelectionChanged(Message):
        """A run was selected or deselected."""

    class SortRequested(Message):
        """A heading was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class VisibleRowsChanged(Message):
        """The visible rows have changed."""

    def __init__(self, **keywords: Any) -> None:  # noqa: ANN401  (Widget's own)
        super().__init__(**keywords)
        self.rows: list[RunRow] = []
        self.marked: list[str] = []
        self.sorted_by: tuple[str, bool] | None = None
        self._columns: tuple[Column, ...] = ()
        self._fitted: list[tuple[Column, int]] = []
        self._top = 0
        self._seen: tuple[str, ...] = ()

    def use_columns(self, keys: tuple[str, ...]) -> None:
        """Show the columns `keys`."""
        self._columns = columns_of(keys)
        self._refit()

    def show(self, rows: list[RunRow]) -> None:
        """Show `rows`; the cursor stays on its run, or at its position if the run is gone."""
        here = self.current
        self.rows = rows
        if here is not None:
            paths = [row.summary.path for row in rows]
            if here.summary.path in paths:
                self.cursor = paths.index(here.summary.path)
        self.cursor = max(0, min(self.cursor, len(rows) - 1))
        now = self.current
        if (here and here.summary.path) != (now and now.summary.path):
            self.post_message(self.CursorMoved())
        self._refit()

    @property
    def current(self) -> RunRow | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    @property
    def visible_rows(self) -> list[RunRow]:
        """The visible rows."""
        return self.rows[self._top : self._top + max(1, self.size.height - 1)]

    def watch_cursor(self) -> None:
        """Scroll to the cursor and report its run."""
        self._refit()
        self.post_message(self.CursorMoved())

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        self._refit()

    def _refit(self) -> None:
        """Scroll the cursor into view, and fit the columns to the visible rows."""
        room = max(1, self.size.height - 1)
        self._top = max(0, min(self._top, len(self.rows) - room, self.cursor), self.cursor - room + 1)
        shown = self.visible_rows
        self._fitted = fit_columns(self._columns, shown, max(10, self.size.width - GUTTER - 1), time.time())
        seen = tuple(row.summary.path for row in shown)
        if seen != self._seen:
            self._seen = seen
            self.post_message(self.VisibleRowsChanged())
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the heading or a row."""
        width = self.size.width
        if y == 0:
            heading = Strip([Segment(" " * GUTTER), *self._heading()])
            return heading.adjust_cell_length(width).apply_style(self.rich_style)
        number = self._top + y - 1
        if number >= len(self.rows):
            return Strip.blank(width, self.rich_style)
        strip = Strip(self._row(self.rows[number])).adjust_cell_length(width - 1)
        here = number == self.cursor
        style = self.rich_style + (self.get_component_rich_style("run-table--cursor") if here else Style())
        return Strip([*strip.apply_style(style), Segment(self._bar(y), self.rich_style)])

    def _heading(self) -> list[Segment]:
        segments = []
        for column, width in self._fitted:
            arrow = self._arrow(column)
            title = arrow + column.title[: width - len(arrow)]
            text = " " * (width - cells(title)) + title if column.align == "right" else fitted(title, width)
            segments.append(Segment(text + " " * GAP, HEAD))
        return segments

    def _arrow(self, column: Column) -> str:
        if self.sorted_by is None or self.sorted_by[0] != column.key:
            return ""
        return "▾" if self.sorted_by[1] else "▴"

    def _row(self, row: RunRow) -> list[Segment]:
        now = time.time()
        segments = [Segment("◆ " if row.summary.path in self.marked else "  ", Style(color="cyan", bold=True))]
        for column, width in self._fitted:
            text = column.text(row, now)
            text = " " * (width - cells(text)) + text if column.align == "right" else fitted(text, width)
            segments.append(Segment(text + " " * GAP, self._style_of(column, row)))
        return segments

    def _style_of(self, column: Column, row: RunRow) -> Style:
        if column.key in {"state", "phase"}:
            return Style(color=STATE_STYLES[GLYPHS[row.summary.state][1]])
        if column.key == "spark":
            return Style(color="cyan")
        return DIM if column.key in {"age", "method", "gpu"} else Style()

    def _bar(self, y: int) -> str:
        """Return the character of the scroll bar on line `y`; blank if all rows are visible."""
        room = max(1, self.size.height - 1)
        if len(self.rows) <= room:
            return " "
        first = self._top * room // len(self.rows)
        length = max(1, room * room // len(self.rows))
        return "┃" if first <= y - 1 < first + length else "│"

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self.cursor = max(0, min(self.cursor + by, len(self.rows) - 1))

    def action_page(self, by: int) -> None:
        """Move the cursor by a page."""
        self.action_move(by * max(1, self.size.height - 2))

    def action_jump(self, place: int) -> None:
        """Move the cursor to the first (0) or last (-1) row."""
        self.cursor = 0 if place == 0 else max(0, len(self.rows) - 1)

    def action_open(self) -> None:
        """Open the run under the cursor."""
        if self.current is not None:
            self.post_message(self.RunOpened())

    def action_mark(self) -> None:
        """Select the run under the cursor for comparison, or deselect it."""
        if (row := self.current) is None:
            return
        path = row.summary.path
        if path in self.marked:
            self.marked.remove(path)
        else:
            self.marked.append(path)
        self.post_message(self.SelectionChanged())
        if self.cursor < len(self.rows) - 1:
            self.cursor += 1
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Sort by a clicked heading, move to a clicked row, or open a double-clicked one."""
        if event.y == 0:
            at = GUTTER
            for column, width in self._fitted:
                if at <= event.x < at + width + GAP:
                    self.post_message(self.SortRequested(column.key))
                at += width + GAP
            return
        number = self._top + event.y - 1
        if number < len(self.rows):
            self.cursor = number
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_down(self) -> None:
        """Move down."""
        self.action_move(3)

    def on_mouse_scroll_up(self) -> None:
        """Move up."""
        self.action_move(-3)
