"""The log of a run: epoch blocks and notes, of which only visible lines are drawn."""

from bisect import bisect_right
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from focus_engine.events.epoch_block import LineKind, epoch_lines
from focus_engine.events.table import EpochFinished, Event, RunEnded, Warned
from focus_tui.terminal import cells, visible
from focus_tui.view.words import counted, duration, event_note, loss, rate

PLAIN, DIM, GOOD, WARN, BAD, FOUND = (
    Style(),
    Style(dim=True),
    Style(color="green", bold=True),
    Style(color="yellow"),
    Style(color="red"),
    Style(reverse=True),
)
BLOCK_STYLES: dict[LineKind, Style] = {"rule": DIM, "title": Style(bold=True), "value": PLAIN, "best": GOOD}
"""Styles of the lines of an epoch block."""


def log_lines(event: Event, *, brief: bool = False, width: int = 0) -> list[tuple[str, Style]]:
    """Return the styled log lines of an event; control characters are made visible.

    `brief` puts an epoch on one line instead of a block; notes are wrapped to `width`, unless that is 0.
    """
    if isinstance(event, EpochFinished):
        if brief:
            return [(brief_line(event), GOOD if event.is_best else WARN if event.lr_cut else PLAIN)]
        return [(line, BLOCK_STYLES[kind]) for line, kind in epoch_lines(event)]
    words = event_note(event)
    if words is None:
        return []
    failed = isinstance(event, RunEnded) and event.state == "failed"
    style = WARN if isinstance(event, Warned) else BAD if failed else DIM
    lines = visible(words).replace("\t", " ").split("\n")
    return [(part, style) for line in lines for part in _wrapped(f"-- {line}", width)]


def _wrapped(line: str, width: int) -> list[str]:
    """Wrap a line at spaces, or within a word that is too long; Korean letters take two cells."""
    if not width or cells(line) <= width:
        return [line]
    parts = [""]
    for word in line.split(" "):
        room = width - cells(parts[-1]) - 1
        if parts[-1] and cells(word) <= room:
            parts[-1] += " " + word
            continue
        parts += ["   "] if parts[-1] else []
        for letter in word:
            parts += ["   "] if cells(parts[-1]) + cells(letter) > width > 8 else []
            parts[-1] += letter
    return parts


def brief_line(event: EpochFinished) -> str:
    """Return an epoch on one line, in columns."""
    wide = len(str(event.num_epochs))
    words = [
        f"Epoch {event.epoch:>{wide}}/{event.num_epochs}",
        f"train {loss(event.train_loss)}",
        f"val {loss(event.val_loss)}",
        f"LR {rate(event.lr)}",
        f"{duration(event.seconds):>7}",
    ]
    if event.plateau_patience:
        words.append(f"bad {counted(event.bad_epochs, event.plateau_patience)}")
    if event.early_stop_patience:
        limit = len(str(event.early_stop_patience))
        words.append(f"patience {event.early_stop_count:>{limit}}/{event.early_stop_patience}")
    marks = ["warmup" * (event.phase == "warmup"), "✓ best" * event.is_best]
    marks.append(f"LR cut to {rate(event.next_lr)}" * event.lr_cut)
    return "  ".join([*words, *(mark for mark in marks if mark)])


class LogPane(Widget, can_focus=True):
    """Shows the end of the log while `follow` is set, and any part of it otherwise."""

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
        self._starts: list[int] = []
        self._log: tuple[Event, ...] = ()
        self._shape = (False, 0)
        self._title_shown = ""
        self._top = 0
        self._found: int | None = None

    def show(self, log: tuple[Event, ...], *, brief: bool = False) -> None:
        """Show a log, with one line per epoch if `brief`; known lines and the scroll position are kept."""
        known = len(self._log)
        shape = (brief, self.size.width)
        if log is self._log and shape == self._shape:
            return
        here = max(0, bisect_right(self._starts, self._top) - 1)
        kept = shape == self._shape and known and len(log) >= known
        if kept and log[0] is self._log[0] and log[known - 1] is self._log[-1]:
            fresh = log[known:]
        else:
            self.lines, self._starts, self._found, fresh = [], [], None, log
        for event in fresh:
            self._starts.append(len(self.lines))
            self.lines += log_lines(event, brief=brief, width=self.size.width)
        if shape != self._shape and here < len(self._starts):
            self._top = self._starts[here]
        self._log, self._shape = log, shape
        self.refresh()

    def set_title(self, title: str) -> None:
        """Set the title on the border; an unchanged title causes no redraw."""
        if title != self._title_shown:
            self._title_shown, self.border_title = title, Text(title)

    def on_resize(self) -> None:
        """Wrap the notes to the new width."""
        self.show(self._log, brief=self._shape[0])

    def clear_match(self) -> None:
        """Clear the highlighted match."""
        self._found = None
        self.refresh()

    @property
    def top(self) -> int:
        """Index of the first visible line."""
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
        """Go to the next line that contains `words`, wrapping around; return whether there is one."""
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
        """Switch between following the end and staying in place; return whether it follows."""
        self._top, self.follow = self.top, not self.follow
        self._found = None
        self.refresh()
        return self.follow

    def action_scroll(self, by: int) -> None:
        """Scroll by lines; at the end, follow again."""
        last = max(0, len(self.lines) - self.size.height)
        self._top = max(0, min(self.top + by, last))
        self.follow = self._top == last
        self.refresh()

    def action_page(self, by: int) -> None:
        """Scroll by a page."""
        self.action_scroll(by * max(1, self.size.height - 1))

    def on_mouse_scroll_down(self) -> None:
        """Scroll down."""
        self.action_scroll(3)

    def on_mouse_scroll_up(self) -> None:
        """Scroll up."""
        self.action_scroll(-3)
