"""Laws of the null: what a perfect generator scores."""

import numpy as np
import pytest
from scipy import special

from focus_engine.statistics.design import Design
from focus_engine.statistics.reference import Reference, reference_of
from focus_engine.statistics.sample import Rows, _inflated
from focus_engine.statistics.significance import p_value

POINTS, MAPS = 40, 6
PARAMS = np.random.default_rng(5).uniform(0.7, 1.3, size=(POINTS, 2))
FITTED = Reference(np.ones((POINTS, 1)), 6, known=True, features=np.ones((POINTS, 6)))


def vectors(rng, maps):
    """Return positive vectors (POINTS · maps, 2) of one simulation per point, whose maps share a part."""
    common = np.repeat(0.1 * rng.normal(size=(POINTS, 2)), maps, axis=0)
    return np.repeat(PARAMS, maps, axis=0) ** 2 * np.exp(common + 0.2 * rng.normal(size=common.shape))


def independent(rng, maps):
    """Return vectors whose maps are each of another simulation."""
    mean = np.repeat(PARAMS, maps, axis=0) ** 2
    return mean * np.exp(np.hypot(0.1, 0.2) * rng.normal(size=mean.shape))


def test_a_refit_to_the_means_of_the_reference_gives_ones():
    means = PARAMS**2 * np.exp(0.1 * np.random.default_rng(1).normal(size=PARAMS.shape))
    reference = reference_of(PARAMS, means, np.ones(POINTS), "ratio")
    np.testing.assert_allclose(reference.refitted(means / reference.centre), 1, rtol=1e-9)


def test_a_refit_follows_a_trend_and_leaves_residuals():
    reference = reference_of(PARAMS, PARAMS**2, np.ones(POINTS), "ratio")
    trend = 1.1 * PARAMS[:, :1] ** 0.3 * PARAMS[:, 1:] ** -0.2 * np.ones((1, 2))
    np.testing.assert_allclose(reference.refitted(trend), trend, rtol=1e-9)
    noise = np.exp(0.1 * np.random.default_rng(2).normal(size=trend.shape))
    left = np.log(trend * noise / reference.refitted(trend * noise))
    np.testing.assert_allclose(reference.features.T @ left, 0, atol=1e-9)


def test_own_means_are_their_own_refit():
    reference = reference_of(PARAMS, PARAMS**2, np.full(POINTS, 3), "ratio")
    np.testing.assert_array_equal(reference.refitted(PARAMS), PARAMS)


def test_restored_deviations_have_the_variance_that_was_removed_and_stay_positive():
    rng = np.random.default_rng(3)
    rows = Rows.of(np.arange(POINTS).repeat(MAPS), np.arange(POINTS).repeat(MAPS))
    values = np.exp(rng.normal(size=(POINTS, 1)) + 0.1 * rng.normal(size=(POINTS, MAPS))).reshape(-1, 1)
    pool = _inflated(values, rows, FITTED, 10)
    wanted = POINTS / (POINTS - 6) * 10 / 9
    assert np.log(rows.unit_means(pool)).var() == pytest.approx(wanted * np.log(rows.unit_means(values)).var())
    assert (pool > 0).all()
    signed = _inflated(values - values.mean(), rows, FITTED, 10)
    assert rows.unit_means(signed).var() == pytest.approx(wanted * rows.unit_means(values).var())


def test_a_value_beyond_the_end_of_a_skewed_null_is_not_impossible():
    """R² ≤ 1: its null ends there, and a Pearson type III distribution ends somewhere near."""
    draws = -np.random.default_rng(4).exponential(size=400)
    assert p_value(0.02, draws, 100, "both") > 0.1
    assert p_value(-20.0, draws, 100, "both") < 1e-3
    assert p_value(5.0, draws, 100, "both") < 1e-4


def test_draws_without_spread_tell_as_much_as_their_number():
    draws = np.full(400, 0.25)
    assert [p_value(value, draws, 100, "both") for value in (0.25, 0.3, 0.2)] == [1, 1 / 401, 1 / 401]
    assert [p_value(value, draws, 100, "upper") for value in (0.3, 0.2)] == [1 / 401, 1]


@pytest.mark.parametrize("n", [5, 10, 25, 100])
@pytest.mark.parametrize("points", [True, False])
def test_the_error_of_a_mean_holds_68_percent_however_few_the_simulations(n, points):
    """It is Student's: t s / √n. Without the correction it is 0.78 of that for 5 simulations, 0.90 for 10."""
    values = np.random.default_rng(n).normal(size=(n, 1))
    values -= values.mean()
    point = np.arange(n) if points else np.zeros(n, dtype=int)
    rows = Rows.of(np.repeat(point, 2), np.repeat(np.arange(n), 2))
    design = Design(np.ones((n if points else 1, 1)), rows, rows)
    design.__dict__["nulls"] = ()
    scaled = design.scale(np.repeat(values, 2, axis=0), np.zeros((2 * n, 1)), "difference")
    (found,) = design.estimate(lambda sample: sample.real.mean * scaled.spread, scaled, ("both",))
    expected = special.stdtrit(n - 1, special.ndtr(1)) * values.std(ddof=1) / np.sqrt(n)
    assert found.error == pytest.approx(expected, rel=0.15)  # 3 sigma of 200 draws


@pytest.mark.parametrize("generated_alone", [True, False])
def test_perfect_generators_scatter_as_their_null_says(generated_alone):
    """Also a score of many generated maps alone, whose null rests on a scatter that few real maps show."""

    def score(sample):
        squares = [
            ((view.values / sample.refit[view.rows.point] - 1) ** 2).mean() for view in (sample.generated, sample.real)
        ]
        return np.array([squares[0] if generated_alone else squares[0] / squares[1]])

    real, generated = Rows.of(np.arange(POINTS).repeat(2), np.arange(POINTS).repeat(2)), np.arange(POINTS).repeat(12)
    deviations, alarms = [], 0
    for seed in range(24):
        rng = np.random.default_rng([seed, 9])
        design = Design(PARAMS, real, Rows.of(generated), seed)
        design.__dict__["bootstraps"] = ()  # errors are not needed here
        maps = vectors(rng, 2), independent(rng, 12)
        (found,) = design.estimate(score, design.scale(*maps, "ratio"), ("both",))
        deviations.append((found.value - found.null) / found.null_spread)
        alarms += found.p_value < 0.01
    assert alarms <= 3  # of 24: p = 0.0001 at the level
    assert 0.6 < np.std(deviations) < 1.5
