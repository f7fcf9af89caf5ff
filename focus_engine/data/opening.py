"""Opening the maps that a config's data block describes, after simulating them if necessary."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from focus_engine.config.schema import Config
from focus_engine.data.locate import resolve_map_paths
from focus_engine.data.maps import MapSet, StoredValues, open_map_set
from focus_engine.events.table import DataProgress
from focus_engine.progress import relay

if TYPE_CHECKING:
    from focus_engine.simulation.universes import SimulationProgress


def open_maps(config: Config, config_dir: Path) -> Generator[DataProgress, None, MapSet]:
    """Open the maps of a config, simulating universes first if necessary; yield progress and return the maps.

    Raises:
        InputError: the files are missing or do not match the config.
        FocusError: the simulated maps can't be written.
    """
    block = config.data
    if block.source == "files":
        maps_paths, params_path = resolve_map_paths(block, config_dir)
    else:
        # This imports torch, over a second, which `focus doctor` does without for maps in files.
        from focus_engine.simulation.cache import simulate_cached_universes  # noqa: PLC0415

        universes = yield from relay(simulate_cached_universes(block), as_event)
        maps_paths, params_path = (universes.maps_path,), universes.params_path
    return open_stored(config, maps_paths, params_path)


def open_stored(config: Config, maps_paths: Sequence[Path], params_path: Path) -> MapSet:
    """Open maps that are on disk as the data block of a config describes them. Raises InputError as `open_map_set`."""
    block = config.data
    return open_map_set(
        maps_paths,
        params_path,
        box_size=block.box_size,
        maps_per_simulation=block.maps_per_simulation,
        params=block.params,
        cond_dim=config.model.cond_dim,
        in_channels=config.model.in_channels,
        maps_key=block.maps_key if block.source == "files" else None,
        fields=block.fields,
        units=block.units,
        stored=StoredValues(block.stored_as, block.stored_mean, block.stored_std),
    )


def as_event(progress: SimulationProgress) -> tuple[DataProgress]:
    """Return the progress of a set of universes as events of a log."""
    what = "waiting for universes of another run" if progress.waiting else "simulating universes"
    return (DataProgress(what=what, done=progress.done, total=progress.total),)


def spread(ids: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return `count` evenly spaced elements of `ids`, or all if there are fewer."""
    if len(ids) <= count:
        return ids
    return ids[np.linspace(0, len(ids) - 1, count).round().astype(np.int64)]
