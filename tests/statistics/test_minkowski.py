from math import erfc

import numpy as np
import pytest
from gaussian_maps import gaussian_maps

from focus_engine.errors import InputError
from focus_engine.statistics.log_density import floor_of
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.minkowski import THRESHOLDS, lattice_functionals, minkowski_functionals

SIDE = 64


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def functionals_of(*shapes):
    """Return area, boundary and Euler characteristic of sets of pixels, in pixels."""
    fields = np.array(shapes, dtype=np.float64)
    found = lattice_functionals(fields, np.array([0.5]))
    return [one[:, 0] * fields[0].size for one in found]


def disc(row, column, radius):
    rows, columns = np.indices((SIDE, SIDE))
    distance = [np.minimum(gap, SIDE - gap) for gap in (np.abs(rows - row), np.abs(columns - column))]
    return np.hypot(*distance) <= radius


def test_euler_characteristic_counts_pieces_less_holes():
    one, edge = disc(30, 30, 9), disc(2, 62, 9)
    two, ring = disc(15, 15, 6) | disc(45, 45, 7), disc(30, 30, 12) & ~disc(30, 30, 5)
    row_stripe, column_stripe = np.zeros((2, SIDE, SIDE))
    row_stripe[10:20] = column_stripe[:, 60:] = 1
    cross = np.maximum(row_stripe, column_stripe)
    nothing, everything = np.zeros((SIDE, SIDE)), np.ones((SIDE, SIDE))
    _, _, euler = functionals_of(one, edge, two, ring, row_stripe, column_stripe, cross, nothing, everything)
    np.testing.assert_allclose(euler, [1, 1, 2, 0, 0, 0, -1, 0, 0], atol=1e-9)


def test_pixels_that_touch_at_a_corner_are_half_joined():
    board = np.indices((SIDE, SIDE)).sum(axis=0) % 2
    pair = np.zeros((SIDE, SIDE))
    pair[5, 5] = pair[6, 6] = 1
    area, _, euler = functionals_of(board, pair)
    np.testing.assert_allclose(area, [SIDE**2 / 2, 2])
    np.testing.assert_allclose(euler, [0, 1.5], atol=1e-9)


def test_boundary_is_the_circumference_whatever_the_direction():
    area, length, _ = functionals_of(disc(32, 32, 20.3), disc(10, 60, 10.4))
    np.testing.assert_allclose(length, 2 * np.pi * np.array([20.3, 10.4]), rtol=0.03)
    np.testing.assert_allclose(area, np.pi * np.array([20.3, 10.4]) ** 2, rtol=0.03)
    stripe, oblique = np.zeros((2, SIDE, SIDE))
    stripe[:20] = 1
    oblique[(np.indices((SIDE, SIDE)).sum(axis=0) % SIDE) < 20] = 1
    _, length, euler = functionals_of(stripe, oblique)
    np.testing.assert_allclose(length, [2 * SIDE, 2 * SIDE * np.sqrt(2)], rtol=0.06)
    np.testing.assert_allclose(euler, 0, atol=1e-9)


def test_gaussian_fields_have_the_functionals_of_tomita(rng):
    maps = gaussian_maps(rng, 60, 128, 6)
    nu = THRESHOLDS
    gradient = maps.sigma1 / np.sqrt(2)
    bell = np.exp(-(nu**2) / 2)
    closed = (
        np.array([erfc(one / np.sqrt(2)) / 2 for one in nu]),
        gradient / 2 * bell,
        gradient**2 / (2 * np.pi) ** 1.5 * nu * bell,
    )
    for found, expected in zip(lattice_functionals(maps.values, nu), closed, strict=True):
        error = found.std(axis=0) / np.sqrt(len(found))
        lattice = 0.015 * np.abs(expected).max()
        assert np.all(np.abs(found.mean(axis=0) - expected) < 4 * error + lattice)
        assert np.abs(expected).max() > 20 * error.max()


def test_symmetries_of_the_torus_change_nothing(rng):
    field = gaussian_maps(rng, 1, 32, 5).values[0]
    moved = [np.rot90(field, quarter) for quarter in range(4)] + [field[::-1], np.roll(field, (5, 17), axis=(0, 1))]
    for found in lattice_functionals(np.array(moved), THRESHOLDS):
        np.testing.assert_allclose(found, found[:1].repeat(len(moved), axis=0), atol=1e-12)


def test_complements_share_the_boundary_and_have_opposite_euler_characteristic(rng):
    field = rng.normal(size=(3, 20, 24))
    area, length, euler = lattice_functionals(field, THRESHOLDS)
    other_area, other_length, other_euler = lattice_functionals(-field, -THRESHOLDS[::-1])
    np.testing.assert_allclose(area, 1 - other_area[:, ::-1])
    np.testing.assert_allclose(length, other_length[:, ::-1])
    np.testing.assert_allclose(euler, -other_euler[:, ::-1], atol=1e-12)


def test_units_and_standardisation(rng):
    field = gaussian_maps(rng, 4, 32, 5).values
    density = MapStack(10 ** (11 + 0.4 * field), 25.0)
    plain = MapStack(field, 50.0, physical=False)
    ours, again = minkowski_functionals(density, floor_of(density)), minkowski_functionals(plain, floor_of(plain))
    np.testing.assert_allclose(ours.area, again.area, atol=1e-12)
    np.testing.assert_allclose(ours.boundary, 2 * again.boundary, atol=1e-9)
    np.testing.assert_allclose(ours.euler, 4 * again.euler, atol=1e-9)
    assert ours.vectors.shape == (4, 3 * THRESHOLDS.size)


def test_zeros_are_raised_to_the_floor_and_a_constant_map_has_no_boundary(rng):
    values = rng.lognormal(size=(3, 16, 16))
    values[0, :4] = 0
    values[1] = 7.0
    maps = MapStack(values, 25.0)
    assert floor_of(maps) == pytest.approx(values[values > 0].min() / 10)
    found = minkowski_functionals(maps, floor_of(maps))
    assert np.isfinite(found.vectors).all()
    np.testing.assert_array_equal(found.area[1], (THRESHOLDS <= 0).astype(float))
    assert not found.boundary[1].any()
    assert not found.euler[1].any()


def test_a_map_that_is_not_finite_is_named(rng):
    values = rng.normal(size=(5, 8, 8))
    values[3, 2, 2] = np.nan
    with pytest.raises(InputError, match="generated map 3 holds NaN"):
        minkowski_functionals(MapStack(values, 25.0, physical=False, what="generated map"), None)
