import math

import numpy as np
import pytest
import torch

from focus_engine.simulation.cosmology import Cosmology, top_hat_variance
from focus_engine.simulation.mesh import Mesh
from focus_engine.simulation.nbody import evolve, initial_particles, linear_density

CPU = torch.device("cpu")
COSMOLOGY = Cosmology(0.3, 0.8)


def evolved(
    cosmology: Cosmology,
    density: torch.Tensor,
    box_size: float,
    *,
    end: float = 1.0,
    steps: int = 20,
    order: int = 2,
    begin: float = 0.05,
):
    mesh = Mesh(density.shape[0], box_size, CPU)
    particles = initial_particles(cosmology, density, mesh, begin, order)
    *_, last = evolve(cosmology, particles, mesh, np.linspace(begin, end, steps + 1)[1:].tolist())
    return last


def plane_wave(grid: int, amplitude: float, axis: int):
    phase = 2 * math.pi * torch.arange(grid) / grid
    shape = [1, 1, 1]
    shape[axis] = grid
    return (amplitude * phase.cos()).reshape(shape).expand(grid, grid, grid).contiguous()


@pytest.mark.parametrize(("grid", "axis", "order"), [(32, 0, 1), (32, 1, 2), (32, 2, 1), (64, 0, 2)])
def test_plane_wave_follows_zeldovich_until_sheets_cross(grid: int, axis: int, order: int):
    # Before crossing, x = q + D(a) ψ(q) is the exact solution; ψ has amplitude δ/k, and δ D = 1 is the crossing.
    box_size, amplitude, end = 10.0, 0.9, 0.7
    last = evolved(COSMOLOGY, plane_wave(grid, amplitude, axis), box_size, end=end, order=order)
    k = 2 * math.pi / box_size
    phase = (2 * math.pi * torch.arange(grid) / grid).reshape([-1 if other == axis else 1 for other in range(3)])
    exact = (-amplitude / k * phase.sin()).expand(grid, grid, grid)
    growth = COSMOLOGY.growth(end)
    speed = end**2 * COSMOLOGY.expansion(end) * COSMOLOGY.growth_rate(end) * growth
    scale = float(exact.abs().max())
    # The largest particle error comes from the mesh and halves with its cell size.
    assert float((last.displacement[axis] / growth - exact).abs().max()) < 1.2 / grid * scale
    assert float((last.momentum[axis] / speed - exact).abs().max()) < 1.6 / grid * scale
    others = [other for other in range(3) if other != axis]
    assert float(last.displacement[others].abs().max()) < 1e-4 * scale


@pytest.mark.parametrize(("waves", "tolerance"), [(1, 0.002), (3, 0.003), (5, 0.01), (8, 0.06)])
def test_waves_of_few_cells_grow_as_they_should_in_any_number_of_steps(waves: int, tolerance: float):
    grid = 32
    phase = 2 * math.pi * waves * torch.arange(grid) / grid
    density = (1e-3 * phase.cos()).reshape(grid, 1, 1).expand(grid, grid, grid).contiguous()
    expected = Mesh(grid, 10.0, CPU).displacement(torch.fft.rfftn(density))[0]
    for steps in (3, 20):
        grown = evolved(COSMOLOGY, density, 10.0, steps=steps).displacement[0]
        assert float((grown * expected).sum() / expected.square().sum()) == pytest.approx(1, abs=tolerance)


def test_large_scales_grow_linearly_in_a_simulation():
    box_size = 200.0
    density = linear_density(Cosmology(0.3, 0.3), grid=32, box_size=box_size, seed=5, device=CPU)
    mesh = Mesh(32, box_size, CPU)
    displacement = evolved(Cosmology(0.3, 0.3), density, box_size).displacement
    initial = torch.fft.rfftn(density)
    final = -sum(1j * k * torch.fft.rfftn(part) for k, part in zip(mesh.wavenumbers, displacement, strict=True))
    for wave, tolerance in ((3.5, 0.01), (5.5, 0.03)):
        large = (mesh.k_squared > 0) & (mesh.k_squared.sqrt() < wave * 2 * math.pi / box_size)
        ratio = (final * initial.conj()).real[large].sum() / initial.abs().square()[large].sum()
        assert float(ratio) == pytest.approx(1, abs=tolerance)


