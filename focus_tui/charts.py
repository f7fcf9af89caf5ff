"""Curves as text: numbers and a size in, drawn text out, for the command line and the dashboard alike.

Every function is pure and returns at most `height` lines of at most `width` cells, with ANSI colours, or plain
when `color` is false (then generated curves are dots, so that they still differ). Unknown values are None or
NaN. Importing this costs numpy only; plotext comes with the first chart (see canvas.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_tui.canvas import (
    BAND,
    BLUE,
    DOT,
    GREEN,
    GREY,
    LINE,
    ORANGE,
    RED,
    TEXT,
    UPRIGHT,
    Curve,
    Legend,
    Panel,
    compose,
    level,
    log10,
    numbers,
    padded,
    scatter_band,
    too_small,
    upright,
)
from focus_tui.half_blocks import draw_map, draw_maps
from focus_tui.ticks import integer_ticks, linear_ticks, log_ticks

__all__ = ["draw_losses", "draw_lr", "draw_map", "draw_maps", "draw_pdf", "draw_power", "draw_single_power"]

Array = NDArray[np.float64]
Limits = tuple[float, float]


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
) -> str:
    """Return P(k) [(Mpc/h)²] of generated maps over the real mean and its ±1σ, above their ratio.

    k in h/Mpc. The ratio panel has lines at ±5 % and ±10 %. On the logarithmic axis the lower edge of the band
    is as far below the mean as mean + σ is above it.
    """
    k, real, std, generated = (numbers(values) for values in (k, real_mean, real_std, generated_mean))
    if words := too_small(width, height, k, real):
        return words
    x, band = log10(k), scatter_band(log10(k), real, std)
    curves = [*band, Curve(x, log10(real)), _generated(x, log10(generated), color)]
    entries = [("━", "real", TEXT), (BAND, "±1σ", GREY), _generated_entry(color)]
    head = Legend(title, "P(k) [(Mpc/h)²]", entries + _nyquist_entry(k_nyquist)).lines(width, color)
    rows = height - len(head) - 4  # two axis rows, the tick labels and the label of the axis
    below = max(3, rows * 3 // 10)
    x_limits = padded(x, _nyquist(k_nyquist), margin=0.02)
    upper = _log_log(curves, x_limits, max(1, rows - below), width, k_nyquist, x_labels=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = _ratio(x, generated / real, x_limits, below, width, color, k_nyquist)
    return compose(head, [upper, lower] if rows >= 8 else [_tall(upper, rows + 1)], "k [h/Mpc]", width, color)


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
    y_label: str = "P(k) [(Mpc/h)²]",
) -> str:
    """Return the mean P(k) of some maps, with its ±1σ from map to map where that is known."""
    k, mean = numbers(k), numbers(mean)
    std = np.full(k.shape, np.nan) if std is None else numbers(std)
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
    warmup_epochs: int = 0,
    cuts: Sequence[float] = (),
    best_epoch: int | None = None,
    resumed_after: Sequence[float] = (),
    early_stopped: bool = False,
    step_epochs: ArrayLike | None = None,
    step_loss: ArrayLike | None = None,
) -> str:
    """Return train and validation loss against the epoch.

    `cuts` and `resumed_after` are the epochs after which the rate was cut or training went on; warmup ends
    after `warmup_epochs`; with `early_stopped` the last epoch is marked. `step_loss` at `step_epochs` is the
    training loss inside epochs, drawn faint.
    """
    epochs, train, val = numbers(epochs), numbers(train), numbers(val)
    steps_x, steps_y = (
        numbers([] if step_epochs is None else step_epochs),
        numbers([] if step_loss is None else step_loss),
    )
    if words := too_small(width, height, epochs, np.concatenate([train, val])):
        return words
    log = log and bool(np.nanmax(np.concatenate([train, val])) > 0)
    y_train, y_val, y_steps = (log10(one) if log else one for one in (train, val, steps_y))
    limits = padded(y_train, y_val, margin=0.05)
    place = log10 if log_x else np.asarray
    happened = _happenings(epochs, warmup_epochs, cuts, resumed_after, early_stopped)
    curves = [
        upright(float(place(np.array([x]))[0]), limits, sign, number)
        for sign, _, places, number in happened
        for x in places
    ]
    if steps_x.size:
        curves.append(Curve(place(steps_x), y_steps.clip(*limits), GREY))
    curves += [Curve(place(epochs), y_train, BLUE), _generated(place(epochs), y_val, color)]
    entries = [("━", "train", BLUE), ("━" if color else DOT, "validation", ORANGE)]
    if best_epoch is not None and (at := epochs == best_epoch).any():
        curves.append(Curve(place(epochs[at]), y_val[at], RED, "★", joined=False))
        entries.append(("★", f"best @ {best_epoch}", RED))
    entries += [(sign, words, number) for sign, words, places, number in happened if places]
    head = Legend(title, "loss", entries).lines(width, color, most=1 + (height >= 12))
    return _over_epochs(head, curves, epochs, limits, width, height, color, log=log, log_x=log_x)


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
    """Return the learning rate against the epoch, in steps, with the end of warmup, cuts and resumes marked."""
    epochs, lr = numbers(epochs), numbers(lr)
    if words := too_small(width, height, epochs, lr):
        return words
    y = log10(lr) if log else lr
    limits = padded(y, margin=0.08)
    x = np.repeat(epochs, 2) + np.tile([-0.5, 0.5], epochs.size)
    place = log10 if log_x else np.asarray
    happened = _happenings(epochs, warmup_epochs, cuts, resumed_after, early_stopped=False)
    curves = [
        upright(float(place(np.array([x]))[0]), limits, sign, number)
        for sign, _, places, number in happened
        for x in places
    ]
    curves.append(Curve(place(x), np.repeat(y, 2), GREEN))
    entries = [(sign, words, number) for sign, words, places, number in happened if places]
    head = Legend(title, "learning rate", entries).lines(width, color)
    return _over_epochs(head, curves, epochs, limits, width, height, color, log=log, log_x=log_x)


Happening = tuple[str, str, list[float], int]


def _happenings(
    epochs: Array, warmup_epochs: int, cuts: Sequence[float], resumed_after: Sequence[float], early_stopped: bool
) -> list[Happening]:
    """What happened to a run on the axis of epochs: sign, words, places, colour."""
    warmup = [warmup_epochs] if epochs[0] <= warmup_epochs < epochs[-1] else []
    last = float(epochs[-1])
    return [
        (UPRIGHT, "warmup ends", [e + 0.5 for e in warmup], GREEN),
        ("╎", "rate cut", [e + 0.5 for e in cuts if e < last], GREY),
        ("╏", "resumed", [e + 0.5 for e in resumed_after if e < last], BLUE),
        ("┃", "early stop", [last] if early_stopped else [], RED),
    ]


def draw_pdf(
    log10_value: ArrayLike,
    real_pdf: ArrayLike,
    generated_pdf: ArrayLike,
    real_std: ArrayLike | None = None,
    *,
    width: int,
    height: int,
    color: bool = True,
    title: str = "",
    x_label: str = "map value [(M☉/h)/(Mpc/h)²]",
) -> str:
    """Return the one-point PDFs per dex (log) of real and generated maps against the pixel value (log)."""
    x, real, generated = numbers(log10_value), numbers(real_pdf), numbers(generated_pdf)
    std = np.full(x.shape, np.nan) if real_std is None else numbers(real_std)
    if words := too_small(width, height, x, real):
        return words
    band = scatter_band(x, real, std)
    entries = [("━", "real", TEXT), *([(BAND, "±1σ", GREY)] if band else []), _generated_entry(color)]
    head = Legend(title, "PDF per dex", entries).lines(width, color)
    curves = [*band, Curve(x, log10(real)), _generated(x, log10(generated), color)]
    shown = x[(real > 0) | (generated > 0)]
    panel = _log_log(curves, padded(shown, margin=0.02), height - len(head) - 3, width, None)
    return compose(head, [panel], x_label, width, color)


def _generated(x: Array, y: Array, color: bool) -> Curve:
    return Curve(x, y, ORANGE, LINE if color else DOT, joined=color)


def _generated_entry(color: bool) -> tuple[str, str, int | None]:
    return ("━" if color else DOT, "generated", ORANGE)


def _nyquist(k_nyquist: float | None) -> Array:
    return log10(np.array([k_nyquist or np.nan]))


def _nyquist_entry(k_nyquist: float | None) -> list[tuple[str, str, int | None]]:
    return [(UPRIGHT, "k_Nyquist", GREY)] if k_nyquist else []


def _log_log(
    curves: list[Curve], x_limits: Limits, rows: int, width: int, k_nyquist: float | None, *, x_labels: bool = True
) -> Panel:
    """Return a panel whose curves are in log10 along both axes."""
    edges = [edge for curve in curves for edge in (curve.y, curve.down_to) if edge is not None]
    y_limits = padded(*edges, margin=0.04)
    if k_nyquist:
        curves = [upright(float(_nyquist(k_nyquist)[0]), y_limits), *curves]
    x_ticks, y_ticks = log_ticks(*x_limits, width // 10), log_ticks(*y_limits, max(2, rows // 2))
    return Panel(curves, x_limits, y_limits, x_ticks, y_ticks, rows, x_labels)


def _ratio(
    x: Array, ratio: Array, x_limits: Limits, rows: int, width: int, color: bool, k_nyquist: float | None
) -> Panel:
    """Return generated / real around 1, with lines at ±5 % and ±10 % where the rows tell them apart."""
    known = np.abs(ratio[np.isfinite(ratio)] - 1)
    reach = float(np.clip(known.max(initial=0.0) * 1.1, 0.12, 1.0))
    limits = (1 - reach, 1 + reach)
    row = 2 * reach / rows
    curves = [level(1 + sign * 0.05, x_limits, "┈") for sign in (-1, 1) if row < 0.05]
    curves += [level(1 + sign * 0.1, x_limits, "╌") for sign in (-1, 1) if row < 0.1]
    curves.append(level(1.0, x_limits, "─"))
    if k_nyquist:
        curves.append(upright(float(_nyquist(k_nyquist)[0]), limits))
    curves.append(_generated(x, ratio, color))
    ticks = ([0.9, 1.0, 1.1], ["0.9", "1", "1.1"]) if row < 0.1 else linear_ticks(*limits, max(2, rows // 2))
    return Panel(curves, x_limits, limits, log_ticks(*x_limits, width // 10), ticks, rows)


def _tall(panel: Panel, rows: int) -> Panel:
    """Return a panel that stands alone, with the labels of its horizontal axis."""
    return Panel(panel.curves, panel.x_limits, panel.y_limits, panel.x_ticks, panel.y_ticks, rows)


def _over_epochs(
    head: list[str],
    curves: list[Curve],
    epochs: Array,
    y_limits: Limits,
    width: int,
    height: int,
    color: bool,
    *,
    log: bool,
    log_x: bool = False,
) -> str:
    rows = height - len(head) - 3
    x_limits = (float(epochs[0]) - 0.5, float(epochs[-1]) + 0.5)
    x_ticks = integer_ticks(*x_limits, width // 10)
    if log_x:
        x_limits = (float(np.log10(max(0.5, x_limits[0]))), float(np.log10(x_limits[1])))
        x_ticks = log_ticks(*x_limits, width // 10)
    y_ticks = (log_ticks if log else linear_ticks)(*y_limits, max(2, rows // 2))
    return compose(head, [Panel(curves, x_limits, y_limits, x_ticks, y_ticks, rows)], "epoch", width, color)
