"""Figures of a run for papers: one column wide, 8 pt, without titles, with fonts that journals accept.

The panels are those of the figures drawn during training; this module sets their size.
"""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from focus_engine.data.map_files import DAMAGE
from focus_engine.errors import InputError
from focus_engine.figures.history import loss_panel, rate_panel
from focus_engine.figures.pages import save
from focus_engine.figures.panels import STYLE, SURFACE_DENSITY, field_rows, power_panels
from focus_engine.runs.folder import RunFolder
from focus_engine.units import NORMALISED, UNKNOWN_UNIT
from focus_tui.charts.map_pairs import thumbnails
from focus_tui.view.panes import PaperFigure, load
from focus_tui.view.run_view import RunView

COLUMN = 3.4
"""Column width of a journal [inches]."""
MAP_COLUMNS = 3
"""Pairs of maps that fit in that width."""

PAPER: dict[Any, Any] = STYLE | {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "legend.fontsize": 6.5,
    "savefig.dpi": 600,
    "pdf.fonttype": 42,  # journals refuse type 3
    "svg.hashsalt": "focus",
}


def draw_paper_figure(path: Path, figure: PaperFigure, view: RunView, run: RunFolder) -> None:
    """Write a figure of a run to `path`, whose suffix sets the format.

    Raises:
        InputError: the maps of the run can't be read.
        OSError: the file cannot be written.
    """
    with mpl.rc_context(PAPER):
        save(load(figure.drawn_by)(view, run), path, path.suffix.removeprefix("."))


def loss_figure(view: RunView, _: RunFolder) -> Figure:
    """Return train and val loss against the epoch."""
    figure = Figure(figsize=(COLUMN, 2.5), layout="constrained")
    axes = figure.subplots()
    loss_panel(axes, view.epochs, early_stopped=view.early_stopped, resumed_after=view.resumed_after)
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper center", frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def lr_figure(view: RunView, _: RunFolder) -> Figure:
    """Return the learning rate against the epoch."""
    figure = Figure(figsize=(COLUMN, 2.0), layout="constrained")
    axes = figure.subplots()
    rate_panel(axes, view.epochs, resumed_after=view.resumed_after)
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def power_figure(view: RunView, _: RunFolder) -> Figure:
    """Return the latest P(k) of samples with that of real maps."""
    figure = Figure(figsize=(COLUMN, 3.6), layout="constrained")
    power_panels(figure, view.spectra[-1], "")
    return figure


def maps_figure(view: RunView, run: RunFolder) -> Figure:
    """Return the latest samples below real maps."""
    real, generated, box_size = _pairs(view, run)
    depth = real.shape[2] / real.shape[3]
    drawn = view.samples[-1]
    channels = real.shape[1]
    known = drawn.units or ((SURFACE_DENSITY,) if channels == 1 else ())  # logs of earlier versions hold no units
    units = [NORMALISED] * channels if drawn.normalised else [*known, *[UNKNOWN_UNIT] * channels][:channels]
    fields = [*drawn.fields, *(f"channel {number}" for number in range(len(drawn.fields), channels))][:channels]
    figure = Figure(figsize=(COLUMN, len(units) * (0.45 + 1.55 * depth)), layout="constrained")
    rows = [("real", real), ("generated", generated)]
    field_rows(figure, rows, np.empty((len(real), 0)), (), box_size, units, fields)
    return figure


def _inside(run: RunFolder, path: str) -> Path:
    """Return the file that a log names. Raises ValueError if it is outside the run folder: logs are passed on."""
    found = (run.path / path).resolve()
    if not found.is_relative_to(run.path.resolve()):
        raise ValueError(f"{path} is outside {run.path}")
    return found


def _pairs(view: RunView, run: RunFolder) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], float]:
    """Return real and generated maps (N, C, H, W) and the side of the box [Mpc/h].

    Full maps if the run still has them, else the thumbnails of its log.
    """
    drawn = view.samples[-1]
    box_size = view.started.box_size if view.started else 1.0
    try:
        with np.load(_inside(run, drawn.path), allow_pickle=False) as kept:
            real, generated, box_size = kept["real"], kept["maps"], float(kept["box_size"])
    except DAMAGE:
        try:
            pairs = [thumbnails(drawn, channel) for channel in range(drawn.channels)]
            real, generated = (np.stack([maps[side] for maps in pairs], axis=1) for side in (0, 1))
        except ValueError as error:
            raise InputError(f"{run.events}: the maps of epoch {drawn.epoch} can't be read: {error}") from error
    real, generated = (maps if maps.ndim == 4 else maps[:, None] for maps in (real, generated))
    count = min(MAP_COLUMNS, len(real), len(generated))
    return real[:count], generated[:count], box_size
