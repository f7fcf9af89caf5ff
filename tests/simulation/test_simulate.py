from typing import Any

import numpy as np
import pytest

from focus_engine.errors import InputError
from focus_engine.simulation.cosmology import CRITICAL_DENSITY, Cosmology
from focus_engine.simulation.simulate import UniverseLayout, simulate_universe

pytestmark = pytest.mark.xdist_group("universes")  # its tests share a fixture that takes seconds

SMALL = UniverseLayout(grid=16, map_size=16)


def power_plane(maps: np.ndarray):
    contrast = maps / maps.mean(axis=(1, 2), keepdims=True) - 1
    return (np.abs(np.fft.fft2(contrast.astype(np.float64))) ** 2).mean(axis=0)


@pytest.fixture(scope="module")
def universes():
    return np.stack([simulate_universe(Cosmology(0.3, 0.8), UniverseLayout(32, 32), seed=seed) for seed in range(8)])


@pytest.mark.parametrize(
    ("omega_m", "layout"),
    [
        (0.1, SMALL),
        (0.5, UniverseLayout(grid=16, map_size=20, box_size=40.0, maps_per_simulation=9)),
        (0.3, UniverseLayout(grid=8, map_size=32, box_size=10.0, maps_per_simulation=3)),
    ],
)
def test_maps_have_the_shape_mass_and_mean_of_their_universe(omega_m: float, layout: UniverseLayout):
    maps = simulate_universe(Cosmology(omega_m, 0.8), layout, seed=1)
    assert maps.dtype == np.float32
    assert maps.shape == (layout.maps_per_simulation, layout.map_size, layout.map_size)
    assert maps.min() > 0
    per_axis = maps.astype(np.float64).reshape(3, -1)
    depth = layout.box_size / (layout.maps_per_simulation / 3)
    np.testing.assert_allclose(per_axis.mean(axis=1), omega_m * 2.775e11 * depth, rtol=1e-6)
    pixel = (layout.box_size / layout.map_size) ** 2
    np.testing.assert_allclose(per_axis.sum(axis=1) * pixel, omega_m * CRITICAL_DENSITY * layout.box_size**3, rtol=1e-6)


def test_same_seed_same_bytes_another_seed_another_universe():
    first, again, other = (simulate_universe(Cosmology(0.3, 0.8), SMALL, seed=seed) for seed in (7, 7, 8))
    assert first.tobytes() == again.tobytes()
    assert np.corrcoef(np.log(first).ravel(), np.log(other).ravel())[0, 1] < 0.3


def test_more_sigma_8_more_power_from_the_same_seed():
    powers = []
    for sigma_8 in (0.6, 0.8, 1.0):
        plane = power_plane(simulate_universe(Cosmology(0.3, sigma_8), SMALL, seed=2))
        powers.append(plane[:5, 1:5].mean())
    assert powers[0] < powers[1] < powers[2]


def test_axes_are_equal_in_the_mean(universes: np.ndarray):
    # Scatter between the axes of one universe, compared with that between universes.
    spread = np.log10(universes).reshape(8, 3, -1).std(axis=2)
    assert abs(spread.mean(axis=0) - spread.mean()).max() < 3 * spread.std() / 8**0.5


def test_slabs_are_equal_in_the_mean(universes: np.ndarray):
    share = universes.astype(np.float64).mean(axis=(2, 3)).reshape(8, 3, 5)
    share /= share.mean(axis=2, keepdims=True)
    per_slab = share.reshape(24, 5)
    assert (abs(per_slab.mean(axis=0) - 1) < 4 * per_slab.std(axis=0) / 24**0.5).all()


def test_power_on_the_axes_equals_power_on_the_diagonals(universes: np.ndarray):
    # log10 gives voids, where lattice effects show, as much weight as haloes; the sampling error is 5 %.
    plane = power_plane(np.log10(universes).reshape(-1, 32, 32))
    frequency = np.fft.fftfreq(32) * 32
    x, y = np.meshgrid(frequency, frequency)
    k, turn = np.hypot(x, y), np.abs(np.sin(2 * np.arctan2(y, x)))
    middle = (k > 3) & (k < 11)
    steep = plane * k**2.5  # removes the slope, so that the radii within the bin do not matter
    ratio = steep[middle & (turn < 0.38)].mean() / steep[middle & (turn > 0.92)].mean()
    assert 0.8 < ratio < 1.3
    assert plane[1:, 0].mean() == pytest.approx(plane[0, 1:].mean(), rel=0.3)


def test_maps_look_like_the_cosmic_web(universes: np.ndarray):
    # CAMELS Mcdm at 256²: log10 has mean 10.97 and std 0.51; coarser pixels are narrower.
    logs = np.log10(universes)
    assert 11.0 < logs.mean() < 11.5
    assert 0.35 < logs.std() < 0.55
    assert (universes > 0).all()


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({"grid": 2}, "grid"),
        ({"map_size": 1000}, "map_size"),
        ({"box_size": -1.0}, "box_size"),
        ({"box_size": float("inf")}, "box_size"),
        ({"maps_per_simulation": 10}, "maps_per_simulation"),
        ({"maps_per_simulation": 0}, "maps_per_simulation"),
    ],
)
def test_impossible_sizes_are_refused_by_name(sizes: dict[str, Any], named: str):
    with pytest.raises(InputError, match=named):
        UniverseLayout(**sizes)
