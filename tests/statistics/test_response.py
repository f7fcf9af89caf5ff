"""Parameter response: known slopes are found, also where the truth that they are fitted on is noisy."""

import numpy as np
import pytest

from focus_engine.simulation.designs import design_set
from focus_engine.statistics import response
from focus_engine.statistics.bands import BANDS, band_weights
from focus_engine.statistics.design import Design
from focus_engine.statistics.power import SCORED_FRACTION, PowerSpectrum
from focus_engine.statistics.response import parameter_slopes, response_slope
from focus_engine.statistics.sample import Rows

EDGES = np.arange(1.0, 33)
BAND = np.argmax(np.vstack([band_weights(EDGES, SCORED_FRACTION * 32)[0], np.full(31, 1e-9)]), axis=0)
EXPONENTS = np.random.default_rng(1).uniform(0.5, 1.5, size=(2, 31))


def spectrum(log_power):
    return PowerSpectrum(EDGES[:-1] + 0.5, np.exp(log_power), np.ones(31, dtype=np.int64), EDGES, 2 * np.pi, 32.0)


def log_truth(params):
    """Return ln P (n, 31) of a power law in both parameters, of another exponent in each bin."""
    return np.log(params) @ EXPONENTS


def placed(params, each=1, **how):
    rows = np.arange(len(params)).repeat(each)
    return Design(params, Rows.of(rows, rows), Rows.of(rows), **how)


def latin(points):
    return np.random.default_rng(2).uniform((0.1, 0.6), (0.5, 1.0), size=(points, 2))


def test_a_power_of_the_true_spectrum_has_that_slope_and_its_r_squared():
    """Where ln P_generated = s ln P_true + c, the slope is s in each band, R² = 1 − (1 − s)², whatever c."""
    slope, params = np.array([0.7, 1.0, 1.2, 1.0]), latin(20)
    truth = log_truth(params)
    found = response.compare(spectrum(truth), spectrum(slope[BAND] * truth + 3), placed(params, values_only=True))
    for name, wanted in zip(BANDS, slope[:3], strict=True):
        assert found.scores[f"slope_{name}"].value == pytest.approx(wanted, abs=0.02)
    np.testing.assert_allclose(found.r_squared_bands, 1 - (1 - slope[:3]) ** 2, atol=0.02)
    weights = found.reference.var(axis=1)
    assert found.r_squared == pytest.approx(np.average(found.r_squared_bands, weights=weights), abs=1e-6)


def test_noise_of_the_truth_does_not_pull_the_slope_of_a_perfect_generator():
    """A fit to noisy real means is pulled by the noise in the regressor to 1 / (1 + noise² / variance): 0.67 here."""
    rng, params = np.random.default_rng(3), latin(60)
    truth = log_truth(params)
    noise = np.sqrt(0.5 * truth.var(axis=0).mean())
    naive, corrected = [], []
    for _ in range(10):
        real, drawn = (truth + noise * rng.normal(size=(60, 1)) for _ in range(2))
        naive.append(response_slope(real[:, 0], (drawn - real)[:, 0]))
        found = response.compare(spectrum(real), spectrum(drawn), placed(params, values_only=True))
        corrected.append(found.scores["slope_middle_scales"].value)
    spread = np.std(corrected) / np.sqrt(10)
    assert np.mean(naive) < 0.8
    assert np.mean(corrected) == pytest.approx(1, abs=4 * spread)
    assert spread < 0.05


def test_slopes_along_one_parameter_at_a_time_are_those_of_the_generator():
    """At the points of a 1P set: 0.3 too weak in ln Omega_m and 0.2 too strong in ln sigma_8, at all scales."""
    rng, params = np.random.default_rng(4), design_set("1P", 17, 0).params
    design = placed(params, each=6)
    wanted = np.array([-0.3, 0.2])
    apart = np.log(params[design.real.point]) @ wanted
    truth = log_truth(params[design.real.point])
    exact = response.compare(spectrum(truth), spectrum(truth + apart[:, None]), placed(params, 6, values_only=True))
    per_x = wanted * np.log(params).std(axis=0)
    np.testing.assert_allclose(exact.parameter_slopes, np.tile(per_x, (3, 1)), atol=1e-9)
    assert np.isnan(exact.parameter_slopes_error).all()
    design.__dict__["nulls"] = ()
    real, drawn = (one + 0.2 * rng.normal(size=(one.shape)) for one in (truth, truth + apart[:, None]))
    found = response.compare(spectrum(real), spectrum(drawn), design)
    pulls = (found.parameter_slopes - per_x) / found.parameter_slopes_error
    assert np.abs(pulls).max() < 4
    assert 0.5 < np.sqrt((pulls**2).mean()) < 1.7


def test_few_points_have_no_slopes():
    assert np.isnan(parameter_slopes(np.zeros((5, 2)), np.zeros((5, 3)))).all()
