"""Panels of a training history: losses and learning rate per epoch, with cuts, resumes and the best epoch marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from focus_engine.figures.panels import BAND, BLUE, FAINT, GENERATED, GREEN, RED, numbers, points

MOST_MARKERS = 30
"""Curves with this many epochs or more are drawn without markers."""


class Epoch(Protocol):
    """The fields of an `EpochFinished` event that the history needs."""

    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def phase(self) -> str: ...  # noqa: D102
    @property
    def train_loss(self) -> float | None: ...  # noqa: D102
    @property
    def val_loss(self) -> float | None: ...  # noqa: D102
    @property
    def lr(self) -> float: ...  # noqa: D102
    @property
    def lr_cut(self) -> bool: ...  # noqa: D102
    @property
    def is_best(self) -> bool: ...  # noqa: D102


def loss_panel(
    axes: Axes, history: Sequence[Epoch], *, early_stopped: bool = False, resumed_after: Sequence[int] = ()
) -> None:
    """Draw training and validation loss (log), and mark the best epoch and, with `early_stopped`, the last one.

    Warmup is shaded. Plateau cuts and the epochs after which the run was resumed (`resumed_after`) are marked.
    """
    epochs = [one.epoch for one in history]
    for name, colour, label in (("train_loss", BLUE, "train"), ("val_loss", GENERATED, "validation (EMA)")):
        values = numbers([getattr(one, name) for one in history])
        axes.plot(epochs, values, color=colour, lw=points(1.6), marker=_marker(history), ms=points(3), label=label)
    _log_y(axes)
    _mark_epochs(axes, history, resumed_after)
    _mark_best(axes, history)
    if early_stopped and history:
        axes.axvline(epochs[-1], color=RED, lw=points(1.2))
        _beside(axes, epochs[-1], "early stop", RED)
    axes.set(ylabel="loss")


def rate_panel(axes: Axes, history: Sequence[Epoch], *, resumed_after: Sequence[int] = ()) -> None:
    """Draw the learning rate (log), with warmup, plateau cuts and resumes as in `loss_panel`."""
    epochs, rates = [one.epoch for one in history], [one.lr for one in history]
    style: dict[str, Any] = {"lw": points(1.6), "marker": _marker(history), "ms": points(3), "drawstyle": "steps-mid"}
    axes.plot(epochs, rates, color=GREEN, **style)
    _log_y(axes)
    _mark_epochs(axes, history, resumed_after)
    axes.set(ylabel="learning rate")


def _marker(history: Sequence[Epoch]) -> str:
    return "o" if len(history) < MOST_MARKERS else ""


def _mark_epochs(axes: Axes, history: Sequence[Epoch], resumed_after: Sequence[int]) -> None:
    """Shade the warmup and mark plateau cuts and resumes."""
    warmup = [one.epoch for one in history if one.phase == "warmup"]
    if warmup:
        axes.axvspan(warmup[0] - 0.5, warmup[-1] + 0.5, color=BAND, alpha=0.35, lw=0, label="warmup")
    for index, epoch in enumerate(one.epoch for one in history if one.lr_cut):
        axes.axvline(epoch + 0.5, color=FAINT, lw=points(1), ls="--", label="" if index else "learning rate cut")
    for index, epoch in enumerate(resumed_after):
        axes.axvline(epoch + 0.5, color=BLUE, lw=points(1), ls=":", label="" if index else "resumed")


def _mark_best(axes: Axes, history: Sequence[Epoch]) -> None:
    best = [(one.epoch, one.val_loss) for one in history if one.is_best and one.val_loss is not None]
    if best:
        epoch, loss = best[-1]
        label = f"best: {loss:.4g} at epoch {epoch}"
        axes.plot([epoch], [loss], "*", ms=points(14), color=RED, mec="white", mew=points(0.8), zorder=5, label=label)


def _beside(axes: Axes, x: float, text: str, colour: str) -> None:
    axes.annotate(
        text,
        (x, 0.97),
        (-points(4), 0),
        ("data", "axes fraction"),
        textcoords="offset points",
        ha="right",
        va="top",
        color=colour,
        fontsize=points(9),
        rotation=90,
        bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": points(1)},  # often overlaps the lines of cuts
    )


def _log_y(axes: Axes) -> None:
    """Make the y axis logarithmic if it has positive values."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    positive = values[values > 0]
    if positive.size:
        axes.set_yscale("log")
        if positive.max() < 10 * positive.min():  # within a decade, powers of ten give too few labels
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", which="major", color="#E3E6EA", lw=points(0.7))
    axes.set_axisbelow(True)
