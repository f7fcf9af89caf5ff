"""Panels of the judge: every score beside what a perfect model scores, the response, and the scatter of P(k)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from focus_engine.config.scores import Score
from focus_engine.figures.panels import BAND, BLUE, FAINT, GENERATED, GREEN, REAL, RED, plain_log_ticks, points
from focus_engine.statistics.covariance import CovarianceComparison
from focus_engine.statistics.response import ResponseComparison

REACH = 8.0
"""Deviations from a perfect model at which a score is drawn on the edge."""

BANDS = (("large scales", BLUE), ("middle", GENERATED), ("small", GREEN))
"""Name and colour of each band of wavenumbers."""


def scores_panel(axes: Axes, scores: Sequence[Score]) -> None:
    """Draw each score less that of a perfect model, in standard deviations of the perfect model, with its error.

    The grey band holds 95 of 100 perfect models. A score that a perfect model hardly has, corrected for the number of
    scores, is red; an arrow marks one beyond the axis. Unknown scores are left out.
    """
    known = [score for score in scores if score.value is not None and score.null is not None and score.null_spread]
    axes.axvspan(-2, 2, color=BAND, alpha=0.5, lw=0)
    axes.axvline(0, color=REAL, lw=points(0.8))
    for place, score in enumerate(known):
        assert score.value is not None and score.null is not None and score.null_spread is not None  # noqa: S101,PT018
        apart, error = (score.value - score.null) / score.null_spread, (score.error or 0) / score.null_spread
        color = GREEN if score.verdict == "indistinguishable" else RED
        shown = float(np.clip(apart, -REACH, REACH))
        marker = "o" if shown == apart else ">" if apart > 0 else "<"
        bar = min(error, REACH) if shown == apart else 0
        axes.errorbar(shown, place, xerr=bar, fmt=marker, color=color, ms=points(4.5), lw=points(1.2))
        words = f"{score.value_words} (perfect {score.null_words})"
        axes.text(1.01, place, words, transform=axes.get_yaxis_transform(), va="center", fontsize=points(8))
    axes.set_yticks(range(len(known)), [_name(score) for score in known], fontsize=points(8))
    axes.set(xlim=(-REACH - 0.5, REACH + 0.5), ylim=(len(known) - 0.4, -0.6), title="scores")
    axes.set_xlabel("less that of a perfect model, in its standard deviations (grey: 95 of 100 perfect models)")


def response_panel(axes: Axes, response: ResponseComparison) -> None:
    """Draw ln P of generated maps against the smooth ln P of real maps at each parameter point, by band."""
    for (name, color), x, y in zip(BANDS, response.reference, response.generated, strict=True):
        axes.scatter(x - x.mean(), y - x.mean(), s=points(14), color=color, alpha=0.8, lw=0, label=name)
    apart = response.reference - response.reference.mean(axis=1, keepdims=True)
    ends = (np.nanmin(apart), np.nanmax(apart)) if np.isfinite(apart).any() else (-1.0, 1.0)
    axes.plot(ends, ends, color=REAL, lw=points(1))
    axes.set(xlabel="ln P, real (fit), less its mean", ylabel="ln P, generated", title="response to the parameters")
    axes.legend(loc="upper left")


def widths_panel(axes: Axes, scatter: CovarianceComparison) -> None:
    """Draw the standard deviation of ln P between maps of equal parameters."""
    axes.plot(scatter.k, scatter.real_std, color=REAL, lw=points(1.8), marker="o", ms=points(4), label="real")
    axes.plot(
        scatter.k, scatter.generated_std, color=GENERATED, lw=points(1.8), marker="s", ms=points(4), label="generated"
    )
    axes.set(xscale="log", ylabel="σ of ln P between maps", title="scatter of P(k) at fixed parameters")
    axes.set_xlabel(r"$k$  [$h/\mathrm{Mpc}$]")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=FAINT, alpha=0.3, lw=points(0.6))
    plain_log_ticks(axes)
    axes.legend(loc="best")


def _name(score: Score) -> str:
    field = f"{score.field}: " if score.field else ""
    return f"{field}{score.spec.title}{f', {score.band}' if score.band else ''}"
