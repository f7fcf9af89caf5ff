"""The log of a run on the screen: epoch blocks and notes, of which only the visible lines are drawn."""

from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from focus_engine.events import EpochFinished, Event
from focus_engine.runs.epoch_block import epoch_block
from focus_tui.terminal import visible
from focus_tui.words import note

PLAIN, DIM, GOOD, WARN, BAD, FOUND = (
    Style(),
    Style(dim=True),
    Style(color="green", bold=True),
    Style(color="yellow"),
    Style(color="red"),
    Style(reverse=True),
)


def log_lines(event: Event) -> list[tuple[str, Style]]:
    """Return what the log says of an event, line by line; control characters are shown, never obeyed."""
    if isinstance(event, EpochFinished):
        return [(line, _style(line)) for line in epoch_block(event).splitlines()]
    words = note(event)
    if words is None:
        return []
    style = WARN if words.startswith("warning") else BAD if words.startswith("failed") else DIM
    return [(f"-- {line}", style) for line in visible(words).replace("\t", " ").split("\n")]


def _style(line: str) -> Style:
    if line.startswith("="):
        return DIM
    return GOOD if "✓" in line else Style(bold=True) if line.startswith("Epoch") else PLAIN


class LogPane(Widget, can_focus=True):
    """Shows the end of the log while it follows, and any part of it otherwise."""

    DEFAULT_CSS = "LogPane { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(-1)", "up", show=False),
        Binding("down,j", "scroll(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
    ]

    def __init__(self, **keywords: Any) -> None:  # noqa: ANN401  (Widget's own)
        super().__init__(**keywords)
        self.follow = True
        self.lines: list[tuple[str, Style]] = []
        self._log: tuple[Event, ...] = ()
        self._top = 0
        self._found: int | None = None

    def show(self, log: tuple[Event, ...]) -> None:
        """Show a log; lines that are known already are kept."""
        known = len(self._log)
        if log is self._log:
            return
        if known and len(log) >= known and log[0] is self._log[0] and log[known - 1] is self._log[-1]:
            fresh = log[known:]
        else:
            self.lines, fresh = [], log
        for event in fresh:
            self.lines += log_lines(event)
        self._log = log
        self.refresh()

    @property
    def top(self) -> int:
        """The first line on the screen."""
        last = max(0, len(self.lines) - self.size.height)
        return last if self.follow else max(0, min(self._top, last))

    def render_line(self, y: int) -> Strip:
        """Return one line of the log."""
        number, width = self.top + y, self.size.width
        if number >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        text, style = self.lines[number]
        style = FOUND if number == self._found else style
        return Strip([Segment(text, style)]).adjust_cell_length(width).apply_style(self.rich_style)

    def search(self, words: str, *, backwards: bool = False) -> bool:
        """Go to the next line that has `words` in it; whether there is one."""
        wanted = words.casefold()
        start = self._found if self._found is not None else (len(self.lines) if backwards else -1)
        places = range(start - 1, -1, -1) if backwards else range(start + 1, len(self.lines))
        around = range(len(self.lines) - 1, -1, -1) if backwards else range(len(self.lines))
        for place in (*places, *around):
            if wanted in self.lines[place][0].casefold():
                self._found, self.follow = place, False
                self._top = max(0, place - self.size.height // 2)
                self.refresh()
                return True
        return False

    def toggle_follow(self) -> bool:
        """Follow the end, or stay where it is; return which."""
        self._top, self.follow = self.top, not self.follow
        self._found = None
        self.refresh()
        return self.follow

    def action_scroll(self, by: int) -> None:
        """Scroll; at the end it follows again."""
        last = max(0, len(self.lines) - self.size.height)
        self._top = max(0, min(self.top + by, last))
        self.follow = self._top == last
        self.refresh()

    def action_page(self, by: int) -> None:
        """Scroll by a screen."""
        self.action_scroll(by * max(1, self.size.height - 1))

    def on_mouse_scroll_down(self) -> None:
        """Scroll down."""
        self.action_scroll(3)

    def on_mouse_scroll_up(self) -> None:
        """Scroll up."""
        self.action_scroll(-3)
