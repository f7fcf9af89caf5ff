"""The report of a judgement as one HTML file: no outside links and no scripts, readable on a phone and printable.

Tables, headings and text are plain HTML; curves are inline SVG, maps are inline PNG. Exact numbers stand in `data`
elements beside the rounded ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.config.scores import Score
from focus_engine.config.statistics import STATISTICS
from focus_engine.figures.html_style import STYLE
from focus_engine.figures.map_pictures import map_pairs
from focus_engine.figures.svg_chart import curve_chart
from focus_engine.statistics.camels_scatter import FIELD, SOURCE
from focus_engine.statistics.compare import Evaluation
from focus_engine.statistics.power import PowerComparison

Maps = NDArray[Any]

_HEADINGS = ("score", "scales", "value", "perfect model", "p", "verdict")


def html_page(
    title: str,
    evaluation: Evaluation,
    *,
    maps: tuple[Maps, Maps],
    params: tuple[Maps, Sequence[str]],
    units: Sequence[str],
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any],
    config: str = "",
) -> str:
    """Return the page.

    Args:
        title: its title.
        evaluation: scores and curves.
        maps: some real and generated maps (n, C, H, W) at the same parameters.
        params: their parameters (n, P), and the names of these.
        units: (C,) unit of each field.
        notes: what was assumed or left out.
        provenance: what was compared and how, nested.
        config: YAML text; empty if there is none.
    """
    parts = [
        _head(title, evaluation),
        _section("Notes", "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>") if notes else "",
        _section("Scores", _scores(evaluation)),
        _section("Maps", map_pairs(*maps, *params, fields=list(_fields(evaluation)), units=units)),
        _section("Curves", f'<div class="curves">{"".join(_curves(evaluation))}</div>'),
        _section("Provenance", _definitions(provenance)),
        _section("Configuration", f'<pre tabindex="0">{escape(config)}</pre>') if config else "",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(title: str, evaluation: Evaluation) -> str:
    verdict = evaluation.verdict
    kind = "unknown" if verdict.p_value is None else "told" if verdict.distinguishable else "same"
    words = verdict.text[:1].upper() + verdict.text[1:]
    counts = f"{evaluation.counts}; box {evaluation.box_size:g} Mpc/h."
    p_value = "" if verdict.p_value is None else f' data-p="{verdict.p_value!r}"'
    return (
        f'<header><h1>{escape(title)}</h1>\n<p class="verdict {kind}"{p_value}>{escape(words)}.</p>\n'
        f"<p>{escape(counts)}</p></header>"
    )


def _section(title: str, content: str) -> str:
    name = title.lower()
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>\n{content}</section>'


def _scores(evaluation: Evaluation) -> str:
    """Return the table of scores, grouped by field and statistic; scores that are not defined are left out."""
    shown = [score for score in evaluation.scores() if score.value is not None]
    missing = [score for score in evaluation.scores() if score.value is None]
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEADINGS)
    groups = groupby(shown, key=lambda score: (score.field, score.statistic))
    body = "".join(_group(*key, list(scores)) for key, scores in groups)
    note = (
        "<p>Each value has its standard error. A perfect model with as many maps stays within the range beside it 19 "
        "times of 20; p is the probability that it strays as far as the value. The verdicts are corrected for the "
        "number of scores.</p>"
    )
    unknown = f"<p>Unknown: {escape(', '.join(_names(missing)))}.</p>" if missing else ""
    return f"{note}\n<table><thead><tr>{head}</tr></thead>\n{body}</table>\n{unknown}"


def _names(scores: Sequence[Score]) -> Iterator[str]:
    for score in scores:
        yield f"{score.field + ': ' if score.field else ''}{score.spec.title} ({score.spec.heading})"


def _group(field: str, statistic: str, scores: Sequence[Score]) -> str:
    title = STATISTICS[statistic].title if statistic in STATISTICS else statistic
    name = f"{field}: {title}" if field else title
    head = f'<tr class="group"><th colspan="{len(_HEADINGS)}" scope="rowgroup">{escape(name)}</th></tr>'
    return f"<tbody>{head}\n{''.join(map(_row, scores))}</tbody>\n"


def _row(score: Score) -> str:
    unit = "" if score.spec.unit in {"%", ""} else f" {score.spec.unit}"
    cells = (
        ("scales", escape(score.band or "all")),
        ("value", _number(score.value, score.value_words + unit)),
        ("perfect", _number(score.null, score.null_words + (unit if score.null is not None else ""))),
        ("p", _number(score.p_value, "unknown" if score.p_value is None else f"{score.p_value:.2g}")),
        ("verdict", f"<strong>{escape(score.verdict)}</strong>" if _differs(score) else escape(score.verdict)),
    )
    data = "".join(f'<td data-label="{label}">{content}</td>' for label, content in cells)
    kind = ' class="differs"' if _differs(score) else ""
    key = escape(f"{score.statistic}.{score.spec.name}", quote=True)
    return f'<tr{kind} data-score="{key}"><th scope="row">{escape(score.spec.title)}</th>{data}</tr>\n'


def _differs(score: Score) -> bool:
    return score.verdict not in {"indistinguishable", "unknown"}


def _number(value: float | None, words: str) -> str:
    return escape(words) if value is None else f'<data value="{value!r}">{escape(words)}</data>'


_LEGEND = (
    '<span class="key real"></span>real <span class="key generated"></span>generated '
    '<span class="key band"></span>±1σ over the real set'
)


def _curves(evaluation: Evaluation) -> Iterator[str]:
    """Yield a figure for each statistic with a curve, of each field; P(k) with the scatter of CAMELS where known."""
    for field, results in _fields(evaluation).items():
        for name, result in results.items():
            spec = STATISTICS[name]
            curve = spec.curve_in(result)
            if spec.curve is None or curve is None:
                continue
            title = f"{field}: {spec.title}" if field else spec.title
            known = result.camels_cv_std if isinstance(result, PowerComparison) else None
            reference = None if known is None else [None if np.isnan(one) else float(one) for one in known]
            chart = curve_chart(spec.curve, curve, title, physical=evaluation.physical, reference=reference)
            legend = _LEGEND
            if known is not None:
                legend += f' <span class="key reference"></span>±1σ of {FIELD} in {SOURCE}'
            yield f"<figure><h3>{escape(title)}</h3>{chart}<figcaption>{legend}</figcaption></figure>\n"


def _fields(evaluation: Evaluation) -> dict[str, Mapping[str, Any]]:
    """Return the results of each field by its name, and then those of pairs of fields."""
    return {evaluation.field: evaluation.results, **evaluation.others}


def _definitions(values: Mapping[str, Any]) -> str:
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            content = _definitions(value)
        elif isinstance(value, list | tuple):
            content = escape(", ".join(map(str, value)))
        else:
            content = "unknown" if value is None else escape(str(value))
        rows.append(f"<dt>{escape(str(name).replace('_', ' '))}</dt><dd>{content}</dd>")
    return f"<dl>{''.join(rows)}</dl>"
