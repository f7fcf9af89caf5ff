"""Universes that a training would first simulate: their time, and maps of their size to rehearse the training with."""

import math
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from focus_engine.allocator import keep_freed_memory, large_transforms
from focus_engine.config.schema import Config
from focus_engine.data.maps import MapSet
from focus_engine.data.opening import open_stored
from focus_engine.simulation.cache import cached_universes_folder, universes_of
from focus_engine.simulation.folder import parameter_table
from focus_engine.simulation.universes import UniverseSet, workers_for

LARGEST_GRID = 64
"""Particles a side of the universe that is timed; larger ones are scaled by n log n of their number n."""
DENSITY = 1e11
"""Mean of the maps that stand for simulated ones."""


@dataclass(frozen=True)
class UniversesAhead:
    """The universes of a training that are not simulated yet.

    Attributes:
        count: their number.
        seconds: the time to simulate them.
        wanted: the whole set.
    """

    count: int
    seconds: float
    wanted: UniverseSet


def universes_ahead(config: Config) -> UniversesAhead | None:
    """Return the universes that are missing and their time, from that of one; None where the maps are there.

    Raises:
        InputError: no universe can be made with these sizes, or their folder holds other data.
    """
    data = config.data
    if data.source == "files":
        return None
    folder = cached_universes_folder(data)
    wanted = universes_of(data)
    folder.check(wanted.arguments)
    if folder.is_finished():
        return None
    count = sum(not folder.holds(index) for index in range(data.simulations))
    return UniversesAhead(count, count * _seconds_each(wanted, count), wanted)


def _seconds_each(wanted: UniverseSet, count: int) -> float:
    """Return the seconds of a universe among `count`, of which several are made at a time."""
    grid, workers, threads = wanted.layout.grid, workers_for(wanted, count), torch.get_num_threads()
    small = replace(wanted, layout=replace(wanted.layout, grid=min(grid, LARGEST_GRID)))
    keep_freed_memory(one_heap=large_transforms(grid))
    torch.set_num_threads(threads if workers == 1 else 1)
    try:
        for _ in range(2):  # the first also loads what it needs
            began = time.perf_counter()
            small.simulate(0, threading.Event())
            seconds = time.perf_counter() - began
    finally:
        torch.set_num_threads(threads)
    ratio = (grid / small.layout.grid) ** 3 * math.log(grid) / math.log(small.layout.grid)
    return seconds * ratio / workers


def stand_in(config: Config, ahead: UniversesAhead, folder: Path, simulations: int) -> MapSet:
    """Write random maps of the size of `simulations` universes to `folder` and open them."""
    layout, draw = ahead.wanted.layout, np.random.default_rng(0)
    shape = (layout.maps_per_simulation, layout.map_size, layout.map_size)
    maps = np.lib.format.open_memmap(
        folder / "maps.npy", mode="w+", dtype=np.float32, shape=(simulations * shape[0], *shape[1:])
    )
    for first in range(0, len(maps), shape[0]):
        maps[first : first + shape[0]] = DENSITY * np.exp(draw.standard_normal(shape, dtype=np.float32))
    maps.flush()
    (folder / "params.txt").write_bytes(parameter_table(ahead.wanted.params[:simulations]))
    return open_stored(config, (folder / "maps.npy",), folder / "params.txt")
