"""Drawing panels of curves as text: axes, ticks, legends, and the only calls of plotext.

plotext 6 has one figure per process, so it is locked, cleared and drawn on layer by layer (2 ms each). This module
stacks the layers and adds colours, shades, ticks, logarithms, legends and sizes. plotext is imported when the first
panel is drawn, because that costs 0.19 s. Long series are first reduced to their minimum and maximum per half column,
because plotext takes 10 to 20 µs per point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_tui.charts.ticks import Ticks
from focus_tui.terminal import cells, cut

Array = NDArray[np.float64]
Limits = tuple[float, float]

# xterm-256 numbers near Okabe & Ito (2008); None is the text colour of the terminal, dark or light.
TEXT, ORANGE, BLUE, GREEN, RED, GREY = None, 208, 32, 36, 202, 244
LINE, DOT, BAND, SHADE, VERTICAL = "braille", "•", "░", "⠂", "┊"  # BAND and SHADE: dense and sparse dots
MIN_SIZE = (28, 6)  # columns and rows; a smaller chart shows only that it is too small

_plotext_lock = Lock()  # plotext 6 has one global figure


@dataclass(frozen=True)
class Curve:
    """A curve or filled area at x, y in axis coordinates (log10 on a logarithmic axis)."""

    x: Array
    y: Array
    color: int | None = TEXT
    marker: str = LINE
    down_to: Array | None = None  # lower edge of a filled area
    joined: bool = True


@dataclass(frozen=True)
class Panel:
    """One pair of axes: `height` rows of canvas, an axis row and, with `x_labels`, a row of tick labels."""

    curves: list[Curve]
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    x_ticks: Ticks
    y_ticks: Ticks
    height: int
    x_labels: bool = True


@dataclass(frozen=True)
class Legend:
    """The lines above a chart: its title, then the label of the vertical axis and the legend entries."""

    title: str
    y_label: str
    entries: Sequence[tuple[str, str, int | None]] = ()  # sign, words, colour

    def lines(self, width: int, color: bool, most: int = 1) -> list[str]:
        """Return the title and at most `most` lines of legend; entries without room are left out."""
        lines, used = [cut(self.y_label, width)], cells(self.y_label)
        for sign, words, number in self.entries:
            needed = 3 + cells(sign) + 1 + cells(words)
            if used + needed > width and len(lines) < most:
                lines.append(" " * cells(self.y_label))
                used = cells(self.y_label)
            if used + needed <= width:
                lines[-1] += f"   {paint(sign, number, color)} {words}"
                used += needed
        return [*([cut(self.title, width)] if self.title else []), *lines]


def as_floats(values: ArrayLike) -> Array:
    """Return the values as float64, with NaN for None."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.astype(np.float64, copy=False)
    return np.asarray(values, dtype=object).astype(np.float64)


def log10(values: Array) -> Array:
    """Return log10 of the values; NaN where they are not positive."""
    return np.asarray(np.log10(np.where(values > 0, values, np.nan)), dtype=np.float64)


def padded(*values: Array | float, margin: float) -> tuple[float, float]:
    """Return limits around all finite values, with a margin given as a share of their span."""
    known = np.concatenate([np.ravel(np.asarray(one, dtype=np.float64)) for one in values])
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    span = high - low or max(abs(high), 1.0) * 0.2
    return low - margin * span, high + margin * span


def scatter_band(x: Array, mean: Array, std: Array) -> list[Curve]:
    """Return the ±1σ band about a mean on a logarithmic axis; an empty list when σ is unknown everywhere.

    The lower edge is as far below the mean on that axis as mean + σ is above it, because the scatter of P(k) is far
    from Gaussian and mean − σ is often negative.
    """
    known = np.isfinite(std) & (mean > 0)
    if not known.any():
        return []
    upper, middle = log10(mean + std)[known], log10(mean)[known]
    return [Curve(x[known], upper, GREY, BAND, down_to=2 * middle - upper)]


def vertical_line(x: float, limits: tuple[float, float], sign: str = VERTICAL, color: int | None = GREY) -> Curve:
    """Return a vertical line across a panel."""
    return Curve(np.array([x, x]), np.array(limits), color, sign)


def shaded_interval(x: Limits, limits: Limits) -> Curve:
    """Return a shaded interval of the horizontal axis."""
    return Curve(np.array(x), np.full(2, limits[1]), GREY, SHADE, down_to=np.full(2, limits[0]))


def smoothed(values: Array, weight: float) -> Array:
    """Return the exponential moving average, corrected for its start; unknown values are skipped."""
    if weight <= 0:
        return values
    out, mean, mass = values.copy(), 0.0, 0.0
    for place in np.flatnonzero(np.isfinite(values)).tolist():
        mean, mass = weight * mean + (1 - weight) * float(values[place]), weight * mass + (1 - weight)
        out[place] = mean / mass
    return out


def horizontal_line(y: float, limits: tuple[float, float], sign: str, color: int | None = GREY) -> Curve:
    """Return a horizontal line across a panel."""
    return Curve(np.array(limits), np.array([y, y]), color, sign)


