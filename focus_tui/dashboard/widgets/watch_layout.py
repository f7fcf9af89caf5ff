"""Which panes of the Watch screen stand on a screen of a given size, and where. Pure."""

from dataclasses import dataclass
from typing import Literal

from focus_tui.view.panes import LOG, panes_with_picture

LogPlace = Literal["none", "strip", "column", "alone"]
PANE_ROWS = 17
"""Rows of the screen, log and head included, that two panes side by side ask for."""


@dataclass(frozen=True)
class Layout:
    """What is shown: the pictures row by row in `columns` columns, and where the log is."""

    pictures: tuple[str, ...]
    columns: int
    log: LogPlace
    log_size: int = 0


def lay_out(width: int, height: int, zoomed: str | None = None) -> Layout:
    """Return the panes for a screen of `width` x `height`: all of them where there is room, else the first ones."""
    if zoomed == LOG:
        return Layout((), 1, "alone")
    if zoomed is not None:
        return Layout((zoomed,), 1, "none")
    many = first_pictures(2 * (height // PANE_ROWS))
    if width >= 168 and height >= 2 * PANE_ROWS:
        return Layout(many, 2, "column", max(46, min(84, width - 2 * 64)))
    if width >= 110 and height >= 2 * PANE_ROWS:
        return Layout(many, 2, "strip", max(7, height // 5))
    if width >= 110 and height >= 20:
        return Layout(first_pictures(2), 2, "none")
    if height >= 36 and width >= 50:
        return Layout(first_pictures(2), 1, "strip", max(6, height // 6))
    return Layout(first_pictures(1), 1, "none")


def first_pictures(count: int) -> tuple[str, ...]:
    """Return the pictures that come first by their priority, in the order of the screen."""
    chosen = sorted(panes_with_picture(), key=lambda pane: pane.priority)[:count]
    return tuple(pane.name for pane in panes_with_picture() if pane in chosen)


def head_rows(height: int) -> int:
    """Return how many lines the head may have at most on a screen of `height`."""
    return max(1, min(8, height // 4))
