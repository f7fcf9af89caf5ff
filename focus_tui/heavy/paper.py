"""Figures of a run in the style of a paper: one column wide, 8 pt, no titles, fonts embedded.

The panels are those of the figures that training draws (focus_engine.panels); only size and style differ.
"""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from focus_engine.atomic import write_atomically
from focus_engine.panels import BLUE, FAINT, GENERATED, GREEN, RED, STYLE, SURFACE_DENSITY, map_rows, power_panels
from focus_tui.map_pairs import thumbnails
from focus_tui.present import RunView

COLUMN = 3.4
"""Width of a column of most journals [inches]."""
MAP_COLUMNS = 3
PAPER: dict[Any, Any] = STYLE | {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "lines.linewidth": 1.0,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


def draw_figure(path: Path, what: str, view: RunView) -> None:
    """Write one figure (loss, lr, power or maps) of a run, whole or not at all; the suffix of `path` is its format.

    Raises OSError when the disk refuses.
    """
    drawn = {"loss": _loss, "lr": _lr, "power": _power, "maps": _maps}[what]
    with mpl.rc_context(PAPER):
        figure = drawn(view)
        with write_atomically(path) as temporary:
            figure.savefig(temporary, format=path.suffix.removeprefix("."), bbox_inches="tight")


def _loss(view: RunView) -> Figure:
    figure = Figure(figsize=(COLUMN, 2.4), layout="constrained")
    axes = figure.subplots()
    epochs, val = view.values("epoch"), view.values("val_loss")
    axes.plot(epochs, view.values("train_loss"), color=BLUE, label="training")
    axes.plot(epochs, val, color=GENERATED, label="validation (EMA)")
    if view.best_epoch is not None and (at := epochs == view.best_epoch).any():
        axes.plot(epochs[at], val[at], "*", color=RED, markersize=6, label=f"best, epoch {view.best_epoch}")
    _marks(axes, view)
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.legend()
    return figure


def _lr(view: RunView) -> Figure:
    figure = Figure(figsize=(COLUMN, 1.9), layout="constrained")
    axes = figure.subplots()
    axes.step(view.values("epoch"), view.values("lr"), where="mid", color=GREEN)
    _marks(axes, view)
    axes.set(xlabel="epoch", ylabel="learning rate", yscale="log")
    return figure


def _marks(axes: Any, view: RunView) -> None:  # noqa: ANN401  (matplotlib's)
    """Shade warmup, and draw a line at each cut of the rate."""
    if view.warmup_epochs:
        axes.axvspan(0.5, min(view.warmup_epochs, len(view.epochs)) + 0.5, color=FAINT, alpha=0.15, lw=0)
    for cut in view.cuts:
        axes.axvline(cut + 0.5, color=FAINT, lw=0.6, ls=":")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.02)


def _power(view: RunView) -> Figure:
    figure = Figure(figsize=(COLUMN, 3.6), layout="constrained")
    power_panels(figure, view.spectra[-1], "")
    return figure


def _maps(view: RunView) -> Figure:
    drawn = view.samples[-1]
    real, generated = (np.stack(maps)[:MAP_COLUMNS] for maps in thumbnails(drawn))
    figure = Figure(figsize=(2 * COLUMN, 4.1), layout="constrained")
    started = view.started
    names = () if started is None else started.param_names
    box = 0.0 if started is None else started.box_size
    params = np.array(drawn.params, dtype=np.float64)
    map_rows(figure, [("real", real), ("generated", generated)], params, names, box, SURFACE_DENSITY)
    return figure