def reduced(x: Array, y: Array, limits: tuple[float, float], columns: int) -> tuple[Array, Array]:
    """Return the minimum and maximum of a series in each half column, in order; a short series is not reduced.

    Unknown values are left out.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if x.size <= 4 * columns:
        return x, y
    places = (x - limits[0]) / (limits[1] - limits[0]) * 2 * columns
    bins = np.floor(places).clip(-1, 2 * columns).astype(np.int16)  # 16 bits are sorted in linear time
    if (np.diff(bins) < 0).any():
        order = np.argsort(bins, kind="stable")
        x, y, bins = x[order], y[order], bins[order]
    starts = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1))
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    return np.repeat(x[starts], 2), np.stack([low, high], axis=1).ravel()


def compose(head: list[str], panels: list[Panel], x_label: str, width: int, color: bool) -> str:
    """Return a legend, panels with aligned axes and the label of their common horizontal axis, stacked."""
    margin = max(cells(label) for panel in panels for label in ["", *panel.y_ticks[1]])
    lines = list(head)
    for panel in panels:
        lines += _draw(panel, margin, width, color)
    lines.append(" " * max(0, margin + 1 + (width - margin - 1 - cells(x_label)) // 2) + cut(x_label, width))
    return "\n".join(lines)


def too_small(width: int, height: int, *series: Array) -> str:
    """Return the text to show instead of a chart without room or values; empty when it can be drawn."""
    if width < MIN_SIZE[0] or height < MIN_SIZE[1]:
        return cut("too small for a chart", width)
    if any(not np.isfinite(one).any() for one in series):
        return cut("nothing to draw yet", width)
    return ""


def paint(text: str, color: int | None, on: bool) -> str:
    """Return `text` in one of the 256 colours, or unchanged."""
    return f"\x1b[38;5;{color}m{text}\x1b[0m" if on and color is not None else text


def _draw(panel: Panel, margin: int, width: int, color: bool) -> list[str]:
    """Return a panel's lines; where curves cross, a cell shows only the later one and stays sharp."""
    rows = panel.height + 1 + panel.x_labels
    columns = width - margin - 1
    with _plotext_lock:
        letters = _cells(_built(panel, [], margin, width), rows, width)
        inks = np.full(letters.shape, -1)
        for (ink, _), group in groupby(panel.curves, key=lambda curve: (curve.color, curve.marker)):
            for layer in _layers(panel, list(group), margin, width):
                inked = layer != " "
                letters[: panel.height, margin + 1 :][inked] = layer[inked]
                inks[: panel.height, margin + 1 :][inked] = -1 if ink is None else ink
    if columns < 1 or not color:
        return ["".join(row).rstrip() for row in letters]
    return [_painted(row, ink) for row, ink in zip(letters, inks, strict=True)]


def _layers(panel: Panel, curves: list[Curve], margin: int, width: int) -> Iterator[NDArray[np.str_]]:
    """Yield the characters (height, columns) of a panel's canvas with only the given curves."""
    columns = width - margin - 1
    lines = [curve for curve in curves if curve.down_to is None]
    yield from (_shade(curve, panel, columns) for curve in curves if curve.down_to is not None)
    if lines:
        yield _cells(_built(panel, lines, margin, width), panel.height, width)[:, margin + 1 :]


def _built(panel: Panel, curves: list[Curve], margin: int, width: int) -> str:
    """Return a panel with the given curves as drawn by plotext, without colours."""
    import plotext  # 0.19 s

    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.canvas("default")
    figure.plot_size(width, panel.height + 1 + panel.x_labels)
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    for curve in curves:
        x, y = reduced(curve.x, curve.y, panel.x_limits, width - margin - 1)
        if x.size:
            kept = y.clip(*panel.y_limits)  # values outside the panel are drawn at its edge, where they are seen
            sign = DOT if x.size == 1 and curve.marker == LINE else curve.marker  # a braille dot is easily missed
            signal = figure.signal(x.tolist(), kept.tolist(), marker=plotext.marker(sign))
            figure.draw(signal.lines(curve.joined))
    figure.ruler("x").lim(*panel.x_limits)
    figure.ruler("y").lim(*panel.y_limits)
    if panel.x_labels:
        figure.ruler("x").ticks(*panel.x_ticks)
    else:
        figure.ruler("x").frequency(0)
    positions, words = panel.y_ticks
    figure.ruler("y").ticks(positions, [" " * (margin - cells(word)) + word for word in words])
    return str(figure.build().string(colorless=True))


def _cells(text: str, rows: int, columns: int) -> NDArray[np.str_]:
    """Return text as characters (rows, columns); an empty braille cell becomes a space."""
    lines = text.replace("\u2800", " ").rstrip("\n").split("\n")
    lines = [*lines, *[""] * rows][:rows]
    return np.array([list(line.ljust(columns)[:columns]) for line in lines], dtype="<U1")


def _shade(curve: Curve, panel: Panel, columns: int) -> NDArray[np.str_]:
    """Return the characters (height, columns) of a filled area in sparse dots, so that curves stay visible."""
    high, wide = 4 * panel.height, 2 * columns
    x, y = np.linspace(*panel.x_limits, wide), np.linspace(*panel.y_limits[::-1], high)[:, None]
    edges = [edge for edge in (curve.y, curve.down_to) if edge is not None]
    upper, lower = (np.interp(x, curve.x, edge, left=np.nan, right=np.nan) for edge in edges)
    row, column = np.indices((high, wide))
    grid = (row + column) % 2 == 0 if curve.marker == BAND else (row % 4 == 1) & ((column + row // 2) % 4 == 0)
    dots = grid & (y <= upper) & (y >= lower)
    bits = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # of a braille character
    codes = np.einsum("rack,ak->rc", dots.reshape(panel.height, 4, columns, 2).astype(int), bits)
    return np.array([[chr(0x2800 + code) if code else " " for code in line] for line in codes.tolist()], dtype="<U1")


def _painted(letters: NDArray[np.str_], inks: NDArray[np.intp]) -> str:
    """Return a line with its letters in their colours; -1 is the terminal's text colour."""
    end = len("".join(letters).rstrip())
    runs = groupby(range(end), key=lambda place: int(inks[place]))
    return "".join(
        paint("".join(letters[place] for place in places), ink if ink >= 0 else None, on=True) for ink, places in runs
    )
