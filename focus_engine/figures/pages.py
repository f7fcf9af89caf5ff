"""Figures of a run as PNG files, drawn from the same frozen results as the terminal output.

Only the object interface of matplotlib is used (no pyplot, no global figures), so that a worker can draw in the
background. Files are written atomically. The contents of the panels are defined in panels.py.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike, NDArray

from focus_engine.atomic import write_atomically
from focus_engine.config.statistic_spec import StatisticSpec
from focus_engine.config.statistics import STATISTICS
from focus_engine.figures.comparison import cost_panel
from focus_engine.figures.history import Epoch, loss_panel, rate_panel
from focus_engine.figures.panels import (
    MAX_COLUMNS,
    STYLE,
    SURFACE_DENSITY,
    PowerCurves,
    field_rows,
    power_panels,
)
from focus_engine.figures.scores import scores_panel
from focus_engine.figures.statistics import draw_statistic, draw_statistic_of_models, has_panel
from focus_engine.runs.comparison import SamplingCost
from focus_engine.statistics.compare import Evaluation
from focus_engine.statistics.protocol import Result
from focus_engine.units import NORMALISED

Array = NDArray[np.float64]

PANELS_PER_ROW = 3
"""Number of statistics per row in the report of one model."""


def draw_training_history(
    path: str | Path,
    history: Sequence[Epoch],
    *,
    early_stopped: bool = False,
    resumed_after: Sequence[int] = (),
    title: str = "",
) -> None:
    """Draw losses (log) above the learning rate (log) against the epoch.

    Warmup is shaded. Plateau cuts, resumes (the epochs in `resumed_after`), the best epoch and, with `early_stopped`,
    the last one are marked. Raises OSError when the file can't be written.
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
    units: str | Sequence[str] = SURFACE_DENSITY,
    fields: Sequence[str] = (),
    title: str = "",
) -> None:
    """Draw the first six generated maps (N, H, W) or (N, C, H, W), below real maps at the same parameters if given.

    `params` is (N, P); `units` and `fields` are those of the channels. All maps of a channel share one logarithmic
    colour scale, that of its first row. Raises OSError when the file can't be written.
    """
    units = _each(units)
    rows = [("generated", _maps(generated))]
    if real is not None:
        rows.insert(0, ("real", _maps(real)))
    with mpl.rc_context(STYLE):
        columns = min(MAX_COLUMNS, np.shape(generated)[0])
        height, width = np.shape(generated)[-2:]
        size = (1.6 + 1.9 * max(columns, 2), 0.3 + len(units) * (0.8 + len(rows) * 1.9 * height / width))
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(title, fontsize=11)
        field_rows(figure, rows, np.asarray(params), param_names, box_size, units, fields)
        save(figure, path)


