"""Simulation of one universe: maps of projected density in the layout of CAMELS, from a cosmology and a seed.

This data set needs no download: a particle-mesh run from a = 0.05 to today, then a projection of the matter sheet in
slabs along the three axes. The mesh has one cell per particle: linear growth is accurate to 2 % down to six cells per
wavelength, and haloes are softened at the particle spacing. A mesh twice as fine was tried; it costs three times as
much and resolves the lattice. At eight of its cells per wavelength growth is a quarter too fast, and P(k) of log
density along the axes exceeds that along the diagonals by a quarter.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from focus_engine.config.laws import universe_laws
from focus_engine.errors import InputError
from focus_engine.simulation.cosmology import Cosmology
from focus_engine.simulation.mesh import Mesh
from focus_engine.simulation.nbody import Particles, evolve, initial_particles, linear_density
from focus_engine.simulation.painting import refinement, surface_density

START = 0.05
"""Scale factor of the 2LPT start: later starts lose small-scale power, earlier ones show lattice effects."""

STEPS = 20
"""Equal steps in a: P(k) of 32² maps is within 4 % of 200 steps at Nyquist, within 2 % below half of it."""

_MIN_GRID, _MAX_GRID = 4, 1024


@dataclass(frozen=True)
class UniverseLayout:
    """The sizes of one universe and of its maps.

    Attributes:
        grid: particles per side.
        map_size: pixels per side of a map, independent of the grid.
        box_size: side of the periodic box in comoving Mpc/h.
        maps_per_simulation: 3 × the number of slabs per axis; a slab is box_size / slabs deep.

    Raises:
        InputError: no universe can be made with these sizes.
    """

    grid: int = 32
    map_size: int = 32
    box_size: float = 25.0
    maps_per_simulation: int = 15

    def __post_init__(self) -> None:
        if not _MIN_GRID <= self.grid <= _MAX_GRID:
            raise InputError(f"grid = {self.grid}: the particles per side must be between {_MIN_GRID} and {_MAX_GRID}")
        if self.map_size < 2:
            raise InputError(f"map_size = {self.map_size}: a map has at least 2 pixels per side")
        if not (math.isfinite(self.box_size) and self.box_size > 0):
            raise InputError(f"box_size = {self.box_size:g}: the box's side in Mpc/h must be a positive number")
        for holds, message, _ in universe_laws(self.grid, self.map_size, self.maps_per_simulation, block=""):
            if not holds:
                raise InputError(message)

    @property
    def slabs(self) -> int:
        """Number of slabs of equal depth along each axis."""
        return self.maps_per_simulation // 3


def particle_history(
    cosmology: Cosmology, layout: UniverseLayout, seed: int, device: torch.device, steps: int = STEPS
) -> Iterator[Particles]:
    """Yield the particles of one universe after each leapfrog step; the last are at a = 1."""
    density = linear_density(cosmology, grid=layout.grid, box_size=layout.box_size, seed=seed, device=device)
    mesh = Mesh(layout.grid, layout.box_size, device)
    particles = initial_particles(cosmology, density, mesh, START)
    yield from evolve(cosmology, particles, mesh, np.linspace(START, 1.0, steps + 1)[1:].tolist())


def project(cosmology: Cosmology, layout: UniverseLayout, particles: Particles) -> NDArray[np.float32]:
    """Return matter maps, (maps_per_simulation, M, M) in (M☉/h)/(Mpc/h)²: the slabs of axis 0, then 1, then 2."""
    maps = surface_density(
        particles.displacement,
        box_size=layout.box_size,
        map_size=layout.map_size,
        slabs=layout.slabs,
        mean_density=cosmology.mean_density,
        factor=refinement(layout.grid, layout.map_size, layout.slabs),
    )
    return maps.cpu().numpy()


def simulate_universe(
    cosmology: Cosmology, layout: UniverseLayout, *, seed: int, device: str = "cpu"
) -> NDArray[np.float32]:
    """Return maps of one universe at z = 0, (maps_per_simulation, map_size, map_size) in (M☉/h)/(Mpc/h)².

    The maps of an axis average to Omega_m ρ_c × the depth of a slab. The same cosmology, layout and seed
    (0 … 2⁶⁴ − 1) on the same kind of device give the same bytes, with any number of threads.
    """
    today = deque(particle_history(cosmology, layout, seed, torch.device(device)), maxlen=1).pop()
    return project(cosmology, layout, today)
