"""The verdict over all scores, corrected for having looked at many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from focus_engine.config.scores import Score
from focus_engine.statistics.significance import holm

LEVEL = 0.05
"""Probability that a perfect generator is called distinguishable by the whole verdict."""


FEW = "too few simulations to say what a perfect model scores"
"""Why a verdict is unknown, in general."""

SHARED = (
    "the simulations share their initial field, so that what a perfect model scores is not known; values are, and so "
    "are differences between parameter points"
)
"""Why it is unknown for a truth such as a 1P set."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all scores together say.

    Attributes:
        text: the verdict in words.
        p_value: probability that a perfect generator has a score as unlikely as the least likely one; None if unknown.
        deciding_score: the score that decides, `statistic.name`, of several fields after that of its field, such as
            `Mcdm pdf.w1`; None if no score has a p-value.
    """

    text: str
    p_value: float | None
    deciding_score: str | None

    @property
    def distinguishable(self) -> bool:
        """Whether the generated maps are told from real ones at the level of 5 %."""
        return self.p_value is not None and self.p_value < LEVEL

    def to_dict(self) -> dict[str, object]:
        """Return the object of the JSON."""
        return {"text": self.text, "p_value": self.p_value, "deciding_score": self.deciding_score}


def judged(scores: Sequence[Score]) -> tuple[Score, ...]:
    """Return the scores with their verdicts, corrected for their number (Holm 1979)."""
    corrected = holm({score.id: score.p_value for score in scores if score.p_value is not None})
    return tuple(replace(score, verdict=_word(score, corrected.get(score.id))) for score in scores)


def verdict_of(scores: Sequence[Score], untold: str = FEW) -> Verdict:
    """Return the verdict over scores that have been judged; `untold` says why none has a p-value, if so."""
    known = {score.id: score for score in scores if score.p_value is not None}
    if not known:
        return Verdict(f"unknown: {untold}", None, None)
    corrected = holm({name: score.p_value for name, score in known.items() if score.p_value is not None})
    name = min(known, key=lambda one: known[one].p_value or 0.0)
    decides, p_value = known[name], corrected[name]
    looks = f"p = {p_value:.2g} after {len(known)} scores"
    if len(known) < len(scores) / 2:
        looks += f"; the other {len(scores) - len(known)} are unknown"
    if p_value >= LEVEL:
        text = f"indistinguishable from real maps ({looks})"
    else:
        text = f"told from real maps: {decides.sentence} ({looks})"
    of_field = f"{decides.field} " if decides.field else ""
    return Verdict(text, p_value, f"{of_field}{decides.statistic}.{decides.spec.name}")


def _word(score: Score, corrected: float | None) -> str:
    if corrected is None or score.value is None or score.null is None:
        return "unknown"
    if corrected >= LEVEL:
        return "indistinguishable"
    return score.spec.low if score.spec.signed and score.value < score.null else score.spec.high
