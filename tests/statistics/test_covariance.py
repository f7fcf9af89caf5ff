"""Scatter of P(k) against closed forms: widths, the correlation matrix, and χ² of the nearest anchor."""

import numpy as np
import pytest

from focus_engine.statistics import covariance
from focus_engine.statistics.design import Design
from focus_engine.statistics.power import PowerSpectrum, field_power_spectrum
from focus_engine.statistics.reference import Reference
from focus_engine.statistics.sample import Rows, Sample, View

EDGES = np.arange(1.0, 33)


def spectrum(log_power):
    return PowerSpectrum(EDGES[:-1] + 0.5, np.exp(log_power), np.ones(31, dtype=np.int64), EDGES, 2 * np.pi, 32.0)


def one_point(n_real, n_generated):
    rows = Rows.of(np.zeros(n_real, dtype=np.intp), np.arange(n_real))
    return Design(np.zeros((1, 1)), rows, Rows.of(np.zeros(n_generated, dtype=np.intp)), values_only=True)


def test_widths_and_the_correlation_matrix_are_those_of_ln_p():
    """A part of ln P that all bins share, of variance a², beside an own one, b²: correlation a² / (a² + b²)."""
    rng, count = np.random.default_rng(1), 4000
    merged = covariance._merging(spectrum(np.zeros((1, 31))))[0]
    bins = merged.shape[1]
    place = merged.argmax(axis=1)

    def draw(n, common, own):
        return common * rng.normal(size=(n, 1)) + own * rng.normal(size=(n, bins))[:, place]

    real, drawn = draw(count, 0.3, 0.3), draw(count, 0.3, 0.1)
    found = covariance.compare(spectrum(real), spectrum(drawn), one_point(count, count))
    off = ~np.eye(bins, dtype=bool)
    np.testing.assert_allclose(found.real_correlation[off], 0.5, atol=4 * 0.75 / np.sqrt(count))
    np.testing.assert_allclose(found.generated_correlation[off], 0.9, atol=4 * 0.19 / np.sqrt(count))
    np.testing.assert_allclose(np.diag(found.real_correlation), 1)
    assert found.scores["correlation"].value == pytest.approx(0.4, abs=0.03)
    np.testing.assert_allclose(found.real_std, np.hypot(0.3, 0.3), rtol=0.05)
    np.testing.assert_allclose(found.generated_std, np.hypot(0.3, 0.1), rtol=0.05)


def test_a_width_is_the_ratio_of_standard_deviations():
    factors = [0.3 * np.random.default_rng(2).normal(size=(n, 1)) for n in (40, 60)]
    factors[1] *= 0.5
    found = covariance.compare(*(spectrum(one + np.zeros(31)) for one in factors), one_point(40, 60)).scores
    wanted = factors[1][:, 0].std(ddof=1) / factors[0][:, 0].std(ddof=1) - 1
    for band in ("large", "middle", "small"):
        assert found[f"width_{band}_scales"].value == pytest.approx(wanted)


def scored(real, generated):
    """Return χ² of vectors (n, V) of one point in the form of the score."""
    rows = Rows.of(np.zeros(len(real), dtype=np.intp), np.arange(len(real)))
    views = View(real, rows), View(generated, Rows.of(np.zeros(len(generated), dtype=np.intp)))
    return covariance._chi_square(Sample(*views, Reference(np.zeros((1, real.shape[1])), 1, known=True)))


def left_out(real):
    """Return χ² of each of some real maps against the others, as the nearest anchor has it."""
    view = View(real, Rows.of(np.zeros(len(real), dtype=np.intp), np.arange(len(real))))
    return covariance.split_chi_square(view, view)


def test_chi_square_of_15_gaussian_vectors_exceeds_1_by_the_law_of_student():
    """The mean of (x − m)² / s² is (1 + 1/n) (n − 1) / (n − 3): 1.244 of 15, and 1.266 of the 14 left of them."""
    real, drawn = np.random.default_rng(3).normal(size=(2, 15, 20_000))
    assert scored(real, drawn) == pytest.approx(16 / 15 * 14 / 12, abs=0.015)
    assert left_out(real) == pytest.approx(15 / 14 * 13 / 11, abs=0.015)


def test_chi_square_of_ln_p_of_15_gaussian_maps_is_that_of_the_anchor():
    """1.254 of generated maps and 1.276 of real ones: ln P of few modes is skewed, which adds 0.01 to the above."""
    maps = np.random.default_rng(4).normal(size=(7500, 16, 16))
    measured = field_power_spectrum(maps, 25.0)
    logs = np.log(measured.power[:, measured.below(1.0)]).reshape(2, 15, -1)
    assert scored(*logs) == pytest.approx(1.254, abs=0.05)
    assert left_out(logs[0]) == pytest.approx(1.276, abs=0.05)
