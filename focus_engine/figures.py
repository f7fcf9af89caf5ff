"""PNGs of a run, drawn from the same frozen results that the terminal draws.

Only the object interface of matplotlib is used (no pyplot, no global figures), so that a worker can draw in
the background; a file is whole or absent. What is inside a figure stands in panels.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from focus_engine.atomic import write_atomically
from focus_engine.panels import (
    BAND,
    BLUE,
    FAINT,
    GENERATED,
    GREEN,
    MAX_COLUMNS,
    RED,
    STYLE,
    SURFACE_DENSITY,
    PowerCurves,
    map_rows,
    numbers,
    pdf_panel,
    power_panels,
    slab_panel,
)
from focus_engine.statistics.compare import Evaluation

Array = NDArray[np.float64]


class Epoch(Protocol):
    """What the history needs of an `EpochFinished` event."""

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


def draw_training_history(
    path: str | Path,
    history: Sequence[Epoch],
    *,
    early_stopped: bool = False,
    resumed_after: Sequence[int] = (),
    title: str = "",
) -> None:
    """Draw losses (log) above the learning rate (log) against the epoch.

    Warmup is shaded; each plateau cut, resume seam (the epochs in `resumed_after`), the best epoch and, with
    `early_stopped`, the last one are marked. Raises OSError when the file can't be written.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 5.6), layout="constrained")
        losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
        epochs = np.array([one.epoch for one in history], dtype=float)
        marker = "o" if len(epochs) < 30 else ""
        for name, colour, label in (("train_loss", BLUE, "train"), ("val_loss", GENERATED, "validation (EMA)")):
            values = numbers([getattr(one, name) for one in history])
            losses.plot(epochs, values, color=colour, lw=1.6, marker=marker, ms=3, label=label)
        rates.plot(epochs, [one.lr for one in history], color=GREEN, lw=1.6, marker=marker, ms=3, drawstyle="steps-mid")
        for axes in (losses, rates):
            _log_y(axes)
            _mark_epochs(axes, history, resumed_after)
        _mark_best(losses, history)
        if early_stopped and history:
            losses.axvline(epochs[-1], color=RED, lw=1.2)
            _beside(losses, epochs[-1], "early stop", RED, right=False)
        losses.set(ylabel="loss", title=title)
        rates.set(ylabel="learning rate", xlabel="epoch")
        rates.xaxis.get_major_locator().set_params(integer=True)
        losses.legend(loc="best", ncols=2, frameon=True, framealpha=0.9, edgecolor="none")
        _save(figure, path)


def draw_samples(
    path: str | Path,
    real: ArrayLike | None,
    generated: ArrayLike,
    params: ArrayLike,
    param_names: Sequence[str],
    *,
    box_size: float,
    units: str = SURFACE_DENSITY,
    title: str = "",
) -> None:
    """Draw real maps (N, H, W) above generated ones at the same parameters (N, P), the first six.

    Without real maps the generated ones stand alone. One logarithmic colour scale, from the first row, holds
    for all. Raises OSError when the file can't be written.
    """
    rows = [("generated", _maps(generated))]
    if real is not None:
        rows.insert(0, ("real", _maps(real)))
    with mpl.rc_context(STYLE):
        columns = min(MAX_COLUMNS, np.shape(generated)[0])
        height, width = np.shape(generated)[-2:]
        size = (1.6 + 1.9 * max(columns, 2), 1.1 + len(rows) * 1.9 * height / width)
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(title, fontsize=11)
        map_rows(figure, rows, np.asarray(params), param_names, box_size, units)
        _save(figure, path)


def draw_power_spectrum(path: str | Path, curves: PowerCurves, *, title: str = "") -> None:
    """Draw P(k) of generated maps over the real mean and its scatter, and their ratio below.

    Raises OSError when the file can't be written.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.8), layout="constrained")
        power_panels(figure, curves, title)
        _save(figure, path)


def draw_evaluation(
    path: str | Path,
    evaluation: Evaluation,
    *,
    real: ArrayLike | None = None,
    generated: ArrayLike | None = None,
    params: ArrayLike | None = None,
    param_names: Sequence[str] = (),
    units: str = SURFACE_DENSITY,
    title: str = "",
) -> None:
    """Draw the report of `focus evaluate`: P(k) and ratio, one-point PDF, slab mean; maps below when given.

    Raises OSError when the file can't be written.
    """
    with_maps = real is not None and generated is not None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13.5, 9.4 if with_maps else 4.9), layout="constrained")
        figure.suptitle(title, fontsize=12)
        rows = figure.subfigures(2 if with_maps else 1, 1, height_ratios=(1, 0.9)[: 1 + with_maps], squeeze=False)
        panels = rows[0, 0].subfigures(1, 3, width_ratios=(1.15, 1, 1))
        power_panels(panels[0], evaluation.power_spectrum, "power spectrum")
        pdf_panel(panels[1].subplots(), evaluation.pdf, units)
        slab_panel(panels[2].subplots(), evaluation.slab_mean, units)
        if real is not None and generated is not None:
            values = np.empty((np.shape(real)[0], 0)) if params is None else np.asarray(params)
            box_size = evaluation.box_size
            pairs = [("real", _maps(real)), ("generated", _maps(generated))]
            map_rows(rows[1, 0], pairs, values, param_names, box_size, units)
        _save(figure, path)


def _mark_epochs(axes: Axes, history: Sequence[Epoch], resumed_after: Sequence[int]) -> None:
    """Shade the warmup and mark plateau cuts and resume seams."""
    warmup = [one.epoch for one in history if one.phase == "warmup"]
    if warmup:
        axes.axvspan(warmup[0] - 0.5, warmup[-1] + 0.5, color=BAND, alpha=0.35, lw=0, label="warmup")
    for index, epoch in enumerate(one.epoch for one in history if one.lr_cut):
        axes.axvline(epoch + 0.5, color=FAINT, lw=1, ls="--", label="" if index else "learning rate cut")
    for index, epoch in enumerate(resumed_after):
        axes.axvline(epoch + 0.5, color=BLUE, lw=1, ls=":", label="" if index else "resumed")


def _mark_best(axes: Axes, history: Sequence[Epoch]) -> None:
    best = [(one.epoch, one.val_loss) for one in history if one.is_best and one.val_loss is not None]
    if best:
        epoch, loss = best[-1]
        label = f"best: {loss:.4g} at epoch {epoch}"
        axes.plot([epoch], [loss], "*", ms=14, color=RED, mec="white", mew=0.8, zorder=5, label=label)


def _beside(axes: Axes, x: float, text: str, colour: str, *, right: bool) -> None:
    axes.annotate(
        text,
        (x, 0.97),
        (4 if right else -4, 0),
        ("data", "axes fraction"),
        textcoords="offset points",
        ha="left" if right else "right",
        va="top",
        color=colour,
        fontsize=9,
        rotation=90,
    )


def _log_y(axes: Axes) -> None:
    """Make the y axis logarithmic where there is something positive to show."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    positive = values[values > 0]
    if positive.size:
        axes.set_yscale("log")
        if positive.max() < 10 * positive.min():  # within a decade, powers of ten say nothing
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", which="major", color="#E3E6EA", lw=0.7)
    axes.set_axisbelow(True)


def _maps(maps: ArrayLike) -> Array:
    """Return the first few maps as (N, H, W); of several channels, the first."""
    array = np.asarray(maps)[:MAX_COLUMNS].astype(np.float64)
    return array[:, 0] if array.ndim == 4 else array


def _save(figure: Figure, path: str | Path) -> None:
    FigureCanvasAgg(figure)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, format="png")
