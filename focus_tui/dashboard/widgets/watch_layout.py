"""Layout of the Watch screen: which panes a screen size shows, and where. Pure."""

from dataclasses import dataclass
from typing import Literal

from focus_tui.view.panes import LOG, panes_with_picture

LogPlace = Literal["none", "strip", "column", "alone"]
PANE_ROWS = 17
"""Screen rows needed per row of panes, log and head included."""


@dataclass(frozen=True)
class Layout:
    """The shown charts, row by row in `columns` columns, and the place and size of the log."""

    pictures: tuple[str, ...]
    columns: int
    log: LogPlace
    log_size: int = 0


def lay_out(width: int, height: int, zoomed: str | None = None) -> Layout:
    """Return the layout for a screen of `width` x `height`; panes that do not fit are dropped by priority."""
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
    """Return the `count` charts of highest priority, in screen order."""
    chosen = sorted(panes_with_picture(), key=lambda pane: pane.priority)[:count]
    return tuple(pane.name for pane in panes_with_picture() if pane in chosen)


def head_rows(height: int) -> int:
    """Return the maximum number of head lines on a screen of `height`."""
    return max(1, min(8, height // 4))
