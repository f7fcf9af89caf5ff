"""PNGs of a run, drawn from the same frozen results that the terminal draws.

Only the object interface of matplotlib is used (no pyplot, no global figures), so that a worker can draw in
the background; a file is whole or absent. What is inside a figure stands in panels.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from focus_engine.atomic import write_atomically
from focus_engine.figures.comparison import Cost, cost_panel, pdfs_panel, ratios_panel
from focus_engine.figures.history import Epoch, loss_panel, rate_panel
from focus_engine.figures.panels import (
    MAX_COLUMNS,
    STYLE,
    SURFACE_DENSITY,
    PowerCurves,
    map_rows,
    pdf_panel,
    power_panels,
    slab_panel,
)
from focus_engine.statistics.compare import Evaluation, FieldEvaluation

Array = NDArray[np.float64]


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
        loss_panel(losses, history, early_stopped=early_stopped, resumed_after=resumed_after)
        rate_panel(rates, history, resumed_after=resumed_after)
        losses.set(title=title)
        rates.set(xlabel="epoch")
        rates.xaxis.get_major_locator().set_params(integer=True)
        losses.legend(loc="upper center", ncols=2, frameon=True, framealpha=0.9, edgecolor="none")
        save(figure, path)


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
        save(figure, path)


def draw_power_spectrum(path: str | Path, curves: PowerCurves, *, title: str = "") -> None:
    """Draw P(k) of generated maps over the real mean and its scatter, and their ratio below.

    Raises OSError when the file can't be written.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.8), layout="constrained")
        power_panels(figure, curves, title)
        save(figure, path)


def draw_evaluation(
    path: str | Path,
    evaluation: Evaluation | FieldEvaluation,
    *,
    real: ArrayLike | None = None,
    generated: ArrayLike | None = None,
    params: ArrayLike | None = None,
    param_names: Sequence[str] = (),
    units: str = SURFACE_DENSITY,
    title: str = "",
) -> None:
    """Draw the report of `focus evaluate`: P(k) and ratio, one-point PDF, slab mean; maps below when given.

    Of a normalised field P(k) stands alone.

    Raises OSError when the file can't be written.
    """
    with_maps = real is not None and generated is not None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13.5, 9.4 if with_maps else 4.9), layout="constrained")
        figure.suptitle(title, fontsize=12)
        rows = figure.subfigures(2 if with_maps else 1, 1, height_ratios=(1, 0.9)[: 1 + with_maps], squeeze=False)
        if isinstance(evaluation, Evaluation):
            panels = rows[0, 0].subfigures(1, 3, width_ratios=(1.15, 1, 1))
            power_panels(panels[0], evaluation.power_spectrum, "power spectrum")
            pdf_panel(panels[1].subplots(), evaluation.pdf, units)
            slab_panel(panels[2].subplots(), evaluation.slab_mean, units)
        else:
            power_panels(rows[0, 0], evaluation.power_spectrum, "power spectrum of the normalised field")
        if real is not None and generated is not None:
            values = np.empty((np.shape(real)[0], 0)) if params is None else np.asarray(params)
            box_size = evaluation.box_size
            pairs = [("real", _maps(real)), ("generated", _maps(generated))]
            map_rows(rows[1, 0], pairs, values, param_names, box_size, units)
        save(figure, path)


def draw_comparison(
    path: str | Path, standings: Sequence[tuple[str, Evaluation, Sequence[Cost]]], *, title: str = ""
) -> None:
    """Draw named evaluations of the same test maps: P(k) ratio, PDF, and P(k) error against steps and against time.

    Raises OSError when the file can't be written.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.5, 8.2), layout="constrained")
        figure.suptitle(title, fontsize=11)
        (ratios, pdfs), (steps, seconds) = figure.subplots(2, 2)
        evaluations = [(name, evaluation) for name, evaluation, _ in standings]
        ratios_panel(ratios, [(name, one.power_spectrum) for name, one in evaluations])
        pdfs_panel(pdfs, [(name, one.pdf) for name, one in evaluations])
        costs = [(name, one.power_spectrum, rungs) for name, one, rungs in standings]
        cost_panel(steps, costs, "nfe", "network evaluations per map")
        cost_panel(seconds, costs, "seconds_per_map", "seconds per map")
        save(figure, path)


def _maps(maps: ArrayLike) -> Array:
    """Return the first few maps as (N, H, W); of several channels, the first."""
    array = np.asarray(maps)[:MAX_COLUMNS].astype(np.float64)
    return array[:, 0] if array.ndim == 4 else array


def save(figure: Figure, path: str | Path, suffix: str = "png") -> None:
    """Write a figure, whole or not at all, as `suffix` (png, pdf or svg). Raises OSError when the disk refuses."""
    FigureCanvasAgg(figure)
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}  # the same numbers make the same file
    with write_atomically(path) as temporary:
        figure.savefig(temporary, format=suffix, metadata=undated.get(suffix))
