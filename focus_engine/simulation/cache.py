"""The default data set: universes that FOCUS simulates once and keeps in a cache folder.

The folder's name gives the sizes of the set and ends in a fingerprint of all arguments. Another seed or another
revision of the physics therefore has another folder.
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
    """Return the folder of a data block's simulated universes, whether or not it exists yet.

    Raises:
        InputError: no universe can be made with these sizes.
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
    """Simulate the universes of a data block, or find them in the cache; yield progress and return them.

    Always runs on the CPU, so that a data set has the same bytes on every machine. If another process is simulating
    the same set, this one waits and reports the other's progress.

    Raises:
        InputError: no universe can be made with these sizes (raised at the call).
        FocusError: the files can't be written.
    """
    folder = cached_universes_folder(data, cache_dir)
    return simulate_universes(
        folder.path, simulations=data.simulations, layout=_layout(data), seed=data.simulation_seed
    )


def _layout(data: DataBlock) -> UniverseLayout:
    return UniverseLayout(data.grid, data.map_size, data.box_size, data.maps_per_simulation)
