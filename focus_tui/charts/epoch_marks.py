"""The epoch axis and its marks: warmup, cuts of the learning rate, resumes, early stopping.

The charts of losses and of the learning rate share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_tui.charts.canvas import (
    BLUE,
    GREEN,
    GREY,
    RED,
    VERTICAL,
    Curve,
    Limits,
    log10,
    shaded_interval,
    vertical_line,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EpochAxis:
    """The epoch axis, linear or logarithmic; `limits` are in its own coordinates."""

    limits: Limits
    log: bool

    def place(self, epochs: Array) -> Array:
        """Return the axis coordinates of `epochs`."""
        return log10(epochs) if self.log else epochs


def epoch_axis(epochs: Array, width: int, *, log_x: bool, room: bool = False) -> EpochAxis:
    """Return an axis around the epochs, with `room` for a mark right of the last one."""
    first, last = float(np.nanmin(epochs)) - 0.5, float(np.nanmax(epochs)) + 0.5
    if log_x:
        first, last = float(np.log10(max(0.5, first))), float(np.log10(last))
    return EpochAxis((first, last + room * 2 * (last - first) / width), log_x)


@dataclass(frozen=True)
class EpochMark:
    """One kind of mark on the epoch axis: its legend entry, and its curves."""

    sign: str
    words: str
    color: int
    curves: list[Curve]


def run_marks(
    axis: EpochAxis,
    limits: Limits,
    epochs: Array,
    warmup_epochs: int,
    cuts: Sequence[float],
    resumed_after: Sequence[float],
    early_stopped: bool = False,
) -> list[EpochMark]:
    """Return the marks between the first and the last of the epochs."""
    first, last = float(epochs[0]), float(epochs[-1])

    def after(places: Sequence[float], sign: str, color: int) -> list[Curve]:
        inside = axis.place(np.array([place + 0.5 for place in places if first <= place < last]))
        return [vertical_line(place, limits, sign, color) for place in inside.tolist()]

    end = axis.limits[1]
    if warmup_epochs < last:
        end = float(axis.place(np.array([warmup_epochs + 0.5]))[0])
    warmup = [shaded_interval((axis.limits[0], end), limits)] if warmup_epochs >= first else []
    return [
        EpochMark("░", "warmup", GREY, warmup + after([warmup_epochs], VERTICAL, GREEN) if warmup else []),
        EpochMark("╎", "rate cut", GREY, after(cuts, "╎", GREY)),
        EpochMark("╏", "resumed", BLUE, after(resumed_after, "╏", BLUE)),
        EpochMark("┃", "early stop", RED, [vertical_line(axis.limits[1], limits, "┃", RED)] if early_stopped else []),
    ]


def legend_entries(marks: Sequence[EpochMark]) -> list[tuple[str, str, int | None]]:
    """Return the legend entries of the marks drawn: sign, words, colour."""
    return [(one.sign, one.words, one.color) for one in marks if one.curves]
