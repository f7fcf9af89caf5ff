from math import erfc

import numpy as np
import pytest
from gaussian_maps import gaussian_maps

from focus_engine.statistics.log_density import floor_of
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.peaks import PEAK_HEIGHTS, VOID_HEIGHTS, extremum_counts, maxima

BOX = 25.0


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def counts_of(fields, **heights):
    return extremum_counts(MapStack(np.asarray(fields), BOX, physical=False), None, **heights)


def test_planted_peaks_and_voids_are_found_at_their_heights(rng):
    field = 0.01 * rng.normal(size=(1, 40, 40))
    for row, column, value in ((0, 0, 3.0), (39, 20, 5.0), (17, 39, 5.0), (20, 20, -4.0)):
        field[0, row, column] = value
    mean, sigma = field.mean(), field.std()
    edges = (np.array([1.0, 4.0]) - mean) / sigma
    found = counts_of(field, peak_heights=edges, void_heights=np.array([(-2.0 - mean) / sigma]))
    np.testing.assert_allclose(found.peaks[0, 1:] * BOX**2, [1, 2])
    assert found.voids[0, 0] * BOX**2 == pytest.approx(1)
    assert found.peaks_above(edges[1])[0] * BOX**2 == pytest.approx(2)
    assert found.peaks_above(edges[0])[0] * BOX**2 == pytest.approx(3)


def test_a_ninth_of_independent_pixels_are_peaks(rng):
    chosen = maxima(rng.normal(size=(40, 64, 60))).mean(axis=(1, 2))
    assert abs(chosen.mean() - 1 / 9) < 4 * chosen.std() / np.sqrt(len(chosen))
    assert chosen.std() < 0.01


def bond_efstathiou(nu, maps):
    """Return d n_peak / d ν per pixel of a Gaussian field (Bond & Efstathiou 1987, eqs. A1.7 and A1.9)."""
    gamma = maps.sigma1**2 / maps.sigma0 / maps.sigma2
    theta = np.sqrt(2) * maps.sigma1 / maps.sigma2
    x, rest, wide = gamma * nu, 1 - gamma**2, 3 - 2 * gamma**2
    below = [1 - np.array([erfc(one / np.sqrt(2 * rest * w)) for one in x]) / 2 for w in (1, wide)]
    shape = (x**2 - gamma**2) * below[0] + x * rest * np.exp(-(x**2) / 2 / rest) / np.sqrt(2 * np.pi * rest)
    shape += np.exp(-(x**2) / wide) / np.sqrt(wide) * below[1]
    return np.exp(-(nu**2) / 2) * shape / (2 * np.pi) ** 1.5 / theta**2


def test_gaussian_fields_have_the_peaks_of_bond_and_efstathiou(rng):
    """Heights are those of the field: its σ varies between maps, so that ν would be another one in each."""
    maps = gaussian_maps(rng, 60, 128, 8)
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    chosen = maxima(maps.values)
    found = np.array(
        [np.histogram(one[peak], [-9, *edges, 9])[0] for one, peak in zip(maps.values, chosen, strict=True)]
    )
    fine = np.linspace(-9, 9, 3601)
    density = bond_efstathiou(fine, maps) * (fine[1] - fine[0]) * 128**2
    closed = np.histogram(fine, [-9, *edges, 9], weights=density)[0]
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - closed) < 4 * error + 0.02 * closed)
    longuet_higgins = 128**2 * (maps.sigma2 / maps.sigma1) ** 2 / (8 * np.pi * np.sqrt(3))
    assert found.sum(axis=1).mean() == pytest.approx(longuet_higgins, rel=0.03)


def test_symmetries_change_no_count_and_voids_are_peaks_of_the_opposite(rng):
    field = gaussian_maps(rng, 1, 32, 8).values[0]
    moved = [np.rot90(field, quarter) for quarter in range(4)] + [field.T, np.roll(field, (3, 20), axis=(0, 1))]
    found = counts_of(moved)
    np.testing.assert_array_equal(found.vectors, found.vectors[:1].repeat(len(moved), axis=0))
    opposite = counts_of([-field], peak_heights=-VOID_HEIGHTS[::-1])
    np.testing.assert_allclose(opposite.peaks[0], found.voids[0, ::-1])


def test_counts_are_per_area_of_densities_too(rng):
    field = gaussian_maps(rng, 3, 32, 8).values
    density = MapStack(10 ** (11 + 0.4 * field), 2 * BOX)
    found = extremum_counts(density, floor_of(density))
    np.testing.assert_allclose(4 * found.vectors, counts_of(field).vectors)
    assert found.vectors.shape == (3, PEAK_HEIGHTS.size + VOID_HEIGHTS.size + 2)


def test_plateaus_and_constant_maps_have_no_peaks():
    field = np.zeros((2, 20, 20))
    field[0, 3:5, 3:5] = field[0, 10, 10:12] = 2.0
    field[0, 15, 15] = 2.0
    found = counts_of(field)
    assert found.peaks[0].sum() * BOX**2 == pytest.approx(1)
    assert not found.voids.any()
    assert not found.vectors[1].any()
