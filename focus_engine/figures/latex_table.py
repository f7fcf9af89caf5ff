r"""The scores of a report as a LaTeX table, for papers; it needs \usepackage{booktabs} only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from focus_engine.config.scores import Score
from focus_engine.config.statistics import STATISTICS

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "%": r"\%",
        "&": r"\&",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "–": "--",
        "σ": r"$\sigma$",
        "χ": r"$\chi$",
        "²": r"$^2$",
        "Δ": r"$\Delta$",
        "|": r"$|$",
        "<": r"$<$",
        ">": r"$>$",
    }
)


def latex_table(scores: Sequence[Score], caption: str) -> str:
    """Return a table of the scores with a known value, grouped by field and statistic, under `caption`."""
    known = [score for score in scores if score.value is not None]
    rows = []
    for (field, statistic), group in groupby(known, key=lambda score: (score.field, score.statistic)):
        title = STATISTICS[statistic].title if statistic in STATISTICS else statistic
        name = latex(f"{field}: {title}" if field else title)
        rows.append(rf"\midrule \multicolumn{{5}}{{l}}{{\emph{{{name}}}}} \\")
        rows += [_row(score) for score in group]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{latex(caption)}}}",
            r"\begin{tabular}{llrrr}",
            r"\toprule",
            r"Score & Scales & Value & Perfect model & $p$ \\",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _row(score: Score) -> str:
    unit = "" if score.spec.unit in {"%", ""} else f" {score.spec.unit}"
    p_value = "--" if score.p_value is None else power_of_ten(score.p_value)
    null = "--" if score.null is None else latex(score.null_words + unit)
    cells = [latex(score.spec.title), latex(score.band or ""), latex(score.value_words + unit), null, p_value]
    return " & ".join(cells) + r" \\"


def power_of_ten(value: float) -> str:
    r"""Return a number with two digits, such as 0.034 or $7.9 \times 10^{-10}$."""
    digits, _, exponent = f"{value:.2g}".partition("e")
    if not exponent:
        return digits
    return rf"$10^{{{int(exponent)}}}$" if digits == "1" else rf"${digits} \times 10^{{{int(exponent)}}}$"


def latex(text: str) -> str:
    """Return text with the characters that LaTeX treats specially escaped."""
    return text.translate(_ESCAPES)
