"""The verdict over all scores."""

from dataclasses import replace

import pytest

from focus_engine.config.scores import Score
from focus_engine.config.statistics import STATISTICS
from focus_engine.statistics.verdict import judged, verdict_of

SCORES = [
    replace(score, value=0.1, null=0.0, null_spread=1.0, p_value=0.5)
    for spec in STATISTICS.values()
    for score in spec.scores_in(None)
]


def unknown(score: Score) -> Score:
    return replace(score, null=None, null_spread=None, p_value=None)


@pytest.mark.parametrize("count", [len(SCORES), 2])
def test_a_verdict_on_few_scores_says_how_many_are_unknown(count):
    found = verdict_of(judged([*SCORES[:count], *map(unknown, SCORES[count:])]))
    assert found.text.startswith("indistinguishable")
    assert (f"{len(SCORES) - 2} are unknown" in found.text) == (count == 2)


def test_without_any_null_the_verdict_is_unknown():
    found = verdict_of(judged(list(map(unknown, SCORES))))
    assert (found.p_value, found.deciding_score, found.distinguishable) == (None, None, False)


def test_the_least_likely_score_decides_after_correction():
    scores = [*SCORES[:-1], replace(SCORES[-1], value=9.0, p_value=1e-6)]
    found = verdict_of(judged(scores))
    assert found.deciding_score == f"{scores[-1].statistic}.{scores[-1].spec.name}"
    assert found.p_value == pytest.approx(1e-6 * len(scores))
    assert not verdict_of(judged([*SCORES[:-1], replace(SCORES[-1], p_value=0.01)])).distinguishable
