"""Curves of several runs on common axes, each in a colour from a palette for colour-blind readers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_tui.charts.canvas import (
    BLUE,
    GREEN,
    GREY,
    LINE,
    ORANGE,
    RED,
    Curve,
    Legend,
    Panel,
    compose,
    horizontal_line,
    log10,
    padded,
    paint,
    too_small,
    vertical_line,
)
from focus_tui.charts.ticks import linear_ticks, log_ticks

Array = NDArray[np.float64]

PALETTE = (ORANGE, BLUE, GREEN, 175, 220, RED, 117, 250)
"""xterm-256 numbers near those of Okabe & Ito (2008)."""
MARKS = ("•", "×", "+", "○", "▫", "△", "◇", "*")
"""Markers that distinguish runs without colours, and beyond the end of the palette."""


@dataclass(frozen=True, eq=False)
class NamedCurve:
    """A curve of one run; the run's place in the selection determines its colour.

    Attributes:
        place: 0 for the first run of the selection.
        x: (n,).
        y: (n,), NaN where unknown.
    """

    place: int
    x: Array
    y: Array

    @property
    def color(self) -> int:
        """The xterm-256 number of its colour."""
        return color_of(self.place)

    def marker(self, color: bool) -> str:
        """Return a line where colours distinguish the runs, else a marker of its own."""
        return LINE if color and self.place < len(PALETTE) else MARKS[self.place % len(MARKS)]


def color_of(place: int) -> int:
    """Return the colour of the run at a place of the selection."""
    return PALETTE[place % len(PALETTE)]


def named_legend(names: Sequence[str], *, color: bool) -> str:
    """Return a one-line legend of the runs."""
    signs = [NamedCurve(place, np.empty(0), np.empty(0)).marker(color) for place in range(len(names))]
    return "   ".join(
        f"{paint('━━' if sign == LINE else sign, color_of(place), color)} {name}"
        for place, (sign, name) in enumerate(zip(signs, names, strict=True))
    )


def draw_overlay(
    curves: Sequence[NamedCurve],
    *,
    width: int,
    height: int,
    color: bool = True,
    y_label: str = "",
    x_label: str = "epoch",
    log: bool = True,
    log_x: bool = False,
) -> str:
    """Return the curves on common axes as text."""
    known = [(curve, curve.x, curve.y) for curve in curves]
    known = [(curve, x, y) for curve, x, y in known if np.isfinite(y).any()]
    if not known:
        return "nothing to draw yet"
    if words := too_small(width, height):
        return words
    log = log and any((y > 0).any() for _, _, y in known)
    scaled = [(curve, log10(x) if log_x else x, log10(y) if log else y) for curve, x, y in known]
    x_limits = padded(*(x for _, x, _ in scaled), margin=0.01)
    y_limits = padded(*(y for _, _, y in scaled), margin=0.05)
    head = Legend("", y_label).lines(width, color) if y_label else []
    rows = height - len(head) - 3
    lines = _lines(scaled, color)
    x_ticks = (log_ticks if log_x else linear_ticks)(*x_limits, width // 10)
    y_ticks = (log_ticks if log else linear_ticks)(*y_limits, max(2, rows // 2))
    return compose(head, [Panel(lines, x_limits, y_limits, x_ticks, y_ticks, rows)], x_label, width, color)


def draw_ratios(
    curves: Sequence[NamedCurve], *, width: int, height: int, color: bool = True, k_nyquist: float | None = None
) -> str:
    """Return P_generated / P_real against k [h/Mpc] of several runs, with lines at ±5 % and ±10 %."""
    known = [(curve, log10(curve.x), curve.y) for curve in curves]
    known = [(curve, x, y) for curve, x, y in known if np.isfinite(y).any()]
    if not known:
        return "no P(k) yet"
    if words := too_small(width, height):
        return words
    farthest = max(float(np.nanpercentile(np.abs(y - 1), 95)) for _, _, y in known)
    reach = float(np.clip(1.1 * farthest, 0.12, 2.0))
    limits = (max(0.0, 1 - reach), 1 + reach)
    head = Legend("", "P / P_real", [("┈", "±5 %", GREY), ("╌", "±10 %", GREY)]).lines(width, color)
    rows = height - len(head) - 3
    edge = log10(np.array([k_nyquist or np.nan]))
    x_limits = padded(*(x for _, x, _ in known), edge, margin=0.02)
    lines = [
        horizontal_line(1 + sign * off, x_limits, mark) for off, mark in ((0.05, "┈"), (0.1, "╌")) for sign in (-1, 1)
    ]
    lines.append(horizontal_line(1.0, x_limits, "─"))
    if k_nyquist:
        lines.append(vertical_line(float(edge[0]), limits))
    lines += _lines(known, color)
    x_ticks, y_ticks = log_ticks(*x_limits, width // 10), linear_ticks(*limits, max(2, rows // 2))
    return compose(head, [Panel(lines, x_limits, limits, x_ticks, y_ticks, rows)], "k [h/Mpc]", width, color)


def _lines(curves: Sequence[tuple[NamedCurve, Array, Array]], color: bool) -> list[Curve]:
    """Return the curves sorted by appearance, because equal ones are drawn in one layer."""
    lines = [Curve(x, y, curve.color, curve.marker(color), joined=color) for curve, x, y in curves]
    return sorted(lines, key=lambda line: (line.marker, line.color if color else 0))
