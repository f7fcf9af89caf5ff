"""The default data set: universes that FOCUS simulates once and finds again in a cache folder.

A set is found by what it is: the folder's name tells its sizes and ends in a fingerprint of all arguments, so that
another seed, or another revision of the physics, never meets the files of this one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from pathlib import Path

from focus_engine.cache import cache_folder
from focus_engine.config.schema import DataBlock
from focus_engine.simulation.folder import UniverseFolder
from focus_engine.simulation.simulate import UniverseLayout
from focus_engine.simulation.universes import (
    FinishedUniverses,
    SimulationProgress,
    plan_universes,
    simulate_universes,
)


def cached_universes_folder(data: DataBlock, cache_dir: Path | None = None) -> UniverseFolder:
    """Where the simulated universes of a data block are or will be; opens nothing.

    Raises:
        InputError: sizes of which no universe can be made.
    """
    arguments = plan_universes(data.simulations, _layout(data), data.simulation_seed, None, None, "cpu").arguments
    fingerprint = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:8]
    name = (
        f"{data.simulations}x{data.maps_per_simulation}_grid{data.grid}_map{data.map_size}"
        f"_box{data.box_size:g}_seed{data.simulation_seed}_{fingerprint}"
    )
    return UniverseFolder((cache_dir or cache_folder()) / "universes" / name)


def simulate_cached_universes(
    data: DataBlock, cache_dir: Path | None = None
) -> Generator[SimulationProgress, None, FinishedUniverses]:
    """Make or find the simulated universes of a data block; yield progress and return them.

    Always on the CPU, so that a data set is the same bytes on every machine of a user. When another process makes
    the same set, this one waits and reports what the other has done.

    Raises:
        InputError: at the call, sizes of which no universe can be made.
        FocusError: when the disk refuses.
    """
    folder = cached_universes_folder(data, cache_dir)
    return simulate_universes(
        folder.path, simulations=data.simulations, layout=_layout(data), seed=data.simulation_seed
    )


def _layout(data: DataBlock) -> UniverseLayout:
    return UniverseLayout(data.grid, data.map_size, data.box_size, data.maps_per_simulation)
