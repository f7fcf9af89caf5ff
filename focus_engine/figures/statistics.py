"""Panels of a statistic: its own function if it has one here, else the curve of its spec, else its scores alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from focus_engine.config.statistic_spec import CurveSpec, StatisticCurve, StatisticSpec
from focus_engine.figures.comparison import pdfs_panel, ratios_panel, series_colour
from focus_engine.figures.panels import (
    BAND,
    FAINT,
    GENERATED,
    REAL,
    numbers,
    pdf_panel,
    plain_log_ticks,
    points,
    power_panels,
    slab_panel,
)
from focus_engine.figures.scores import response_panel, widths_panel
from focus_engine.statistics.protocol import Result
from focus_engine.units import NORMALISED


def _power(figure: Figure | SubFigure, result: Any, units: str) -> None:  # noqa: ANN401  (a PowerComparison)
    of_field = f" of the {NORMALISED}" if units == NORMALISED else ""
    power_panels(figure, result, f"power spectrum{of_field}")


OWN_PANELS: dict[str, Callable[[Figure | SubFigure, Any, str], None]] = {
    "power_spectrum": _power,
    "pdf": lambda figure, result, units: pdf_panel(figure.subplots(), result, units),
    "slab_mean": lambda figure, result, units: slab_panel(figure.subplots(), result, units),
    "response": lambda figure, result, _: response_panel(figure.subplots(), result),
    "covariance": lambda figure, result, _: widths_panel(figure.subplots(), result),
}
"""Functions that draw the result of one model, by the name of the statistic."""

OWN_OVERLAYS: dict[str, Callable[[Axes, Sequence[tuple[str, Any]]], None]] = {
    "power_spectrum": ratios_panel,
    "pdf": pdfs_panel,
}
"""Functions that draw the results of several named models, by the name of the statistic."""


def draw_statistic(figure: Figure | SubFigure, spec: StatisticSpec, result: Result, units: str) -> None:
    """Draw the result of a statistic of maps in `units`."""
    if spec.name in OWN_PANELS:
        OWN_PANELS[spec.name](figure, result, units)
        return
    axes, curve = figure.subplots(), spec.curve_in(result)
    axes.set(title=spec.title)
    if curve is None or spec.curve is None:
        axes.set_axis_off()
    else:
        _curve_panel(axes, spec.curve, curve, physical=units != NORMALISED)


def has_panel(spec: StatisticSpec) -> bool:
    """Return whether a statistic has anything to draw but its scores."""
    return spec.curve is not None or spec.name in OWN_PANELS


def draw_statistic_of_models(axes: Axes, spec: StatisticSpec, models: Sequence[tuple[str, Result]]) -> None:
    """Draw the curve of each named model with that of the real maps; the spec must name a curve."""
    if spec.name in OWN_OVERLAYS:
        OWN_OVERLAYS[spec.name](axes, models)
        return
    curves = [(name, spec.curve_in(result), spec.scores_in(result)[0]) for name, result in models]
    known = [(name, curve, score) for name, curve, score in curves if curve is not None]
    if spec.curve is None or not known:
        return
    axes.plot(numbers(known[0][1].x), numbers(known[0][1].real), color=REAL, lw=points(2), label="real")
    for place, (name, curve, score) in enumerate(known):
        label = f"{name}: {score.spec.heading} {score.spec.text(score.value)}"
        colour, dashes = series_colour(place), (0, (4, 1.2))
        axes.plot(numbers(curve.x), numbers(curve.generated), color=colour, lw=points(1.5), ls=dashes, label=label)
    _set_axes(axes, spec.curve, known[0][1], physical=True)
    axes.set(title=spec.title)
    axes.legend(loc="best")


def _curve_panel(axes: Axes, where: CurveSpec, curve: StatisticCurve, *, physical: bool) -> None:
    """Draw the generated and the real curve, with the scatter of the real maps as a band."""
    x, real, std = numbers(curve.x), numbers(curve.real), np.nan_to_num(numbers(curve.real_std))
    axes.fill_between(x, real - std, real + std, color=BAND, alpha=0.6, lw=0, label="real ±1σ")
    axes.plot(x, real, color=REAL, lw=points(1.8), label="real")
    axes.plot(x, numbers(curve.generated), color=GENERATED, lw=points(1.8), ls=(0, (4, 1.2)), label="generated")
    _set_axes(axes, where, curve, physical=physical)
    axes.legend(loc="best")


def _set_axes(axes: Axes, where: CurveSpec, curve: StatisticCurve, *, physical: bool) -> None:
    label = f"log10 of {where.x_label}" if where.x_scale == "exponent" else where.x_label
    axes.set(xlabel=label, ylabel=where.y_label(physical=physical))
    axes.set_xscale("log" if where.x_scale == "log" else "linear")
    axes.set_yscale("log" if where.y_scale == "log" else "linear")
    if where.x_scale == "log":
        plain_log_ticks(axes)
    if curve.limit is not None:
        axes.axvline(curve.limit, color=FAINT, lw=points(1), ls=":")
