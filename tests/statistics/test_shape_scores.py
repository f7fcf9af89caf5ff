"""Scores of Minkowski functionals, peaks and memory: what a perfect generator and what faulty ones score."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from gaussian_maps import skewed_universes, without_phases

from focus_engine.config.statistics import STATISTICS
from focus_engine.errors import InputError
from focus_engine.statistics.compare import judge
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.protocol import statistic_of

BOX = 25.0
UNIVERSES, MAPS_EACH = 24, 5


@dataclass(frozen=True)
class Universes:
    real: np.ndarray
    perfect: np.ndarray
    training: np.ndarray
    design: Design

    def scores(self, name, generated, training=None):
        statistic = statistic_of(STATISTICS[name])
        real, drawn = MapStack(self.real, BOX, training=training), MapStack(generated, BOX, training=training)
        bins = statistic.bins(real, drawn)
        return statistic.compare(statistic.measure(real, bins), statistic.measure(drawn, bins), self.design)


@pytest.fixture(scope="module")
def universes():
    rng = np.random.default_rng(5)
    params = np.stack([rng.uniform(0.1, 0.5, UNIVERSES), rng.uniform(0.6, 1.0, UNIVERSES)], axis=1)
    others = np.stack([rng.uniform(0.1, 0.5, 60), rng.uniform(0.6, 1.0, 60)], axis=1)
    real, perfect = (skewed_universes(rng, params, MAPS_EACH) for _ in range(2))
    ids, each = np.repeat(np.arange(UNIVERSES), MAPS_EACH), np.repeat(params, MAPS_EACH, axis=0)
    return Universes(real, perfect, skewed_universes(rng, others, 5), Design.paired(ids, each, seed=2))


@pytest.fixture
def rng():
    return np.random.default_rng(77)


@pytest.mark.parametrize("name", ["minkowski", "peaks", "memorisation"])
def test_a_perfect_generator_stays_in_its_null(universes, name):
    found = universes.scores(name, universes.perfect, universes.training)
    assert set(found.scores) == {score.name for score in STATISTICS[name].scores}
    for score in found.scores.values():
        assert score.p_value > 1e-3
        assert abs(score.value - score.null) < 4 * score.null_spread
        assert score.error > 0


def test_random_phases_change_every_functional_and_the_high_peaks(universes, rng):
    generated = without_phases(rng, universes.perfect)
    shapes = universes.scores("minkowski", generated)
    assert all(score.p_value < 1e-6 for score in shapes.scores.values())
    peaks = universes.scores("peaks", generated).scores["high_peaks"]
    assert peaks.p_value < 1e-6
    assert peaks.value < -0.4


def test_clipped_peaks_are_missed(universes):
    highest = np.quantile(universes.perfect, 0.99, axis=(1, 2), keepdims=True)
    found = universes.scores("peaks", np.minimum(universes.perfect, highest)).scores
    assert found["high_peaks"].value < -0.3
    assert found["high_peaks"].p_value < 1e-6
    assert found["voids"].p_value > 1e-3


def test_noise_adds_peaks_and_voids(universes, rng):
    noisy = universes.perfect * np.exp(0.3 * rng.normal(size=universes.perfect.shape))
    found = universes.scores("peaks", noisy).scores
    for name in ("peaks", "voids"):
        assert found[name].value > 0.05
        assert found[name].p_value < 1e-6


def test_curves_are_means_over_the_parameter_points(universes):
    shapes = universes.scores("minkowski", universes.perfect)
    assert np.all(np.diff(shapes.real_area) < 0)
    assert np.abs(shapes.generated_euler - shapes.real_euler).max() < 0.5 * shapes.euler_std.max()
    peaks = universes.scores("peaks", universes.perfect)
    assert peaks.peak_height.shape == peaks.real_peaks.shape == peaks.generated_peaks.shape
    np.testing.assert_allclose(np.diff(peaks.peak_height), 0.5)
    np.testing.assert_allclose(peaks.real_peaks.sum(), peaks.generated_peaks.sum(), rtol=0.05)


def test_training_maps_returned_moved_dimmed_and_noisy_are_recognised(universes, rng):
    training = universes.training
    copies = np.roll(np.rot90(training[rng.integers(len(training), size=len(universes.real))], axes=(1, 2)), 7, axis=2)
    dimmed = copies**0.9 * np.exp(0.1 * rng.normal(size=copies.shape))
    for generated in (copies, dimmed):
        found = universes.scores("memorisation", generated, training)
        assert found.scores["near"].value == pytest.approx(1)
        assert found.scores["near"].p_value < 1e-6
        assert found.generated_distance[-1] < found.real_distance[0]
        written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert STATISTICS["memorisation"].scores_in(found) == STATISTICS["memorisation"].scores_in(written)
    fifth = universes.perfect.copy()
    fifth[::5] = copies[::5]
    near = universes.scores("memorisation", fifth, training).scores["near"]
    assert near.value == pytest.approx(0.23, abs=0.06)
    assert near.p_value < 1e-3


def test_memory_is_unknown_without_training_maps_or_with_few_real_ones(universes):
    few = slice(0, 3 * MAPS_EACH)
    design = Design.paired(np.repeat(np.arange(3), MAPS_EACH))
    for training, known in ((None, set()), (universes.training[:, None], {"memorisation"})):
        report = judge(universes.real[few], universes.perfect[few], design, BOX, training=training)
        (score,) = [one for one in report.scores() if one.statistic == "memorisation"]
        assert score.value is None
        assert score.verdict == "unknown"
        assert set(report.results) & {"memorisation"} == known


def test_training_maps_of_another_size_are_refused(universes):
    with pytest.raises(InputError, match="24 × 24 pixels, training maps 16 × 16"):
        universes.scores("memorisation", universes.perfect, universes.training[:, :16, :16])
