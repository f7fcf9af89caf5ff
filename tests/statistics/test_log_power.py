"""P(k) of log density of log-normal maps, whose logarithm is a Gaussian field of known spectrum."""

import numpy as np
import pytest

from focus_engine.statistics import log_power
from focus_engine.statistics.map_stack import MapStack

BOX, SIDE = 25.0, 32


def test_the_spectrum_is_that_of_the_gaussian_field_below():
    """White noise of variance s² has P = s² L² / N²; a filter 1 / (1 + annulus) divides it by its square."""
    rng, sigma, count = np.random.default_rng(5), 0.4, 400
    n = np.fft.fftfreq(SIDE, 1 / SIDE)
    annulus = np.floor(np.hypot(*np.meshgrid(n, n)) + 1e-9)
    waves = np.fft.fft2(sigma * rng.normal(size=(count, SIDE, SIDE))) / (1 + annulus)
    maps = 10 ** (11 + np.fft.ifft2(waves).real)
    stack = MapStack(maps, BOX)
    measured = log_power.measure(stack, log_power.bins(stack, stack))
    expected = sigma**2 * (BOX / SIDE) ** 2 / (1 + np.arange(1, len(measured.k) + 1)) ** 2
    error = 1 / np.sqrt(measured.modes * count)
    deviations = (measured.mean / expected - 1) / error
    assert np.abs(deviations).max() < 4.5
    assert deviations.std() == pytest.approx(1, abs=0.5)
