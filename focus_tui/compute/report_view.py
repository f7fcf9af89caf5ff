"""The report of a judgement in the terminal: maps, the curve of each statistic, and the scores. Needs no torch."""

import math
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from focus_engine.config.scores import Score
from focus_engine.config.statistic_spec import CurveSpec, StatisticCurve, StatisticSpec
from focus_engine.config.statistics import STATISTICS
from focus_engine.statistics.camels_scatter import FIELD, camels_cv_scatter
from focus_engine.statistics.compare import Evaluation
from focus_engine.statistics.power import PowerComparison
from focus_engine.units import NORMALISED, SURFACE_DENSITY
from focus_tui.charts.curves import draw_maps, draw_power
from focus_tui.charts.statistic import draw_statistic
from focus_tui.terminal import cells, color_depth, colours, out, padded, visible
from focus_tui.view.arrays import floats

Maps = NDArray[np.generic]


def draw_report(evaluation: Evaluation, real: Maps, generated: Maps) -> None:
    """Draw the first of the maps (N, C, H, W) and the curve of each statistic, and print the scores.

    The fields of several follow each other with their names; the curves of pairs of fields come last.
    """
    columns, _ = shutil.get_terminal_size((80, 24))
    width, channels = min(columns, 110), real.shape[1]
    units = NORMALISED if not evaluation.physical else SURFACE_DENSITY if channels == 1 else ""
    of_fields = {evaluation.field: evaluation.results, **evaluation.others}  # the C fields, then their pairs
    for channel, (field, results) in enumerate(of_fields.items()):
        of = f", {visible(field)}" if field else ""
        if channel < channels:
            pair, titles = [real[0, channel], generated[0, channel]], (f"real{of}", f"generated{of}")
            out(draw_maps(pair, width=width, height=20, titles=titles, color_depth=color_depth(), units=units))
        for name, result in results.items():
            spec = STATISTICS[name]
            where, curve = spec.curve, spec.curve_in(result)
            if where is not None and curve is not None and where.printed:
                chart = OWN_CHARTS.get(name, _chart)
                out(chart(spec, where, curve, width, evaluation.physical, of))
    for line in [*score_lines(evaluation), *scatter_lines(evaluation)]:
        out(line)


def _chart(spec: StatisticSpec, where: CurveSpec, curve: StatisticCurve, width: int, physical: bool, of: str) -> str:
    title = f"{spec.title}{of}"
    return draw_statistic(where, curve, width=width, height=14, color=colours(), title=title, physical=physical)


def _power_chart(
    spec: StatisticSpec, where: CurveSpec, curve: StatisticCurve, width: int, physical: bool, of: str
) -> str:
    """Draw P(k) with the ratio below it."""
    return draw_power(
        floats(curve.x),
        floats(curve.real),
        floats(curve.real_std),
        floats(curve.generated),
        width=width,
        height=22,
        color=colours(),
        title=f"{spec.short}, generated against real{of}",
        k_nyquist=curve.limit,
        band_label="±1σ at fixed parameters",
        y_label=where.y_label(physical=physical),
    )


OWN_CHARTS: dict[str, Callable[[StatisticSpec, CurveSpec, StatisticCurve, int, bool, str], str]] = {
    "power_spectrum": _power_chart
}
"""Charts of statistics that `draw_statistic` does not draw, by name of the statistic."""


def score_lines(evaluation: Evaluation) -> list[str]:
    """Return the verdict and a table of scores, each beside what a perfect model scores."""
    rows = [("score", "generated", "perfect model", "verdict"), *_score_rows(_fitting(evaluation))]
    wide = max(34, *(cells(name) + 1 for name, *_ in rows))
    lines = [f"{padded(name, wide)}{value:>17}{null:>18}  {word}".rstrip() for name, value, null, word in rows]
    left_out = [spec.short for spec in STATISTICS.values() if not spec.fits(physical=evaluation.physical)]
    note = f"scores of the {NORMALISED}: {_listed(left_out)} need a density"
    verdict = textwrap.wrap(f"verdict: {evaluation.verdict.text}", 78)
    return [*textwrap.wrap(evaluation.counts, 78), *verdict, *lines, *([] if evaluation.physical else [note])]


def scatter_lines(evaluation: Evaluation) -> list[str]:
    """Return the scatter of P(k) beside that of CAMELS CV as a table; nothing for maps unlike those of CAMELS."""
    powers = [results.get("power_spectrum") for results in (evaluation.results, *evaluation.others.values())]
    known = [one for one in powers if isinstance(one, PowerComparison) and one.camels_cv_std is not None]
    if not known:
        return []
    rows = [("scatter of P(k) between maps", "generated", "real", "CAMELS CV")]
    found = known[0].scatter_by_band
    for place, band in enumerate(found["band"]):
        generated, real, of_camels = (_percent(found[name][place]) for name in ("generated", "real", "camels_cv"))
        rows.append((f"{FIELD}, {band}", generated, real, of_camels))
    camels = camels_cv_scatter()
    note = (
        f"σ between maps of equal parameters, in % of the mean P(k) of the real maps. CAMELS CV: "
        f"{camels.simulations * camels.maps_per_simulation} maps at Omega_m = 0.3, sigma_8 = 0.8."
    )
    return [
        "",
        *(f"{name:<34}{one:>14}{other:>14}{third:>14}" for name, one, other, third in rows),
        *textwrap.wrap(note, 78),
    ]


def _percent(value: float | str) -> str:
    number = float(value)
    return f"{100 * number:.0f} %" if math.isfinite(number) else "?"


def _fitting(evaluation: Evaluation) -> list[Score]:
    """Return the scores without those of statistics that maps of this kind do not allow."""
    specs = STATISTICS.values()
    fit = {one.name for one in specs if one.fits(physical=evaluation.physical)}
    return [score for score in evaluation.scores() if score.statistic in fit]


def _score_rows(scores: Sequence[Score]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of scores; those of each of several fields below its name, which would not fit beside."""
    field = ""
    for score in scores:
        if score.field != field:
            field = score.field
            yield visible(field), "", "", ""
        yield _score_row(score)


def _score_row(score: Score) -> tuple[str, str, str, str]:
    title = f"{score.spec.title}{f', {score.band}' if score.band else ''}"
    word = {"indistinguishable": "ok", "unknown": "?"}.get(score.verdict, score.verdict)
    return title.removesuffix(" h/Mpc"), score.value_words, score.null_words, word


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if len(names) > 1 else names)
