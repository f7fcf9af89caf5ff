import numpy as np
import pytest
import torch

from focus_engine.simulation.painting import refinement, surface_density

SIZES = {"box_size": 20.0, "slabs": 5, "mean_density": 3.0}


def random_displacement(grid: int, scale: float, seed: int = 0):
    return torch.randn(3, grid, grid, grid, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("scale", [0.0, 0.5, 70.0])
@pytest.mark.parametrize(("map_size", "factor"), [(8, 3), (12, 2), (5, 4)])
def test_each_axis_holds_all_the_mass(scale: float, map_size: int, factor: int):
    maps = surface_density(random_displacement(8, scale), map_size=map_size, factor=factor, **SIZES)
    assert maps.shape == (15, map_size, map_size)
    pixel = (20.0 / map_size) ** 2
    masses = maps.double().reshape(3, -1).sum(1) * pixel
    np.testing.assert_allclose(masses, 3.0 * 20.0**3, rtol=1e-6)


def test_matter_at_rest_is_even():
    maps = surface_density(torch.zeros(3, 10, 10, 10), map_size=10, factor=8, **SIZES)
    torch.testing.assert_close(maps, torch.full_like(maps, 3.0 * 4.0), rtol=0.02, atol=0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_of_matter_shifts_maps_and_slabs(axis: int):
    still = random_displacement(10, 0.3)
    moved = still.clone()
    moved[axis] += 8.0  # two slabs, and four pixels of 2 Mpc/h
    before, after = (
        surface_density(matter, map_size=10, factor=8, **SIZES).reshape(3, 5, 10, 10) for matter in (still, moved)
    )
    for seen in range(3):
        if seen == axis:
            expected = before[seen].roll(2, 0)
        else:
            in_plane = [other for other in range(3) if other != seen].index(axis)
            expected = before[seen].roll(4, 1 + in_plane)
        # Points within rounding error of an edge may change pixel.
        torch.testing.assert_close(after[seen], expected, rtol=0, atol=0.2)


def test_a_void_is_not_empty():
    # All particles leave the middle of the box; the sheet still crosses it.
    grid = 16
    phase = 2 * torch.pi * torch.arange(grid) / grid
    displacement = torch.zeros(3, grid, grid, grid)
    for axis in range(3):
        displacement[axis] = (-2.9 * phase.sin()).reshape([-1 if other == axis else 1 for other in range(3)])
    maps = surface_density(displacement, map_size=16, factor=refinement(grid, 16, 5), **SIZES)
    assert float(maps.min()) > 0
    assert float(maps.max() / maps.min()) > 100


@pytest.mark.parametrize("grid", [8, 32, 64])
@pytest.mark.parametrize("map_size", [16, 32, 128])
def test_refinement_gives_enough_points(grid: int, map_size: int):
    factor = refinement(grid, map_size, 5)
    assert (grid * factor) ** 3 / (5 * map_size**2) >= 699
    assert factor == 2 or (grid * (factor - 1)) ** 3 / (5 * map_size**2) < 701
