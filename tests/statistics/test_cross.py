"""Cross spectra: laws of linear fields, and the mean of the product in real space."""

import numpy as np
import pytest
from scipy.stats import chi2

from focus_engine.errors import InputError
from focus_engine.statistics import cross_power
from focus_engine.statistics.cross import PairMeasurement, compare, cross_spectra, measure
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.power import field_power_spectrum, power_spectrum
from focus_engine.statistics.sample import Rows

BOX = 25.0


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def smoothed(fields: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return fields filtered by a real transfer function (H, W) of Fourier space."""
    return np.fft.ifft2(np.fft.fft2(fields) * kernel).real


def transfer(size: int) -> np.ndarray:
    """Return a filter that depends on the annulus of the mode alone, and is positive."""
    n = np.fft.fftfreq(size, 1 / size)
    return 1 / (1 + np.floor(np.hypot(*np.meshgrid(n, n)) + 1e-9))


def test_a_multiple_is_perfectly_correlated_and_scales_the_cross_spectrum():
    field = noise(5, 16, 16)
    measured = cross_spectra(np.stack([field, -3 * field], axis=1), BOX, physical=False)
    alone = field_power_spectrum(field, BOX).power
    assert np.array_equal(measured.auto[:, 0], alone)
    assert np.allclose(measured.cross[:, 0], -3 * alone)
    assert np.allclose(measured.correlation, -1)
    assert np.allclose(measured.mean_correlation, -1)


def test_the_contrast_of_a_density_does_not_know_its_unit():
    density = np.exp(noise(4, 16, 16))
    measured = cross_spectra(np.stack([density, 7 * density], axis=1), BOX)
    assert np.allclose(measured.cross[:, 0], power_spectrum(density, BOX).power)
    assert np.allclose(measured.correlation, 1)


def test_a_filter_in_k_leaves_the_correlation():
    field = noise(3, 16, 16)
    kernel = transfer(16)
    pair = np.stack([field, smoothed(field, kernel)], axis=1)
    measured = cross_spectra(pair, BOX, physical=False)
    assert np.allclose(measured.correlation, 1)
    by_bin = 1 / (1 + np.arange(1, len(measured.k) + 1))
    assert np.allclose(measured.cross[:, 0], by_bin * measured.auto[:, 0])


def test_independent_fields_are_uncorrelated_within_the_error():
    n_maps = 200
    measured = cross_spectra(noise(n_maps, 3, 16, 16), BOX, physical=False)
    assert measured.pairs == ((0, 1), (0, 2), (1, 2))
    error = 1 / np.sqrt(2 * measured.modes * n_maps)  # two real numbers in each mode
    deviations = measured.mean_correlation / error
    assert np.abs(deviations).max() < 4.5
    assert 0.6 < deviations.std() < 1.5
    assert not np.allclose(measured.mean_correlation, 0, atol=1e-4)


def test_a_common_part_gives_its_share_of_the_power():
    common, own = noise(400, 1, 16, 16), noise(400, 2, 16, 16, seed=1)
    measured = cross_spectra(common + 0.5 * own, BOX, physical=False)
    assert np.allclose(measured.mean_correlation, 1 / 1.25, atol=0.05)


@pytest.mark.parametrize("shape", [(16, 16), (12, 16), (9, 15)])
def test_the_cross_spectrum_is_that_of_a_sum_over_the_whole_plane(shape: tuple[int, int]):
    maps = noise(2, 2, *shape) + noise(2, 1, *shape, seed=1)
    measured = cross_spectra(maps, BOX, physical=False)
    height, width = shape
    waves = np.fft.fft2(maps - maps.mean(axis=(2, 3), keepdims=True))
    product = (waves[:, 0] * waves[:, 1].conj()).real
    rows, columns = np.meshgrid(*(np.fft.fftfreq(side, 1 / side) for side in shape), indexing="ij")
    longest = max(shape)
    bins = np.floor(np.hypot(rows * longest / height, columns * longest / width) + 1e-9).astype(int)
    own_mirror = (rows % (height / 2) == 0) & (columns % (width / 2) == 0)
    weights = np.where(own_mirror, 1.0, 0.5)  # each pair of conjugate modes counts once
    area = (BOX / width) ** 2 / (height * width)
    for index in range(len(measured.k)):
        inside = bins == index + 1
        expected = area * (product[:, inside] * weights[inside]).sum(axis=1) / weights[inside].sum()
        assert np.allclose(measured.cross[:, 0, index], expected)
        assert measured.modes[index] == weights[inside].sum()


def test_a_swap_of_channels_changes_nothing():
    maps = np.exp(noise(2, 2, 8, 8))
    one, other = cross_spectra(maps, BOX), cross_spectra(maps[:, ::-1], BOX)
    assert np.array_equal(one.cross, other.cross)
    assert np.array_equal(one.auto, other.auto[:, ::-1])


def test_a_field_without_power_has_no_correlation():
    maps = np.stack([noise(2, 8, 8), np.zeros((2, 8, 8))], axis=1)
    assert np.isnan(cross_spectra(maps, BOX, physical=False).correlation).all()


def test_what_is_no_set_of_channels_is_refused():
    with pytest.raises(InputError, match="2 or more channels"):
        cross_spectra(noise(4, 1, 8, 8), BOX)
    with pytest.raises(InputError, match="2 or more channels"):
        cross_spectra(noise(4, 8, 8), BOX)
    with pytest.raises(InputError, match="map 1 holds 1 negative"):
        cross_spectra(np.where(np.arange(256).reshape(2, 2, 8, 8) == 200, -1.0, 1.0), BOX)


def test_the_comparison_holds_the_mean_cross_spectra_of_both_sides():
    one, other = noise(2, 12, 16, 16)
    ids = np.arange(12) // 3
    stacks = [MapStack(one, BOX, physical=False, partner=scale * other) for scale in (1, -2)]
    measured = [measure(stack, None) for stack in stacks]
    found = compare(*measured, Design.paired(ids, ids[:, None].astype(float)))
    expected = cross_spectra(np.stack([one, other], axis=1), BOX, physical=False)
    shown = expected.k < expected.k_nyquist
    np.testing.assert_allclose(found.real_cross, expected.cross[:, 0, shown].mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.generated_cross, -2 * found.real_cross, rtol=1e-10)
    assert {"real_cross", "generated_cross"} <= set(found.to_dict())
    np.testing.assert_array_equal(measured[0].take(np.array([3, 1])).cross, measured[0].cross[[3, 1]])


POINT = np.arange(15).repeat(4)
PLACED = Design(np.random.default_rng(8).uniform(0.1, 0.5, (15, 2)), Rows.of(POINT, POINT), Rows.of(POINT))


def pairs(rng: np.random.Generator, correlation: float, amplitude: float = 1.0) -> PairMeasurement:
    """Measure 60 pairs of white Gaussian fields of this r(k), the second of twice the amplitude."""
    one, own = amplitude * rng.normal(size=(2, POINT.size, 12, 12))
    other = 2 * (correlation * one + np.sqrt(1 - correlation**2) * own)
    return measure(MapStack(one, BOX, physical=False, partner=other), None)


def test_errors_and_nulls_of_both_scores_are_those_of_realisations(monkeypatch: pytest.MonkeyPatch):
    """Perfect generators scatter as their errors and nulls say, and by the closed form for Gaussian fields.

    The mean of r(k) over n modes has an error of (1 − r²) / √(2 n), that of P_ab / √(P_a P_b) of √((1 + r²) / (2 n)).
    """
    monkeypatch.setattr("focus_engine.statistics.design.NULL_DRAWS", 80)
    monkeypatch.setattr("focus_engine.statistics.design.BOOTSTRAP_DRAWS", 60)
    trials, correlation = 24, 0.6
    modes = cross_spectra(noise(1, 2, 12, 12), BOX, physical=False).modes[1]  # the bin of the middle scales
    for statistic, variance in ((compare, (1 - correlation**2) ** 2), (cross_power.compare, 1 + correlation**2)):
        found = []
        for seed in range(trials):
            rng = np.random.default_rng([seed, 4])
            one = statistic(pairs(rng, correlation), pairs(rng, correlation), PLACED).scores["middle_scales"]
            assert one.band == "0.5–0.75 h/Mpc"
            assert one.p_value > 1e-4
            found.append((one.value, one.error, one.null, one.null_spread))
        value, error, null, spread = np.array(found).T
        expected = np.sqrt(2 * variance / (2 * modes * POINT.size))  # both sides have as many maps
        scatter = np.sqrt((value**2).mean())
        low, high = np.sqrt(chi2.ppf([1e-3, 1 - 1e-3], trials) / trials)
        for known in (expected, error.mean(), spread.mean()):
            assert low < scatter / known < high
        assert error.mean() == pytest.approx(expected, rel=0.25)
        assert spread.mean() == pytest.approx(expected, rel=0.25)
        assert abs(null.mean()) < 0.3 * expected


def test_amplitudes_show_in_the_cross_spectrum_and_not_in_the_correlation():
    rng = np.random.default_rng(2)
    real = pairs(rng, 0.6)
    louder = PairMeasurement(
        real.k, real.k_edges, real.correlation, 1.1 * real.cross, 1.1 * real.amplitude, real.k_nyquist
    )
    found = cross_power.compare(real, louder, PLACED)
    assert all(one.value == 0 for one in compare(real, louder, PLACED).scores.values())
    np.testing.assert_allclose(found.generated_mean, 1.1 * found.real_mean)
    np.testing.assert_allclose(found.real_mean, 0.6, atol=0.25)
    for one in found.scores.values():
        assert one.value == pytest.approx(0.06, rel=0.4)
    opposite = cross_power.compare(real, pairs(rng, -0.6), PLACED)
    assert all(one.value < -1 and one.p_value < 1e-6 for one in list(opposite.scores.values())[1:])
