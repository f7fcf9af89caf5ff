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
from focus_engine.config.blocks.data import DataBlock
from focus_engine.config.designs import DEFAULT_DESIGN
from focus_engine.simulation.folder import UniverseFolder
from focus_engine.simulation.simulate import UniverseLayout
from focus_engine.simulation.universes import (
    FinishedUniverses,
    SimulationProgress,
    UniverseSet,
    plan_universes,
    simulate_universes,
)


def cached_universes_folder(data: DataBlock, cache_dir: Path | None = None) -> UniverseFolder:
    """Return the folder of a data block's simulated universes, whether or not it exists yet.

    Raises:
        InputError: no universe can be made with these sizes.
    """
    return folder_in_cache(f"{data.simulations}x{data.maps_per_simulation}", universes_of(data), cache_dir)


def universes_of(data: DataBlock) -> UniverseSet:
    """Return the simulated universes that a data block asks for. Raises InputError if there are none of these sizes."""
    return plan_universes(data.simulations, layout_of(data), data.simulation_seed, None, None, "cpu")


def folder_in_cache(sizes: str, wanted: UniverseSet, cache_dir: Path | None) -> UniverseFolder:
    """Return the folder of a set in the cache: `sizes` names its numbers, a fingerprint tells all its arguments."""
    layout, design = wanted.layout, ("design", DEFAULT_DESIGN)
    arguments = dict(pair for pair in wanted.arguments.items() if pair != design)  # as before there were designs
    fingerprint = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:8]
    name = f"{sizes}_grid{layout.grid}_map{layout.map_size}_box{layout.box_size:g}_seed{wanted.seed}_{fingerprint}"
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
        folder.path, simulations=data.simulations, layout=layout_of(data), seed=data.simulation_seed
    )


def layout_of(data: DataBlock) -> UniverseLayout:
    """Return the sizes of the universes of a data block."""
    return UniverseLayout(data.grid, data.map_size, data.box_size, data.maps_per_simulation)
