"""Charts of a run as text, for the command line and the dashboard: losses, learning rate, P(k) and PDF.

Every function is pure and returns at most `height` lines of at most `width` cells, with ANSI colours, or plain when
`color` is false (generated curves are then dots, so that they still differ). Unknown values are None or NaN. Importing
this module imports numpy; plotext is imported with the first chart (see canvas.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.config.statistics import POWER_CURVE
from focus_tui.charts.canvas import (
    BAND,
    BLUE,
    DOT,
    GREEN,
    GREY,
    LINE,
    ORANGE,
    RED,
    TEXT,
    VERTICAL,
    Curve,
    Legend,
    Limits,
    Panel,
    as_floats,
    compose,
    horizontal_line,
    log10,
    padded,
    scatter_band,
    smoothed,
    too_small,
    vertical_line,
)
from focus_tui.charts.epoch_marks import EpochAxis, epoch_axis, legend_entries, run_marks
from focus_tui.charts.half_blocks import draw_map, draw_maps
from focus_tui.charts.ticks import integer_ticks, linear_ticks, log_ticks

__all__ = ["draw_losses", "draw_lr", "draw_map", "draw_maps", "draw_power", "draw_single_power"]

Array = NDArray[np.float64]


DENSITY_POWER = POWER_CURVE.y_label()
FIELD_POWER = POWER_CURVE.y_label(physical=False)
"""Axis labels of a power spectrum: of a density, and of maps that were normalised in an unknown way."""


def draw_power(
    k: ArrayLike,
    real_mean: ArrayLike,
    real_std: ArrayLike,
    generated_mean: ArrayLike,
    *,
    width: int,
    height: int,
    color: bool = True,
    title: str = "",
    k_nyquist: float | None = None,
    generated_label: str = "generated",
    band_label: str = "±1σ",
    ratio: ArrayLike | None = None,
    ratio_std: ArrayLike | None = None,
    y_label: str = DENSITY_POWER,
) -> str:
    """Return P(k) [(Mpc/h)²] of generated maps over the real mean and its ±1σ, with their ratio below.

    k is in h/Mpc. The `ratio` is that of the two means if it is not given; ± `ratio_std` is shaded. Its panel has lines
    at ±5 % and ±10 %. On the logarithmic axis the lower edge of the band is as far below the mean as mean + σ is above
    it.
    """
    k, real, std, generated = (as_floats(values) for values in (k, real_mean, real_std, generated_mean))
    if words := too_small(width, height, k, real):
        return words
    x, band = log10(k), scatter_band(log10(k), real, std)
    curves = [*band, Curve(x, log10(real)), generated_curve(x, log10(generated), color)]
    entries = [("━", "real", TEXT), (BAND, band_label, GREY), generated_entry(color, generated_label)]
    head = Legend(title, y_label, entries + _nyquist_entry(k_nyquist)).lines(width, color)
    rows = height - len(head) - 4  # two axis rows, the tick labels and the label of the axis
    below = max(3, rows * 3 // 10)
    x_limits = padded(x, _nyquist(k_nyquist), margin=0.02)
    upper = _log_log(curves, x_limits, max(1, rows - below), width, k_nyquist, x_labels=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = generated / real if ratio is None else as_floats(ratio)
    spread = np.full(k.shape, np.nan) if ratio_std is None else as_floats(ratio_std)
    lower = _ratio(x, relative, spread, x_limits, below, width, color, k_nyquist)
    return compose(head, [upper, lower] if rows >= 7 else [_tall(upper, rows + 1)], "k [h/Mpc]", width, color)


def draw_single_power(
    k: ArrayLike,
    mean: ArrayLike,
    std: ArrayLike | None = None,
    *,
    width: int,
    height: int,
    color: bool = True,
    title: str = "",
    k_nyquist: float | None = None,
    y_label: str = DENSITY_POWER,
) -> str:
    """Return the mean P(k) of maps, with its ±1σ from map to map where known."""
    k, mean = as_floats(k), as_floats(mean)
    std = np.full(k.shape, np.nan) if std is None else as_floats(std)
    if words := too_small(width, height, k, mean):
        return words
    x, band = log10(k), scatter_band(log10(k), mean, std)
    entries = [("━", "mean", ORANGE), *([(BAND, "±1σ", GREY)] if band else []), *_nyquist_entry(k_nyquist)]
    head = Legend(title, y_label, entries).lines(width, color)
    x_limits = padded(x, _nyquist(k_nyquist), margin=0.02)
    curves = [*band, Curve(x, log10(mean), ORANGE)]
    panel = _log_log(curves, x_limits, height - len(head) - 3, width, k_nyquist)
    return compose(head, [panel], "k [h/Mpc]", width, color)


def draw_losses(
    epochs: ArrayLike,
    train: ArrayLike,
    val: ArrayLike,
    *,
    width: int,
    height: int,
    color: bool = True,
    title: str = "",
    log: bool = True,
    log_x: bool = False,
    smoothing: float = 0.0,
    first_epoch: float = 0,
    warmup_epochs: int = 0,
    cuts: Sequence[float] = (),
    best_epoch: int | None = None,
    resumed_after: Sequence[float] = (),
    early_stopped: bool = False,
    step_epochs: ArrayLike | None = None,
    step_loss: ArrayLike | None = None,
) -> str:
    """Return train and validation loss against the epoch.

    `cuts` and `resumed_after` are the epochs after which the rate was cut or training was resumed. Warmup is shaded,
    and with `early_stopped` the end is marked. `smoothing` is the weight of the past in a moving average; the losses
    themselves are then drawn faint behind it, as is `step_loss`, the training loss inside epochs at `step_epochs`.
    Only epochs from `first_epoch` on are shown.
    """
    epochs, train, val = as_floats(epochs), as_floats(train), as_floats(val)
    shown = epochs >= first_epoch
    smooth_train, smooth_val = smoothed(train, smoothing)[shown], smoothed(val, smoothing)[shown]
    epochs, train, val = epochs[shown], train[shown], val[shown]
    steps = [as_floats([] if one is None else one) for one in (step_epochs, step_loss)]
    known = np.concatenate([train, val])
    if words := too_small(width, height, epochs, known):
        return words
    log = log and bool(np.nanmax(known) > 0)
    scale = log10 if log else np.asarray
    axis = epoch_axis(epochs, width, log_x=log_x, room=early_stopped)
    limits = padded(scale(known), scale(smooth_train), scale(smooth_val), margin=0.05)
    marks = run_marks(axis, limits, epochs, warmup_epochs, cuts, resumed_after, early_stopped)
    best = epochs == (np.nan if best_epoch is None else best_epoch)
    faint = [(steps[0], steps[1]), *([(epochs, train), (epochs, val)] if smoothing > 0 else [])]
    curves = [mark for event in marks for mark in event.curves]
    curves += [_faint(axis.place(x), scale(y).clip(*limits), color) for x, y in faint if x.size]
    curves += [
        Curve(axis.place(epochs), scale(smooth_train), BLUE),
        generated_curve(axis.place(epochs), scale(smooth_val), color),
        Curve(axis.place(epochs[best]), scale(smooth_val[best]), RED, "★", joined=False),
    ]
    entries = [("━", "train", BLUE), ("━" if color else DOT, "validation", ORANGE)]
    entries += [("★", f"best @ {best_epoch}", RED)] if best.any() else []
    head = Legend(title, "loss", entries + legend_entries(marks)).lines(width, color, most=1 + (height >= 12))
    return _over_epochs(head, curves, axis, limits, width, height, color, log=log)


def draw_lr(
    epochs: ArrayLike,
    lr: ArrayLike,
    *,
    width: int,
    height: int,
    color: bool = True,
    title: str = "",
    log: bool = True,
    log_x: bool = False,
    warmup_epochs: int = 0,
    cuts: Sequence[float] = (),
    resumed_after: Sequence[float] = (),
) -> str:
    """Return the learning rate against the epoch as a step curve, with warmup shaded and cuts and resumes marked."""
    epochs, lr = as_floats(epochs), as_floats(lr)
    if words := too_small(width, height, epochs, lr):
        return words
    log = log and bool(np.nanmax(lr) > 0)
    y = log10(lr) if log else lr
    limits = padded(y, margin=0.08)
    axis = epoch_axis(epochs, width, log_x=log_x)
    marks = run_marks(axis, limits, epochs, warmup_epochs, cuts, resumed_after)
    turns = np.diff(y, prepend=np.nan, append=np.nan) != 0  # between the epochs
    ends = turns[:-1] | turns[1:]  # the first and the last epoch at each rate
    x = np.repeat(epochs[ends], 2) + np.tile([-0.5, 0.5], int(ends.sum()))
    curves = [mark for event in marks for mark in event.curves]
    curves.append(Curve(axis.place(x), np.repeat(y[ends], 2), GREEN))
    head = Legend(title, "learning rate", legend_entries(marks)).lines(width, color)
    return _over_epochs(head, curves, axis, limits, width, height, color, log=log)


def _faint(x: Array, y: Array, color: bool) -> Curve:
    return Curve(x, y, GREY, LINE if color else "·", joined=color)


def generated_curve(x: Array, y: Array, color: bool) -> Curve:
    """Return the curve of generated maps: dots where colours can't tell it from that of the real ones."""
    return Curve(x, y, ORANGE, LINE if color else DOT, joined=color)


