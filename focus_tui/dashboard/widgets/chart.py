"""A text chart, drawn by a pure function for its size and cached until something changes."""

from collections.abc import Callable
from typing import Any

from rich.segment import Segment
from rich.text import Text
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

Draw = Callable[[int, int], str]


def strips_of(text: str, width: int) -> list[Strip]:
    """Return the lines of ANSI text as strips of `width` cells."""
    strips = []
    for line in text.split("\n"):
        rich = Text.from_ansi(line, no_wrap=True, end="")
        plain, segments, at = rich.plain, [], 0
        for span in sorted(rich.spans, key=lambda span: span.start):
            if span.start > at:
                segments.append(Segment(plain[at : span.start]))
            style = None if isinstance(span.style, str) else span.style
            segments.append(Segment(plain[span.start : span.end], style))
            at = span.end
        if at < len(plain):
            segments.append(Segment(plain[at:]))
        strips.append(Strip(segments).adjust_cell_length(width))
    return strips


class Chart(Widget):
    """Shows what `draw(width, height)` returns; redraws only when its size or key has changed."""

    DEFAULT_CSS = "Chart { width: 1fr; height: 1fr; }"

    def __init__(self, **keywords: Any) -> None:  # noqa: ANN401  (Widget's own)
        super().__init__(**keywords)
        self._draw: Draw | None = None
        self._key: object = None
        self._drawn: tuple[object, Size] | None = None
        self._strips: list[Strip] = []

    def show(self, draw: Draw, key: object = None) -> None:
        """Show a chart; an unchanged `key`, unless None, means an unchanged chart."""
        if key is not None and key == self._key:
            return
        self._draw, self._key, self._drawn = draw, key, None
        self.refresh()

    @property
    def text(self) -> str:
        """The shown text, without colours."""
        self._ensure()
        return "\n".join(strip.text.rstrip() for strip in self._strips)

    def render_line(self, y: int) -> Strip:
        """Return one line of the chart."""
        self._ensure()
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)
        return strip.apply_style(self.rich_style)

    def _ensure(self) -> None:
        if self._draw is None or self._drawn == (self._key, self.size) or not self.size.width:
            return
        self._strips = strips_of(self._draw(self.size.width, self.size.height), self.size.width)
        self._drawn = (self._key, self.size)
