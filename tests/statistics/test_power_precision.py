"""P(k) of large stacks of float32 maps, which are transformed in float32, against float64."""

import numpy as np
import pytest

from focus_engine.errors import InputError
from focus_engine.statistics.bispectrum import measure
from focus_engine.statistics.fourier import SCIPY_PIXELS, Precision
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.power import log_power_spectrum, pair_spectra, power_spectrum

BOX, SIDE, N_MAPS = 25.0, 64, 128


def fields(slope, seed=1):
    """Return Gaussian fields (128, 64, 64) of unit variance with P ∝ (1 + n / 2)^slope."""
    n = np.hypot(np.fft.fftfreq(SIDE, 1 / SIDE)[:, None], np.fft.rfftfreq(SIDE, 1 / SIDE))
    noise = np.fft.rfft2(np.random.default_rng(seed).normal(size=(N_MAPS, SIDE, SIDE)))
    found = np.fft.irfft2(noise * (1 + n / 2) ** (slope / 2))
    return found / found.std(axis=(1, 2), keepdims=True)


def both(maps):
    single = maps.astype(np.float32)
    assert Precision.of([single]).single
    assert not Precision.of([maps]).single
    return single, single.astype(np.float64)


MAPS = {
    "lognormal": lambda: 1e11 * np.exp(fields(-3)),
    "smooth lognormal": lambda: 1e11 * np.exp(fields(-5)),
    "steep": lambda: 1 + 0.15 * fields(-6),
    "nearly uniform": lambda: 1e-9 * (1 + 1e-3 * fields(-4)),
}


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("log", [False, True])
def test_float32_maps_have_the_power_of_float64_ones(kind, log):
    """The last corner bins hold one mode, which may be weak by chance: there the mean over maps is compared."""
    maps = MAPS[kind]()
    single, double = (
        log_power_spectrum(one, BOX, maps.min() / 10) if log else power_spectrum(one, BOX) for one in both(maps)
    )
    inside = double.below(1.0)
    if kind == "steep":
        assert double.mean[inside].max() > 1e6 * double.mean[inside].min()
    np.testing.assert_allclose(single.power[:, inside], double.power[:, inside], rtol=1e-5)
    np.testing.assert_allclose(single.mean, double.mean, rtol=1e-4)


def test_cross_spectra_and_triangles_of_float32_maps():
    single, double = both(1e11 * np.exp(fields(-4)))
    other = both(np.exp(0.5 * fields(-4) + 0.5 * fields(-4, seed=2)))
    of_single, of_double = (
        pair_spectra(pair, ((0, 0), (1, 1), (0, 1)), BOX) for pair in ((single, other[0]), (double, other[1]))
    )
    scale = np.sqrt(of_double[0].power * of_double[1].power)
    apart = (of_single[2].power - of_double[2].power) / scale
    assert np.abs(apart[:, of_double[0].below(1.0)]).max() < 1e-5
    triangles = [measure(MapStack(one, BOX), None).reduced for one in (single, double)]
    assert np.abs((triangles[0] - triangles[1]) / triangles[1].std(axis=0)).max() < 1e-4


def test_float64_maps_keep_float64():
    maps = np.exp(fields(-4))
    large = power_spectrum(maps, BOX).power
    few = SCIPY_PIXELS // SIDE**2 - 1
    np.testing.assert_allclose(large[:few], power_spectrum(maps[:few], BOX).power, rtol=1e-9)


def test_no_unit_is_too_large_for_float32():
    maps = np.exp(fields(-4))
    expected = power_spectrum(maps.astype(np.float32), BOX).power
    for unit in (1e-25, 1e25):
        found = power_spectrum((unit * maps).astype(np.float32), BOX)
        np.testing.assert_allclose(found.mean, expected.mean(axis=0), rtol=1e-5)


def test_what_is_no_map_is_named_in_a_large_stack():
    for row, pixel, words in ((3, np.nan, "NaN"), (3, -1.0, "negative"), (3, np.inf, "NaN or inf"), (0, np.inf, "NaN")):
        maps = np.exp(fields(-4)).astype(np.float32)
        maps[100, row, 5] = pixel
        with pytest.raises(InputError, match=f"map 100 holds 1 {words}"):
            power_spectrum(maps, BOX)
        maps[100] = 0
        with pytest.raises(InputError, match="map 100 has a mean of 0"):
            power_spectrum(maps, BOX)


def test_rows_that_are_not_like_the_others_do_not_mislead():
    """The transform starts from the mean of every 16th row."""
    maps = np.exp(0.1 * fields(-2))
    maps[:, ::16] += 0.5
    single, double = (power_spectrum(one, BOX) for one in both(maps))
    inside = double.below(1.0)
    np.testing.assert_allclose(single.power[:, inside], double.power[:, inside], rtol=1e-5)


def test_the_limits_of_float32_are_those_of_float64():
    maps = np.exp(fields(-4))
    expected = power_spectrum(maps, BOX).power
    for unit in (1e-36, 1e36):
        np.testing.assert_allclose(power_spectrum((unit * maps).astype(np.float32), BOX).power, expected, rtol=1e-4)


def test_maps_of_several_units_in_one_stack_have_the_power_of_each():
    maps = np.exp(fields(-4)).astype(np.float32)
    expected = power_spectrum(maps.astype(np.float64), BOX)
    units = np.float32([1, 1e25, 1e-25])[np.arange(N_MAPS) % 3, None, None]
    found = power_spectrum(units * maps, BOX)
    inside = expected.below(1.0)
    np.testing.assert_allclose(found.power[:, inside], expected.power[:, inside], rtol=1e-5)
