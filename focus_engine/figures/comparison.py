"""Panels that compare several models: P(k) ratios, PDFs, and error against sampling cost.

A model has the same colour in every panel; the true-against-true value is grey in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from focus_engine.config.statistics import leading_score
from focus_engine.figures.panels import BAND, BLUE, FAINT, GENERATED, GREEN, REAL, RED, plain_log_ticks, points
from focus_engine.runs.comparison import SamplingCost
from focus_engine.statistics.pdf import PdfComparison
from focus_engine.statistics.power import PowerComparison

COLOURS = (GENERATED, BLUE, GREEN, RED, "#CC79A7", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")


def series_colour(place: int) -> str:
    """Return the colour of the model with index `place` in the comparison."""
    return COLOURS[place % len(COLOURS)]


def ratios_panel(axes: Axes, models: Sequence[tuple[str, PowerComparison]]) -> None:
    """Draw P_generated / P_real of each model with its bootstrap uncertainty, and bands at ±5 % and ±10 %."""
    axes.axhspan(0.9, 1.1, color=BAND, alpha=0.35, lw=0)
    axes.axhspan(0.95, 1.05, color=BAND, alpha=0.6, lw=0)
    axes.axhline(1, color=REAL, lw=points(1))
    reach = 0.15
    for place, (name, power) in enumerate(models):
        color = series_colour(place)
        low, high = power.ratio - power.ratio_std, power.ratio + power.ratio_std
        axes.fill_between(power.k, low, high, color=color, alpha=0.18, lw=0)
        label = f"{name}: median error {100 * power.median_abs_error:.1f} %"
        axes.plot(power.k, power.ratio, color=color, lw=points(1.7), label=label)
        reach = max(reach, float(np.nanmax(np.abs(power.ratio - 1))))
    nyquist = models[0][1].k_nyquist
    axes.axvline(nyquist, color=FAINT, lw=points(1), ls=":")
    axes.set_xscale("log")
    reach = min(1.15 * reach, 1.0)
    axes.set(ylim=(1 - reach, 1 + 1.5 * reach), xlim=(models[0][1].k[0] / 1.08, nyquist * 1.1))
    axes.set(xlabel=r"$k$  [$h/\mathrm{Mpc}$]", ylabel=r"$P_{\rm generated}\,/\,P_{\rm real}$", title="power spectrum")
    plain_log_ticks(axes)
    axes.legend(loc="upper left")


def pdfs_panel(axes: Axes, models: Sequence[tuple[str, PdfComparison]]) -> None:
    """Draw the one-point PDF of each model over the real one."""
    real = models[0][1]
    axes.plot(real.log10_value, real.real_pdf, color=REAL, lw=points(2), label="real")
    highest, lowest = real.real_pdf.max(), np.min(real.real_pdf[real.real_pdf > 0])
    for place, (name, pdf) in enumerate(models):
        color = series_colour(place)
        label = rf"{name}: $W_1$ = {pdf.w1:.3f} σ"
        axes.plot(pdf.log10_value, pdf.generated_pdf, color=color, lw=points(1.5), ls=(0, (4, 1.2)), label=label)
    axes.set_yscale("log")
    axes.set_ylim(lowest / 2, highest * 12)
    axes.set(xlabel=r"$\log_{10}$ of the map", ylabel="PDF per dex", title="one-point distribution")
    axes.legend(loc="upper left")


def cost_panel(
    axes: Axes, models: Sequence[tuple[str, Sequence[SamplingCost]]], truth: float | None, what: str, words: str
) -> None:
    """Draw the leading score of each model against the cost `what` of a map, `nfe` or `seconds_per_map`.

    `truth` is what a perfect generator scores on average, None when unknown.
    """
    leading = leading_score()
    scale = 100 if leading.unit == "%" else 1
    if truth is not None:
        label = "a perfect model, on average"
        axes.axhline(scale * truth, color=FAINT, lw=points(1.2), ls="--", label=label)
    for place, (name, costs) in enumerate(models):
        scored = [(getattr(cost, what), cost.scores[leading.key], cost.steps) for cost in costs]
        known = [(cost, scale * score, steps) for cost, score, steps in scored if score is not None]
        color, marker = series_colour(place), MARKERS[place % len(MARKERS)]
        x, y = [one[0] for one in known], [one[1] for one in known]
        axes.plot(x, y, color=color, lw=points(1.4), marker=marker, ms=points(5), label=name)
        for cost, score, steps in known:
            axes.annotate(
                str(steps), (cost, score), (0, points(6)), textcoords="offset points", fontsize=points(7),
                ha="center", color=color,
            )  # fmt: skip
    axes.set(xscale="log", xlabel=words, ylabel=f"{leading.title}  [{leading.unit}]")
    axes.set_yscale("log")
    plain_log_ticks(axes)
    plain_log_ticks(axes, "y")
    axes.legend(loc="best", title="numbers: steps", title_fontsize=points(8))