def generated_entry(color: bool, words: str = "generated") -> tuple[str, str, int | None]:
    """Return its entry in the legend."""
    return ("━" if color else DOT, words, ORANGE)


def _nyquist(k_nyquist: float | None) -> Array:
    return log10(np.array([k_nyquist or np.nan]))


def _nyquist_entry(k_nyquist: float | None) -> list[tuple[str, str, int | None]]:
    return [(VERTICAL, "k_Nyquist", GREY)] if k_nyquist else []


def _log_log(
    curves: list[Curve], x_limits: Limits, rows: int, width: int, k_nyquist: float | None, *, x_labels: bool = True
) -> Panel:
    """Return a panel with logarithmic axes of curves in log10."""
    edges = [edge for curve in curves for edge in (curve.y, curve.down_to) if edge is not None]
    y_limits = padded(*edges, margin=0.04)
    if k_nyquist:
        curves = [vertical_line(float(_nyquist(k_nyquist)[0]), y_limits), *curves]
    x_ticks, y_ticks = log_ticks(*x_limits, width // 10), log_ticks(*y_limits, max(2, rows // 2))
    return Panel(curves, x_limits, y_limits, x_ticks, y_ticks, rows, x_labels)


def _ratio(
    x: Array, ratio: Array, std: Array, x_limits: Limits, rows: int, width: int, color: bool, k_nyquist: float | None
) -> Panel:
    """Return the panel of generated / real around 1, with lines at ±5 % and ±10 % where rows are fine enough."""
    known = np.abs(ratio[np.isfinite(ratio)] - 1)
    reach = float(np.clip(known.max(initial=0.0) * 1.1, 0.12, 1.0))
    limits = (1 - reach, 1 + reach)
    row = 2 * reach / rows
    sure = np.isfinite(ratio) & np.isfinite(std)
    low, high = ((ratio + sign * std)[sure].clip(*limits) for sign in (-1, 1))
    curves = [Curve(x[sure], high, GREY, BAND, down_to=low)] if sure.any() else []
    curves += [horizontal_line(1 + sign * 0.05, x_limits, "┈") for sign in (-1, 1) if row < 0.05]
    curves += [horizontal_line(1 + sign * 0.1, x_limits, "╌") for sign in (-1, 1) if row < 0.1]
    curves.append(horizontal_line(1.0, x_limits, "─"))
    if k_nyquist:
        curves.append(vertical_line(float(_nyquist(k_nyquist)[0]), limits))
    curves.append(generated_curve(x, ratio, color))
    ticks = ([0.9, 1.0, 1.1], ["0.9", "1", "1.1"]) if row < 0.1 else linear_ticks(*limits, max(3, rows // 2))
    return Panel(curves, x_limits, limits, log_ticks(*x_limits, width // 10), ticks, rows)


def _tall(panel: Panel, rows: int) -> Panel:
    """Return a copy of the panel with `rows` rows and with labels of its horizontal axis."""
    return Panel(panel.curves, panel.x_limits, panel.y_limits, panel.x_ticks, panel.y_ticks, rows)


def _over_epochs(
    head: list[str],
    curves: list[Curve],
    axis: EpochAxis,
    y_limits: Limits,
    width: int,
    height: int,
    color: bool,
    *,
    log: bool,
) -> str:
    rows = height - len(head) - 3
    x_ticks = (log_ticks if axis.log else integer_ticks)(*axis.limits, width // 10)
    y_ticks = (log_ticks if log else linear_ticks)(*y_limits, max(2, rows // 2))
    return compose(head, [Panel(curves, axis.limits, y_limits, x_ticks, y_ticks, rows)], "epoch", width, color)
