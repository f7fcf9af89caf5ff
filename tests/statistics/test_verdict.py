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


@pytest.mark.parametrize(
    ("key", "changes", "words"),
    [
        ("small_scales", {"value": -0.031}, "P(k) 3.1 ± 1.2 % low at 1–3 h/Mpc; a perfect model scores within 2.4 %"),
        (
            "small_scales",
            {"value": 0.031, "null": 0.002},
            "P(k) 3.1 ± 1.2 % high at 1–3 h/Mpc; a perfect model scores within 2.6 %",
        ),
        (
            "small_scales",
            {"value": -0.01, "null": -0.2},
            "P(k) -1.0 ± 1.2 % at 1–3 h/Mpc; a perfect model scores -20.0 ± 2.4 %",
        ),
        (
            "voids",
            {"value": 0.085, "band": None},
            "number of voids 8.5 ± 1.2 % too many; a perfect model scores within 2.4 %",
        ),
        (
            "median_abs_error",
            {"value": 0.3},
            "P(k), median |ratio - 1| 30.0 ± 1.2 % at 1–3 h/Mpc; a perfect model scores up to 2.4 %",
        ),
    ],
)
def test_the_deciding_score_is_a_sentence_with_the_direction_in_words(key, changes, words):
    found = next(one for one in SCORES if one.spec.name == key and one.statistic in {"power_spectrum", "peaks"})
    told = {"band": "1–3 h/Mpc", "error": 0.012, "null": 0.0, "null_spread": 0.012, "p_value": 1e-9, **changes}
    (score,) = judged([replace(found, **told)])
    assert score.sentence == words
    assert f"told from real maps: {words} (p = 1e-09 after 1 scores)" == verdict_of([score]).text
