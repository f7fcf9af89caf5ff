"""Drawing the curve of any statistic as text, on the axes that its spec names."""

from __future__ import annotations

import numpy as np

from focus_engine.config.statistic_spec import CurveSpec, StatisticCurve
from focus_tui.charts.canvas import (
    BAND,
    GREY,
    TEXT,
    Curve,
    Legend,
    Panel,
    compose,
    log10,
    padded,
    scatter_band,
    too_small,
    vertical_line,
)
from focus_tui.charts.curves import Array, generated_curve, generated_entry
from focus_tui.charts.ticks import linear_ticks, log_ticks


def draw_statistic(
    where: CurveSpec,
    curve: StatisticCurve,
    *,
    width: int,
    height: int,
    color: bool = True,
    title: str = "",
    physical: bool = True,
) -> str:
    """Return the mean of generated maps drawn over that of real maps and its ±1σ, without bins that have no real value.

    Like every chart, it has at most `height` lines of at most `width` cells.
    """
    log_y = where.y_scale == "log"
    columns = np.array([curve.x, curve.real, curve.real_std, curve.generated], dtype=np.float64)
    real = columns[1]
    shown = real > 0 if log_y else np.isfinite(real)
    x, real, std, generated = columns[:, shown]
    if words := too_small(width, height, x, real):
        return words
    x = log10(x) if where.x_scale == "log" else x
    scale = log10 if log_y else np.asarray
    band = scatter_band(x, real, std) if log_y else _linear_band(x, real, std)
    curves = [*band, Curve(x, scale(real)), generated_curve(x, scale(generated), color)]
    entries = [("━", "real", TEXT), *([(BAND, "±1σ", GREY)] if band else []), generated_entry(color)]
    head = Legend(title, where.y_label(physical=physical), entries).lines(width, color)
    return compose(
        head, [_panel(where, curves, curve.limit, height - len(head) - 3, width)], where.x_label, width, color
    )


def _panel(where: CurveSpec, curves: list[Curve], limit: float | None, rows: int, width: int) -> Panel:
    edges = [edge for curve in curves for edge in (curve.y, curve.down_to) if edge is not None]
    x_limits, y_limits = padded(*(curve.x for curve in curves), margin=0.02), padded(*edges, margin=0.04)
    if limit is not None:
        curves = [vertical_line(float(np.log10(limit)) if where.x_scale == "log" else limit, y_limits), *curves]
    x_ticks = (linear_ticks if where.x_scale == "linear" else log_ticks)(*x_limits, width // 10)
    y_ticks = (log_ticks if where.y_scale == "log" else linear_ticks)(*y_limits, max(2, rows // 2))
    return Panel(curves, x_limits, y_limits, x_ticks, y_ticks, rows)


def _linear_band(x: Array, mean: Array, std: Array) -> list[Curve]:
    known = np.isfinite(std) & np.isfinite(mean)
    if not known.any():
        return []
    return [Curve(x[known], (mean + std)[known], GREY, BAND, down_to=(mean - std)[known])]
