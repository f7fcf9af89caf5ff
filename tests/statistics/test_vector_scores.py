"""Scores from bispectrum and scattering vectors: quiet for a perfect generator, loud for a faulty one."""

import numpy as np
import pytest

from focus_engine.statistics import bispectrum, classifier, pqmass, scattering
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.sample import Rows

SIDE, POINTS, PER_POINT = 16, 20, 8
AMPLITUDES = np.linspace(0.5, 0.9, POINTS)
PLACES = np.repeat(np.arange(POINTS), PER_POINT)
MODULES = {"bispectrum": bispectrum, "scattering": scattering, "classifier": classifier, "pqmass": pqmass}


def universes(seed, shared=0.5, sigma=1.0):
    """Return log-normal maps, whose amplitude depends on the point and also on the simulation, by `shared` × 10 %."""
    rng = np.random.default_rng(seed)
    n = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(SIDE, 1 / SIDE)]))
    n[0, 0] = np.inf
    waves = np.fft.ifft2(np.fft.fft2(rng.normal(size=(PLACES.size, SIDE, SIDE))) / n).real
    of_simulation = 1 + 0.1 * shared * rng.normal(size=POINTS)[PLACES]
    amplitude = sigma * (AMPLITUDES[PLACES] * of_simulation)[:, None, None]
    return np.exp(amplitude * waves / waves.std() - amplitude**2 / 2)


def phases_drawn_anew(maps, seed=5):
    waves = np.fft.rfft2(np.random.default_rng(seed).normal(size=maps.shape))
    transform = np.abs(np.fft.rfft2(maps - 1)) * waves / np.abs(waves)
    return np.maximum(1 + np.fft.irfft2(transform, s=(SIDE, SIDE)), 1e-3)


def design(seed=0):
    return Design(AMPLITUDES[:, None], Rows.of(PLACES, PLACES), Rows.of(PLACES), seed)


def compared(real, generated, placed=None, names=tuple(MODULES)):
    """Return the scores of each statistic, by their names."""
    stacks = [MapStack(maps, 25.0) for maps in (real, generated)]
    measured = {}
    for module in (bispectrum, scattering):
        bins = module.bins(*stacks)
        measured[module] = [module.measure(stack, bins) for stack in stacks]
    found = {}
    for name in names:
        source = bispectrum if name == "bispectrum" else scattering
        result = MODULES[name].compare(*measured[source], placed or design())
        found |= {f"{name} {score}": one for score, one in result.scores.items()}
    return found


@pytest.fixture(scope="module")
def real():
    return universes(1)


def test_a_perfect_generator_stays_in_its_null(real):
    for seed in (2, 3):
        scores = compared(real, universes(seed, shared=0.0))
        assert len(scores) == 5
        for name, one in scores.items():
            assert one.p_value > 2e-3, (name, one)
            assert abs(one.value - one.null) < 4 * one.null_spread


def test_an_amplitude_of_20_percent_more_is_seen(real):
    scores = compared(real, universes(2, shared=0.0, sigma=1.2))
    for name in ("scattering shift", "classifier excess", "pqmass chi_square"):
        assert scores[name].p_value < 1e-3, name
    assert scores["bispectrum equilateral"].value < scores["bispectrum equilateral"].null


def test_phases_drawn_anew_are_seen(real):
    scores = compared(real, phases_drawn_anew(universes(2, shared=0.0)))
    for name, one in scores.items():
        assert one.p_value < 1e-3, name
    assert scores["bispectrum equilateral"].value < -0.3
    assert scores["classifier excess"].value > 0.3


def test_the_amplitude_of_q_is_the_fraction_of_it(real):
    """A measurement with 0.9 Q in its squeezed triangles alone scores 0 and −10 %."""
    measured = bispectrum.measure(MapStack(real, 25.0), None)
    weak = measured.reduced.copy()
    weak[:, measured.n_bins :] *= 0.9
    other = bispectrum.Bispectrum(
        measured.k, measured.k_edges, measured.triangles, measured.power, measured.values, weak
    )
    found = bispectrum.compare(measured, other, design())
    assert found.scores["equilateral"].value == pytest.approx(0, abs=1e-12)
    assert found.scores["squeezed"].value == pytest.approx(-0.1, abs=0.01)
    np.testing.assert_allclose(found.generated_squeezed, 0.9 * found.real_squeezed)
    np.testing.assert_allclose(found.real_equilateral, measured.reduced[:, : measured.n_bins].mean(axis=0))


def test_shifts_of_scattering_coefficients_are_in_their_scatter(real):
    """A field in another unit shifts the mean of its logarithm, and no other coefficient."""
    stacks = MapStack(real, 25.0), MapStack(1.1 * real, 25.0)
    scale = scattering.bins(*stacks)
    one, other = (scattering.measure(stack, scale) for stack in stacks)
    found = scattering.compare(one, other, design())
    assert np.abs(found.first_shift).max() < 1e-3
    residual = one.mean - np.poly1d(np.polyfit(np.log(AMPLITUDES[PLACES]), one.mean, 2))(np.log(AMPLITUDES[PLACES]))
    assert found.mean_shift == pytest.approx(np.log10(1.1) / scale.sigma / residual.std(ddof=3), rel=0.03)
    n_coefficients = 1 + 3 + 2 * 3
    assert found.scores["shift"].value == pytest.approx(found.mean_shift / np.sqrt(n_coefficients), rel=1e-3)
    np.testing.assert_allclose(found.wavelengths, 25 / 16 * 8 / 3 * np.array([1, 2, 4]))