def draw_power_spectrum(path: str | Path, curves: PowerCurves, *, title: str = "") -> None:
    """Draw P(k) of generated maps with the real mean and its scatter, and their ratio below.

    Raises OSError when the file can't be written.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.8), layout="constrained")
        power_panels(figure, curves, title)
        save(figure, path)


def draw_evaluation(
    path: str | Path,
    evaluation: Evaluation,
    *,
    real: ArrayLike | None = None,
    generated: ArrayLike | None = None,
    params: ArrayLike | None = None,
    param_names: Sequence[str] = (),
    units: str | Sequence[str] = SURFACE_DENSITY,
    fields: Sequence[str] = (),
    title: str = "",
) -> None:
    """Draw the report of `focus evaluate` as PNG or PDF: a panel per statistic, and maps below if given.

    Raises OSError when the file can't be written.
    """
    units = _each(units)
    with_maps = real is not None and generated is not None
    with mpl.rc_context(STYLE):
        drawn = _drawn(evaluation, units)
        n_rows = math.ceil(len(drawn) / PANELS_PER_ROW)
        scores = 0.4 + 0.05 * sum(score.null is not None for score in evaluation.scores())
        heights = [scores] + [1.0] * n_rows + ([0.9 * len(units)] if with_maps else [])
        figure = Figure(figsize=(13.5, 4.9 * sum(heights)), layout="constrained")
        verdict = textwrap.fill(evaluation.verdict.text, 120)
        figure.suptitle(f"{title}\n{verdict}" if title else verdict, fontsize=12)
        rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
        scores_panel(rows[0, 0].subplots(), evaluation.scores())
        _statistics(list(rows[1 : n_rows + 1, 0]), drawn)
        if real is not None and generated is not None:
            values = np.empty((np.shape(real)[0], 0)) if params is None else np.asarray(params)
            box_size = evaluation.box_size
            pairs = [("real", _maps(real)), ("generated", _maps(generated))]
            field_rows(rows[-1, 0], pairs, values, param_names, box_size, units, fields)
        save(figure, path, "pdf" if Path(path).suffix == ".pdf" else "png")


def draw_comparison(
    path: str | Path, models: Sequence[tuple[str, Evaluation, Sequence[SamplingCost]]], *, title: str = ""
) -> None:
    """Draw named evaluations of the same test maps: the curve of each statistic, and error against steps and time.

    Raises OSError when the file can't be written.
    """
    shared = set.intersection(*(set(one.results) for _, one, _ in models))
    specs = [spec for spec in STATISTICS.values() if spec.curve is not None and spec.name in shared]
    n_rows = math.ceil(len(specs) / 2) + 1
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.5, 4.1 * n_rows), layout="constrained")
        figure.suptitle(title, fontsize=11)
        *panels, steps, seconds = figure.subplots(n_rows, 2).flat
        for spec, axes in zip(specs, panels, strict=False):
            results = [(name, one.results[spec.name]) for name, one, _ in models]
            draw_statistic_of_models(axes, spec, results)
        for axes in panels[len(specs) :]:
            axes.set_axis_off()
        truth = models[0][1].scores()[0].null
        costs = [(name, one) for name, _, one in models]
        cost_panel(steps, costs, truth, "nfe", "NFE (network function evaluations per map)")
        cost_panel(seconds, costs, truth, "seconds_per_map", "seconds per map")
        save(figure, path)


Panel = tuple[StatisticSpec, Result, str]
"""A statistic, its result, and the unit of the maps."""


def _drawn(evaluation: Evaluation, units: Sequence[str]) -> list[Panel]:
    """Return what has a panel: statistics of each field, titled with its name where there are several."""
    of_fields = {evaluation.field: evaluation.results, **evaluation.others}
    of_units = [*units, *[""] * len(of_fields)]
    return [
        (
            replace(STATISTICS[name], title=f"{field}: {STATISTICS[name].title}" if field else STATISTICS[name].title),
            result,
            unit if evaluation.physical else NORMALISED,
        )
        for (field, results), unit in zip(of_fields.items(), of_units, strict=False)
        for name, result in results.items()
        if has_panel(STATISTICS[name])
    ]


def _statistics(rows: Sequence[SubFigure], drawn: Sequence[Panel]) -> None:
    """Draw statistics, three per row; the first, which has two panels, is slightly wider."""
    columns = min(PANELS_PER_ROW, len(drawn))
    widths = (1.15, 1, 1)[:columns]
    places = [place for row in rows for place in row.subfigures(1, columns, width_ratios=widths, squeeze=False)[0]]
    for (spec, result, units), place in zip(drawn, places, strict=False):
        draw_statistic(place, spec, result, units)


def _each(units: str | Sequence[str]) -> tuple[str, ...]:
    """Return the unit of each channel; a text is that of the only one."""
    return (units,) if isinstance(units, str) else tuple(units)


def _maps(maps: ArrayLike) -> Array:
    """Return the first `MAX_COLUMNS` maps as (N, C, H, W)."""
    array = np.asarray(maps)[:MAX_COLUMNS].astype(np.float64)
    return array if array.ndim == 4 else array[:, None]


def save(figure: Figure, path: str | Path, suffix: str = "png") -> None:
    """Write a figure atomically as `suffix` (png, pdf or svg). Raises OSError when the file can't be written."""
    canvas = FigureCanvasAgg(figure)
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}  # equal data must give identical files
    with write_atomically(path) as temporary:
        if suffix == "png":
            if (dpi := mpl.rcParams["savefig.dpi"]) != "figure":
                figure.set_dpi(dpi)
            # savefig would draw twice, the first time for the layout alone
            canvas.print_png(temporary)  # type: ignore[no-untyped-call]
        else:
            figure.savefig(temporary, format=suffix, metadata=undated.get(suffix))