def test_momentum_is_conserved():
    density = linear_density(COSMOLOGY, grid=16, box_size=25.0, seed=1, device=CPU)
    last = evolved(COSMOLOGY, density, 25.0)
    total = last.momentum.double().mean(dim=(1, 2, 3)).abs().max()
    typical = last.momentum.double().square().mean().sqrt()
    assert float(total / typical) < 1e-5


def test_a_lattice_at_rest_stays():
    mesh = Mesh(8, 25.0, CPU)
    assert torch.equal(mesh.force(torch.zeros(3, 8, 8, 8)), torch.zeros(3, 8, 8, 8))


def test_deposited_mass_is_exact_and_moves_with_the_particles():
    mesh = Mesh(8, 25.0, CPU)
    displacement = torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(0)) * 40
    density = mesh.density(displacement)
    assert float(density.double().mean()) == pytest.approx(1, abs=1e-6)
    moved = displacement.clone()
    moved[1] += 2 * 25.0 / 8
    torch.testing.assert_close(mesh.density(moved), density.roll(2, 1), atol=1e-4, rtol=0)


def test_displacement_has_minus_the_density_as_divergence():
    mesh = Mesh(16, 25.0, CPU)
    density = linear_density(COSMOLOGY, grid=16, box_size=25.0, seed=2, device=CPU)
    # Nyquist modes have no first derivative; exclude them.
    inside = torch.stack([k.abs() < math.pi * 16 / 25.0 * 0.99 for k in torch.broadcast_tensors(*mesh.wavenumbers)])
    spectrum = torch.fft.rfftn(density) * inside.all(0)
    psi = mesh.displacement(spectrum)
    divergence = sum(1j * k * torch.fft.rfftn(part) for k, part in zip(mesh.wavenumbers, psi, strict=True))
    torch.testing.assert_close(divergence, -spectrum, atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize(("omega_m", "sigma_8"), [(0.1, 1.0), (0.5, 0.6)])
def test_initial_field_has_the_power_it_was_asked_for(omega_m: float, sigma_8: float):
    cosmology = Cosmology(omega_m, sigma_8)
    grid, box_size = 48, 150.0
    density = linear_density(cosmology, grid=grid, box_size=box_size, seed=3, device=CPU)
    k = Mesh(grid, box_size, CPU).k_squared.sqrt().numpy()
    measured = np.abs(torch.fft.rfftn(density).numpy()) ** 2 * box_size**3 / grid**6
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = measured / cosmology.linear_power(k)
    for low, high in ((0.2, 0.5), (0.5, 0.9)):
        modes = ratio[(k >= low) & (k < high)]
        assert modes.mean() == pytest.approx(1, abs=5 / modes.size**0.5 * 1.5)


def test_initial_field_has_its_sigma_8_in_spheres():
    grid, box_size = 64, 400.0
    density = linear_density(COSMOLOGY, grid=grid, box_size=box_size, seed=4, device=CPU)
    x = Mesh(grid, box_size, CPU).k_squared.sqrt().double() * 8
    window = torch.where(x > 0, 3 * (x.sin() - x * x.cos()) / x.clamp_min(1e-3) ** 3, 1.0)
    smoothed = torch.fft.irfftn(torch.fft.rfftn(density.double()) * window, s=density.shape)
    # The box holds no modes above its Nyquist frequency or below its side; compare the others.
    k = np.geomspace(2 * math.pi / box_size, math.pi * grid / box_size, 2000)
    expected = top_hat_variance(k, COSMOLOGY.linear_power(k), 8.0) ** 0.5
    assert float(smoothed.std()) == pytest.approx(expected, rel=0.04)
    assert expected == pytest.approx(0.8, rel=0.06)


def test_number_of_threads_does_not_change_a_bit():
    density = linear_density(COSMOLOGY, grid=16, box_size=25.0, seed=1, device=CPU)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(evolved(COSMOLOGY, density, 25.0, steps=5).displacement)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)