def test_the_classifier_finds_the_accuracy_of_two_gaussians():
    """Two normal distributions d apart are told with an accuracy of Φ(d / 2) by the best classifier."""
    from scipy.special import ndtr

    rng = np.random.default_rng(3)
    covariance = np.linalg.cholesky([[1.0, 0.8], [0.8, 1.0]])
    real, other = (rng.normal(size=(20_000, 2)) @ covariance.T for _ in range(2))
    shift = np.array([0.5, -0.3])
    distance = np.sqrt(shift @ np.linalg.solve(covariance @ covariance.T, shift))
    folds = [rng.integers(classifier.FOLDS, size=20_000) for _ in range(2)]
    assert classifier.accuracy(real, folds[0], other + shift, folds[1]) == pytest.approx(ndtr(distance / 2), abs=0.01)
    assert classifier.accuracy(real, folds[0], other, folds[1]) == pytest.approx(0.5, abs=0.01)


def test_the_classifier_does_not_learn_simulations_by_heart():
    """With simulations that differ strongly but equally for both, only a split by simulation has accuracy 1/2."""
    rng = np.random.default_rng(4)
    n_units, features = 20, 12
    unit = np.repeat(np.arange(n_units), 15)
    real = rng.normal(size=(n_units, features))[unit] + 0.1 * rng.normal(size=(unit.size, features))
    generated = rng.normal(size=(unit.size, features))
    folds = rng.integers(classifier.FOLDS, size=unit.size)
    by_simulation = rng.permutation(n_units) % classifier.FOLDS
    leaking = classifier.accuracy(real, folds, generated, folds)
    honest = classifier.accuracy(real, by_simulation[unit], generated, folds)
    assert leaking > honest + 0.05
    assert honest < 0.56


def test_resampled_rows_keep_the_fold_of_their_simulation(real):
    stack = MapStack(real, 25.0)
    measured = scattering.measure(stack, scattering.bins(stack, stack))
    placed = design()
    scaled = classifier.with_folds(scattering.scaled_coefficients(measured, measured, placed), placed)
    folds = scaled.real[:, -1]
    for simulation in range(POINTS):
        assert np.unique(folds[simulation == PLACES]).size == 1
    draw = placed.nulls[0]
    for view in (scaled.perfect(draw).real, scaled.perfect(draw).generated):
        np.testing.assert_array_equal(view.values[:, -1], folds[view.index])


def test_chi_square_of_independent_samples_has_its_law():
    """Mean K − 1 and variance 2 (K − 1), for centres drawn apart from both samples, even of unequal numbers."""
    rng = np.random.default_rng(6)
    n_cells, draws = 12, 400
    samples = [rng.normal(size=(draws, n, 3)) for n in (300, 500)]
    found = []
    for t in range(draws):
        place = pqmass.voronoi(rng.normal(size=(1, n_cells, 3)))
        counts = [pqmass.cell_counts(place(one[t]), n_cells) for one in samples]
        assert [int(one.sum()) for one in counts] == [300, 500]
        found.append(pqmass.chi_square(*counts)[0])
    assert np.mean(found) == pytest.approx(n_cells - 1, abs=4 * np.sqrt(2 * (n_cells - 1) / draws))
    assert np.var(found) == pytest.approx(2 * (n_cells - 1), rel=0.3)


def test_chi_square_is_that_of_a_contingency_table():
    from scipy.stats import chi2_contingency

    counts = np.array([[12, 30, 7, 9], [25, 20, 11, 4]])
    expected = chi2_contingency(counts, correction=False).statistic
    assert pqmass.chi_square(counts[:1], counts[1:])[0] == pytest.approx(expected)
    padded = np.hstack([counts, [[0], [0]]])
    assert pqmass.chi_square(padded[:1], padded[1:])[0] == pytest.approx(expected)


def test_cells_are_those_of_the_nearest_centre():
    rng = np.random.default_rng(7)
    values, centres = rng.normal(size=(50, 4)), rng.normal(size=(2, 6, 4))
    cells = pqmass.voronoi(centres)(values)
    distances = np.linalg.norm(values[:, None, None] - centres[None], axis=3)
    np.testing.assert_array_equal(cells, distances.argmin(axis=2))


def test_few_maps_are_unknown_and_one_constant_map_is_an_outlier(real):
    few = slice(0, 3 * PER_POINT)
    placed = Design(AMPLITUDES[:3, None], Rows.of(PLACES[few], PLACES[few]), Rows.of(PLACES[few]))
    scores = compared(real[few], universes(2)[few], placed)
    assert scores["classifier excess"].value is None
    assert "pqmass chi_square" not in scores
    flat = np.ones_like(real)
    assert compared(flat, flat, names=("scattering", "classifier", "pqmass")) == {}
    other = universes(2)
    other[0] = 1.0
    assert np.isfinite(compared(real, other, names=("scattering",))["scattering shift"].value)


def test_whitened_vectors_are_uncorrelated_and_no_more_than_the_simulations_explore(real):
    stack = MapStack(real, 25.0)
    measured = scattering.measure(stack, scattering.bins(stack, stack))
    vectors = scattering.whitened(scattering.scaled_coefficients(measured, measured, design())).real
    assert vectors.shape == (len(real), POINTS // 5)
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(vectors.T @ vectors / len(vectors), np.eye(POINTS // 5), atol=1e-10)
