"""Scores of generated maps: their specification, their values and how both are put in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ScoreSpec:
    """The specification of a number that a statistic yields.

    Attributes:
        name: name of the score within its statistic.
        key: name of the score, unique over all statistics.
        title: name in the report of one model.
        heading: column heading in a comparison of models.
        unit: `%` for a fraction that is shown in per cent; otherwise the unit after the number.
        low: word for a value below that of a perfect generator; empty if a fault only raises the score.
        high: word for a value above it.
        compared: whether it is a column of the comparison of models.
    """

    name: str
    key: str
    title: str
    heading: str
    unit: str = "%"
    low: str = ""
    high: str = "off"
    compared: bool = False

    @property
    def signed(self) -> bool:
        """Whether a fault can move the score to both sides."""
        return bool(self.low)

    def text(self, value: float | None) -> str:
        """Return a value of this score as text for a table."""
        if value is None:
            return "-"
        if self.unit != "%":
            return f"{value:.3f}"
        return f"{100 * value:+.1f} %" if self.signed and value else f"{100 * value:.1f} %"


@dataclass(frozen=True, slots=True)
class Score:
    """The value of a score, and what a perfect generator scores; unknown values are None.

    Attributes:
        spec: its specification.
        statistic: name of its statistic.
        value: the score: a fraction, or a number in its own unit.
        band: the scales that it is about, in words.
        error: standard deviation of the value, from a bootstrap by simulation.
        null: mean score of a perfect generator with as many maps and simulations.
        null_spread: standard deviation of that.
        p_value: probability that a perfect generator scores at least as far from `null`.
        verdict: `low`, `high`, `indistinguishable` or `unknown`, corrected for having looked at every score.
        field: the field that was judged; empty if there is one.
    """

    spec: ScoreSpec
    statistic: str = ""
    value: float | None = None
    band: str | None = None
    error: float | None = None
    null: float | None = None
    null_spread: float | None = None
    p_value: float | None = None
    verdict: str = "unknown"
    field: str = ""

    @property
    def id(self) -> str:
        """Name that is unique in a report, over fields too."""
        return f"{self.field}:{self.spec.key}" if self.field else self.spec.key

    @property
    def value_words(self) -> str:
        """Value and error as text, such as `+3.1 ± 1.2 %`."""
        if self.value is None:
            return "-"
        if self.error is None:
            return self.spec.text(self.value)
        error = f"{100 * self.error:.1f}" if self.spec.unit == "%" else f"{self.error:.3f}"
        text = self.spec.text(self.value)
        return f"{text.removesuffix(' %')} ± {error} %" if self.spec.unit == "%" else f"{text} ± {error}"

    @property
    def null_words(self) -> str:
        """The range that holds 95 % of perfect generators, as text; `unknown` if it is."""
        if self.null is None or self.null_spread is None:
            return "unknown"
        reach = 2 * self.null_spread
        scale, unit = (100.0, " %") if self.spec.unit == "%" else (1.0, "")
        digits = 1 if self.spec.unit == "%" else 3
        if self.spec.signed:
            null = f"{scale * self.null:+.1f}" if self.spec.unit == "%" else f"{self.null:.3f}"
            return f"{null} ± {scale * reach:.{digits}f}{unit}"
        return f"up to {scale * (self.null + reach):.{digits}f}{unit}"

    @property
    def sentence(self) -> str:
        """The score, its error and what a perfect generator scores, such as `P(k) 3.1 ± 1.2 % low at 1–3 h/Mpc; …`."""
        where = f" at {self.band}" if self.band else ""
        unit = "" if self.spec.unit in {"%", ""} else f" {self.spec.unit}"
        field = f"{self.field}: " if self.field else ""
        null = self._reach_words or f"{self.null_words}{unit}"
        return f"{field}{self.spec.title} {self._directed_words}{unit}{where}; a perfect model scores {null}"

    @property
    def _directed_words(self) -> str:
        """Value and error with the word of the verdict instead of the sign, where both mean the same."""
        word = (self.spec.low if (self.value or 0) < 0 else self.spec.high) if self.value else ""
        if not self.spec.signed or self.spec.unit != "%" or self.verdict != word:
            return self.value_words
        return f"{self.value_words[1:]} {word if word in {'low', 'high'} else f'too {word}'}"

    @property
    def _reach_words(self) -> str:
        """The range of perfect generators as a bound, such as `within 2.4 %`; empty unless it is about zero."""
        if not self.spec.signed or self.spec.unit != "%" or self.null is None or self.null_spread is None:
            return ""
        if abs(self.null) > self.null_spread / 2:
            return ""
        return f"within {100 * (abs(self.null) + 2 * self.null_spread):.1f} %"

    def to_dict(self) -> dict[str, float | str | None]:
        """Return the object of `scores` in the JSON."""
        numbers = {name: getattr(self, name) for name in NUMBERS}
        named = {"name": self.spec.name, "statistic": self.statistic, "band": self.band}
        return {**named, **numbers, "verdict": self.verdict, **({"field": self.field} if self.field else {})}


def read_score(saved: Mapping[str, Any], specs: Mapping[tuple[str, str], ScoreSpec]) -> Score | None:
    """Return a score from the list `scores` of a report; None if this version does not know it.

    Args:
        saved: an object of the list.
        specs: specifications by the names of statistic and score.
    """
    spec = specs.get((str(saved["statistic"]), str(saved["name"])))
    if spec is None:
        return None
    numbers: dict[str, Any] = {name: saved.get(name) for name in (*NUMBERS, "band")}
    verdict, field = str(saved.get("verdict", "unknown")), str(saved.get("field", ""))
    return Score(spec, str(saved["statistic"]), **numbers, verdict=verdict, field=field)


NUMBERS = ("value", "error", "null", "null_spread", "p_value")
"""The numbers of a score."""
