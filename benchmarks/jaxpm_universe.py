"""Universes of JaxPM, one for each line on stdin: run by simulation.py with an interpreter that has jax and jaxpm.

2LPT at a = 0.05 and 20 leapfrog steps to today, compiled, with the forces of JaxPM: as many evaluations as FOCUS, on a
mesh of as many cells, from the same linear field. The first universe compiles.
"""

import json
import resource
import sys
import time
from itertools import pairwise

import jax
import jax.numpy as jnp
import jax_cosmo
import numpy as np
from jaxpm.pm import lpt, pm_forces

START, STEPS, OMEGA_M = 0.05, 20, 0.3


def factors() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two kicks and the drift of each step: integrals of da / (a² E) and da / (a³ E)."""

    def integral(power: int, low: float, high: float) -> float:
        a = np.linspace(low, high, 257)
        y = 1 / (a**power * np.sqrt(OMEGA_M * a**-3 + 1 - OMEGA_M))
        return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(a)))

    edges = np.linspace(START, 1, STEPS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    first = [integral(2, low, high) for low, high in zip(edges[:-1], middles, strict=True)]
    second = [integral(2, low, high) for low, high in zip(middles, edges[1:], strict=True)]
    drift = [integral(3, low, high) for low, high in pairwise(edges)]
    return np.array(first), np.array(second), np.array(drift)


@jax.jit
def universe(density: jax.Array) -> jax.Array:
    """Return the displacements today in cells, (N, N, N, 3)."""
    cosmology = jax_cosmo.Planck15(Omega_c=OMEGA_M - 0.049, Omega_b=0.049, h=0.6711, n_s=0.9624, sigma8=0.8)
    shift, momentum, _ = lpt(cosmology, density, a=START, order=2)

    def forces(shift: jax.Array) -> jax.Array:
        return 1.5 * OMEGA_M * pm_forces(shift, mesh_shape=density.shape, paint_absolute_pos=False)

    def step(state: tuple, factor: tuple) -> tuple:
        shift, momentum, pull = state
        first, second, drift = factor
        momentum = momentum + first * pull
        shift = shift + drift * momentum
        pull = forces(shift)
        return (shift, momentum + second * pull, pull), None

    (shift, _, _), _ = jax.lax.scan(step, (shift, momentum, forces(shift)), tuple(map(jnp.asarray, factors())))
    return shift


density = jnp.asarray(np.load(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for _ in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    shift = universe(density).block_until_ready()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {"wall": wall, "cpu": cpu, "peak_mib": peak, "before_mib": before, "rms_cells": float(jnp.std(shift))}
    print(json.dumps(row), flush=True)
