"""P(k) during training against a smooth reference, on spectra of a known law: its bias, its error and its null."""

import numpy as np
import pytest

from focus_engine.statistics.live import LiveBins, PointMeans, TrendReference

BINS = 12
EVERY = LiveBins(np.ones(BINS, bool), np.repeat(np.eye(3), 4, axis=1) / 4, ("large", "middle", "small"))


def mean_power(params):
    """Return a law of two parameters (n, 2), as (n, BINS)."""
    level = (params[:, :1] / 0.3) ** -0.5 * (params[:, 1:] / 0.8) ** np.linspace(1.5, 3, BINS)
    return level * np.geomspace(10, 0.1, BINS)


def params(rng, count):
    return rng.uniform((0.1, 0.6), (0.5, 1.0), (count, 2))


def spectra(rng, points, maps):
    """Return P(k) of maps (S, M, BINS): 20 % of scatter that the maps of a simulation share, 50 % of their own."""
    shared = rng.gamma(25, 1 / 25, (len(points), 1, BINS))
    return mean_power(points)[:, None] * shared * rng.gamma(4, 1 / 4, (len(points), maps, BINS))


def measured(seed, *, simulations=60, count=64, points=10, factor=1.0):
    """Compare independently drawn maps, all with P(k) off by `factor`, with real ones."""
    rng = np.random.default_rng(seed)
    training = params(rng, simulations)
    reference = TrendReference.fit(training, spectra(rng, training, 10))
    where = np.arange(count) % points
    at = params(rng, points)[where]
    return reference.compare(factor * spectra(rng, at, 1)[:, 0], at, where, EVERY, seed), reference


def test_the_reference_is_the_mean_and_not_the_exponential_of_the_mean_logarithm():
    rng = np.random.default_rng(0)
    training = params(rng, 4000)
    reference = TrendReference.fit(training, spectra(rng, training, 1))  # σ(ln P) = 0.56: they differ by 16 %
    off = reference.expected(training) / mean_power(training) - 1
    assert np.abs(off.mean(axis=0)).max() < 0.03
    assert reference.residuals.mean(axis=(0, 1)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("count", "points", "simulations"),
    [(16, 16, 200), (256, 10, 30)],
    ids=["the maps limit", "the reference limits"],
)
def test_a_perfect_generator_scores_its_null_and_its_errors_hold(count, points, simulations):
    found = [measured(seed, count=count, points=points, simulations=simulations)[0] for seed in range(40)]
    values, nulls, spreads = (
        np.array([[getattr(score, name) for score in one.scores] for one in found])
        for name in ("value", "null", "null_spread")
    )
    median, signed = values[:, 0], values[:, 1:] / spreads[:, 1:]
    assert median.mean() == pytest.approx(nulls[:, 0].mean(), rel=0.12)  # the mean of 40 is known to 4 %
    assert np.abs(nulls[:, 1:].mean(axis=0)).max() < 0.02
    assert 0.75 < np.sqrt((signed**2).mean()) < 1.3
    off = np.array([(one.ratio - 1) / one.ratio_error for one in found])
    assert 0.75 < np.sqrt((off**2).mean()) < 1.3
    assert min(one.scores[0].p_value for one in found) > 1e-4


def test_a_fault_is_found_with_its_sign():
    (median, *bands), faulty = measured(3, count=256, factor=1.25)[0].scores, measured(3, count=256)[0].scores
    assert median.value == pytest.approx(0.25, abs=3 * median.error)
    assert median.p_value < 1e-3 < faulty[0].p_value
    assert all(band.value == pytest.approx(0.25, abs=3 * band.error) for band in bands)
    assert [band.band for band in bands] == ["large", "middle", "small"]


def test_more_maps_know_more_until_the_reference_limits():
    few, many = (measured(1, count=count)[0] for count in (16, 256))
    assert many.scores[0].error < few.scores[0].error
    assert many.scores[0].null < 0.7 * few.scores[0].null
    assert (many.ratio_error > 0.8 * many.reference_error).all()
    better = measured(1, count=256, simulations=600)[0]
    assert better.reference_error < 0.5 * many.reference_error


def test_scatter_is_that_at_fixed_parameters():
    found, _ = measured(0, simulations=400)
    assert found.scatter / found.reference == pytest.approx(np.full(BINS, np.hypot(0.2, 0.51)), rel=0.1)


def test_too_few_simulations_for_a_fit_are_compared_by_their_means():
    rng = np.random.default_rng(2)
    four = params(rng, 4)
    assert TrendReference.fit(four, spectra(rng, four, 10)) is None
    real = spectra(rng, four, 200)
    where = np.arange(400) % 4
    found = PointMeans(real).compare(1.2 * spectra(rng, four, 100).transpose(1, 0, 2).reshape(400, -1), where, EVERY)
    assert found.scores[0].value == pytest.approx(0.2, abs=0.08)
    assert [score.null for score in found.scores] == [None] * 4
    assert found.scores[0].error > 0
    alone = PointMeans(real[:1, :1]).compare(real[0, 1:5], np.zeros(4, int), EVERY)
    assert alone.scores[0].error is None
    assert np.isnan(alone.scatter).all()


def test_bins_without_power_are_left_out():
    rng = np.random.default_rng(4)
    training = params(rng, 40)
    power = spectra(rng, training, 4)
    power[..., 3] = 0
    found = TrendReference.fit(training, power).compare(power[:16, 0], training[:16], np.arange(16), EVERY)
    assert np.isnan(found.ratio[3])
    assert found.scores[0].value < 0.5


def test_the_draws_are_those_of_the_seed():
    one, other = measured(5)[0], measured(5)[0]
    assert one.scores == other.scores
