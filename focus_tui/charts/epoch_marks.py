"""The axis of epochs, and what happens to a run on it: warmup, cuts of the rate, resumes, early stopping.

Separate from the charts because losses and rates are marked alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_tui.charts.canvas import BLUE, GREEN, GREY, RED, UPRIGHT, Curve, Limits, log10, stretch, upright

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EpochAxis:
    """The axis of epochs, linear or logarithmic; `limits` are in its own coordinates."""

    limits: Limits
    log: bool

    def place(self, epochs: Array) -> Array:
        """Return where epochs stand."""
        return log10(epochs) if self.log else epochs


def epoch_axis(epochs: Array, width: int, *, log_x: bool, room: bool = False) -> EpochAxis:
    """Return an axis around the epochs, with `room` for a mark to the right of the last one."""
    first, last = float(np.nanmin(epochs)) - 0.5, float(np.nanmax(epochs)) + 0.5
    if log_x:
        first, last = float(np.log10(max(0.5, first))), float(np.log10(last))
    return EpochAxis((first, last + room * 2 * (last - first) / width), log_x)


@dataclass(frozen=True)
class Happening:
    """What happened to a run at some epochs: its sign in the legend, and how it is drawn."""

    sign: str
    words: str
    color: int
    curves: list[Curve]


def marks_of(
    axis: EpochAxis,
    limits: Limits,
    epochs: Array,
    warmup_epochs: int,
    cuts: Sequence[float],
    resumed_after: Sequence[float],
    early_stopped: bool = False,
) -> list[Happening]:
    """Return what happened between the first and the last of the epochs."""
    first, last = float(epochs[0]), float(epochs[-1])

    def after(places: Sequence[float], sign: str, color: int) -> list[Curve]:
        inside = axis.place(np.array([place + 0.5 for place in places if first <= place < last]))
        return [upright(place, limits, sign, color) for place in inside.tolist()]

    end = axis.limits[1]
    if warmup_epochs < last:
        end = float(axis.place(np.array([warmup_epochs + 0.5]))[0])
    warmup = [stretch((axis.limits[0], end), limits)] if warmup_epochs >= first else []
    return [
        Happening("░", "warmup", GREY, warmup + after([warmup_epochs], UPRIGHT, GREEN) if warmup else []),
        Happening("╎", "rate cut", GREY, after(cuts, "╎", GREY)),
        Happening("╏", "resumed", BLUE, after(resumed_after, "╏", BLUE)),
        Happening("┃", "early stop", RED, [upright(axis.limits[1], limits, "┃", RED)] if early_stopped else []),
    ]


def entries_of(marks: Sequence[Happening]) -> list[tuple[str, str, int | None]]:
    """Return the legend of what happened: sign, words, colour."""
    return [(one.sign, one.words, one.color) for one in marks if one.curves]
