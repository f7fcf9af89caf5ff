"""N-body dynamics: Gaussian initial field, 2LPT initial conditions, leapfrog in the scale factor.

Lengths are comoving Mpc/h. A particle is stored as its displacement from a site of a cubic lattice, so that positions
never wrap. Momenta are p = a² dx/dt in units of H_0. Noise is drawn on the CPU, so that a seed gives the same initial
field on every device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from focus_engine.simulation.cosmology import Cosmology
from focus_engine.simulation.mesh import Mesh, to_space, to_waves


@dataclass(frozen=True)
class Particles:
    """The state of all particles, as a displaced lattice.

    Attributes:
        displacement: comoving Mpc/h from the lattice site, (3, N, N, N) float32.
        momentum: a² dx/dt / H_0 in Mpc/h, (3, N, N, N) float32.
        scale_factor: a, 1 today.
    """

    displacement: Tensor
    momentum: Tensor
    scale_factor: float


def linear_density(cosmology: Cosmology, *, grid: int, box_size: float, seed: int, device: torch.device) -> Tensor:
    """Return a Gaussian density contrast of linear theory today: (N, N, N) float32 with spectrum P(k), mean zero."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(grid, grid, grid, generator=generator).to(device)
    k = Mesh(grid, box_size, torch.device("cpu")).k_squared.sqrt()
    # White noise of unit variance has P = (L/N)³.
    power = torch.from_numpy(cosmology.linear_power(k.numpy())) * (grid / box_size) ** 3
    spectrum = to_waves(noise) * power.sqrt().float().to(device)
    return to_space(spectrum, grid)


def initial_particles(
    cosmology: Cosmology, density: Tensor, mesh: Mesh, scale_factor: float, order: int = 2
) -> Particles:
    """Return the particles at an early `scale_factor` from the linear `density` of today, (N, N, N).

    `order` 1 is the Zel'dovich approximation, 2 adds second-order Lagrangian perturbation theory as in Crocce,
    Pueblas & Scoccimarro 2006 (MNRAS 373, 369), eqs 2–8, with D₂ = −3/7 D² Ω_m(a)^(−1/143), f₂ = 2 Ω_m(a)^(6/11).
    """
    a = scale_factor
    to_momentum = a**2 * cosmology.expansion(a)  # times d ln D/d ln a: p = a² E f ψ
    spectrum = to_waves(density)
    displacement = cosmology.growth(a) * mesh.displacement(spectrum)
    momentum = to_momentum * cosmology.growth_rate(a) * displacement
    if order > 1:
        matter = cosmology.matter_fraction(a)
        source = to_waves(mesh.second_order_source(spectrum))
        amplitude = 3 / 7 * cosmology.growth(a) ** 2 * matter ** (-1 / 143)
        second = amplitude * mesh.displacement(source)
        displacement = displacement + second
        momentum = momentum + to_momentum * 2 * matter ** (6 / 11) * second
    return Particles(displacement, momentum, a)


def evolve(
    cosmology: Cosmology, particles: Particles, mesh: Mesh, scale_factors: Sequence[float]
) -> Iterator[Particles]:
    """Yield the particles at each of the ascending `scale_factors`, by kick-drift-kick steps.

    The factors of FastPM (Feng et al. 2016, MNRAS 463, 2273, eqs 14–21) make linear growth exact for any step
    length and converge to Quinn's ∫da/(a² E), ∫da/(a³ E) for short steps.
    """
    pull = mesh.force(particles.displacement)
    for a_next in scale_factors:
        a = particles.scale_factor
        middle = 0.5 * (a + a_next)
        momentum = particles.momentum + _kick(cosmology, a, a, middle) * pull
        drift = (cosmology.growth(a_next) - cosmology.growth(a)) / _linear_momentum(cosmology, middle)
        displacement = particles.displacement + drift * momentum
        pull = mesh.force(displacement)
        momentum = momentum + _kick(cosmology, a_next, middle, a_next) * pull
        particles = Particles(displacement, momentum, a_next)
        yield particles


def _linear_momentum(cosmology: Cosmology, a: float) -> float:
    """Return the momentum p per unit of linear displacement today: a³ E dD/da = a² E f D."""
    return a**2 * cosmology.expansion(a) * cosmology.growth_rate(a) * cosmology.growth(a)


def _kick(cosmology: Cosmology, a_force: float, a_from: float, a_to: float) -> float:
    """Return the change of momentum between two scale factors per unit of `Mesh.force` at `a_force`."""
    gained = _linear_momentum(cosmology, a_to) - _linear_momentum(cosmology, a_from)
    return gained / cosmology.growth(a_force)
