"""Universes that no model was trained on: many realisations at a few cosmologies, as truth for its samples.

Cosmologies and initial fields are fixed, so that runs with universes of the same sizes share one cached set, whatever
their training set.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.config.blocks.data import DataBlock
from focus_engine.errors import InputError
from focus_engine.simulation.cache import folder_in_cache, layout_of
from focus_engine.simulation.designs import DEFAULT_RANGES, sobol
from focus_engine.simulation.universes import (
    FinishedUniverses,
    SimulationProgress,
    UniverseSet,
    fill_universes,
    plan_universes,
)

HELD_BACK_SEED = 6_271_830_599_403_715_221
"""Seed of held-back cosmologies and initial fields; far from seeds that people give (see `_seed`)."""

_CANDIDATES = 1024  # points of the sequence among which those inside the training range are sought
_NEAREST = 1e-3  # of the default range: a cosmology this close to a known one in every parameter is left out


def held_back_cosmologies(count: int, low: ArrayLike, high: ArrayLike, known: ArrayLike) -> NDArray[np.float64]:
    """Return cosmologies inside the training range that are not those of known simulations, (count, 2).

    They are the first points of a fixed Sobol sequence over `DEFAULT_RANGES` that qualify: the same for all models
    whose training range contains them, and evenly spread for any count.

    Args:
        count: number of cosmologies.
        low: (2,) lowest Omega_m and sigma_8 of the training simulations.
        high: (2,) the highest.
        known: (n, 2) Omega_m and sigma_8 of the simulations to keep away from.

    Raises:
        InputError: `count` is below 1, or the training range holds fewer points of the sequence.
    """
    if count < 1:
        raise InputError(f"cosmologies = {count}: give at least 1")
    first, last = np.array(list(DEFAULT_RANGES.values())).T
    points = (first + (last - first) * sobol(_CANDIDATES, 2, HELD_BACK_SEED)).round(5)
    inside = ((points >= low) & (points <= high)).all(axis=1)
    distance = np.abs(points[:, None] - np.asarray(known)[None]) / (last - first)
    away = distance.max(axis=2).min(axis=1) > _NEAREST
    found: NDArray[np.float64] = points[inside & away]
    if len(found) < count:
        raise InputError(
            f"cosmologies = {count}: the range of the training simulations holds {len(found)} held-back cosmologies; "
            "give fewer"
        )
    return found[:count]


def plan_held_back(data: DataBlock, cosmologies: NDArray[np.float64], realisations: int) -> UniverseSet:
    """Return the set of `realisations` universes at each cosmology (M, 2), cosmology by cosmology.

    Its universes have the sizes of a data block and initial fields other than those of the block's own universes.

    Raises:
        InputError: `realisations` is below 1.
    """
    if realisations < 1:
        raise InputError(f"universes = {realisations}: give at least 1")
    params = np.repeat(cosmologies, realisations, axis=0)
    return plan_universes(len(params), layout_of(data), _seed(data), None, params, "cpu")


def simulate_held_back(
    data: DataBlock, cosmologies: NDArray[np.float64], realisations: int, cache_dir: Path | None = None
) -> Generator[SimulationProgress, None, FinishedUniverses]:
    """Simulate held-back universes, or find them in the cache; yield progress and return the set.

    May be interrupted: the same call continues. Always runs on the CPU, as the universes of a data block do.

    Raises:
        InputError: `realisations` is below 1 (raised at the call).
        FocusError: the files can't be written.
    """
    wanted = plan_held_back(data, cosmologies, realisations)
    sizes = f"held_back_{len(cosmologies)}x{realisations}x{data.maps_per_simulation}"
    return fill_universes(folder_in_cache(sizes, wanted, cache_dir), wanted)


def _seed(data: DataBlock) -> int:
    """Return the seed of held-back universes, which is never that of the data block."""
    return HELD_BACK_SEED + (data.simulation_seed == HELD_BACK_SEED)
