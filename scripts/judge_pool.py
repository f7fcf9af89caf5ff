"""The pool of true maps on which the judge is judged, and what the statistics measure of them.

The pool holds several universes at each of 100 parameter points, simulated once and resumed after an interruption.
Maps are measured once; trials take rows of the measurements, which are cached beside the maps.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.config.statistics import STATISTICS, StatisticSpec, statistics_of
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.protocol import statistic_of

Array = NDArray[np.float64]
Maps = NDArray[np.float32]
Index = NDArray[np.intp]

POINTS = 100
PER_BLOCK = 2
"""Universes at each point in one set on disk; a pool has several sets, of different seeds."""

SLABS = 15
"""Maps of a universe: 5 slabs along each axis."""

GRID, SIDE, BOX_SIZE = 32, 64, 25.0


@dataclass(frozen=True, eq=False)
class Pool:
    """True maps of independent universes at each parameter point.

    Attributes:
        params: (G, 2) Omega_m and sigma_8 of the points.
        maps: (U, G, M, H, W) maps of universe u at point g.
        training: (G, M, H, W) maps of one more universe at each point, which only the memorising generator returns.
        box_size: side of the maps [Mpc/h].
    """

    params: Array
    maps: Maps
    training: Maps
    box_size: float = BOX_SIZE

    @property
    def universes(self) -> int:
        """Number of universes at each point."""
        return len(self.maps)

    @property
    def rows(self) -> Index:
        """Row of each map in the flat stack, (U, G, M)."""
        return np.arange(np.prod(self.maps.shape[:3]), dtype=np.intp).reshape(self.maps.shape[:3])

    @property
    def flat(self) -> Maps:
        """All maps (U·G·M, H, W)."""
        return self.maps.reshape(-1, *self.maps.shape[3:])

    def stack(self, maps: Maps) -> MapStack:
        """Return maps (…, H, W) as the statistics read them."""
        side = maps.shape[-2:]
        return MapStack(maps.reshape(-1, *side), self.box_size, training=self.training.reshape(-1, *side))


def judged_statistics() -> list[StatisticSpec]:
    """Return the statistics of one field."""
    return list(statistics_of(pair=False).values())


def sobol_points() -> Array:
    """Return the parameter points (100, 2), a Sobol sequence in the LH range less a margin of 5 %."""
    from scipy.stats import qmc  # a second of CPU, which the tests of this file do without

    low, high = np.array([0.12, 0.62]), np.array([0.48, 0.98])
    return np.asarray((low + (high - low) * qmc.Sobol(2, seed=7).random(128)[:POINTS]).round(5))


def simulated_pool(folder: Path, universes: int) -> Pool:
    """Return a pool of `universes` at each point, and one more for training; simulate what is missing.

    A universe of 32³ particles takes about a second of one core.
    """
    from focus_engine.simulation.simulate import UniverseLayout
    from focus_engine.simulation.universes import simulate_universes

    params, layout = sobol_points(), UniverseLayout(GRID, SIDE, BOX_SIZE, SLABS)
    table, blocks = np.tile(params, (PER_BLOCK, 1)), []
    for block in range(-(-(universes + 1) // PER_BLOCK)):
        where = folder / f"pool{block}"
        for progress in simulate_universes(
            where, simulations=len(table), layout=layout, seed=1000 + block, params=table
        ):
            if progress.done % 20 == 0:
                print(f"{where}: {progress.done} of {progress.total} universes", flush=True)
        blocks.append(np.load(where / "maps.npy").reshape(PER_BLOCK, POINTS, SLABS, SIDE, SIDE))
    maps = np.concatenate(blocks)[: universes + 1]
    return Pool(params, maps[:-1], maps[-1])


class Measurements:
    """What each statistic measures of sets of maps, in the bins of the pool, cached in a folder."""

    def __init__(self, pool: Pool, folder: Path | None) -> None:
        """Remember the pool, in whose bins all maps are measured."""
        self.pool, self.folder = pool, folder
        self._bins: dict[str, Any] = {}
        self._digest = hashlib.sha256(pool.flat[::97].tobytes() + str(pool.maps.shape).encode()).hexdigest()

        self._pool: dict[str, Any] = {}

    def of_pool(self) -> dict[str, Any]:
        """Return the measurement of all maps of the pool."""
        self._pool = self._pool or self.of("pool", self.pool.flat)
        return self._pool

    def of(self, name: str, maps: Maps) -> dict[str, Any]:
        """Return the measurement of maps (N, H, W) by each statistic that measures; `name` is that of the set."""
        digest = self._digest + hashlib.sha256(maps.tobytes()).hexdigest()
        sources = dict.fromkeys(spec.measured_by or spec.name for spec in judged_statistics())
        return {source: self._one(source, name, maps, digest) for source in sources}

    def _one(self, source: str, name: str, maps: Maps, digest: str) -> Any:  # noqa: ANN401 - each statistic has its own type
        module = importlib.import_module(STATISTICS[source].module)
        key = hashlib.sha256((inspect.getsource(module) + digest).encode()).hexdigest()[:12]
        file = None if self.folder is None else self.folder / f"{name}-{source}-{key}.pickle"
        if file is not None and file.exists():
            return pickle.loads(file.read_bytes())  # noqa: S301 - this script wrote it
        began = time.process_time()
        measured = statistic_of(STATISTICS[source]).measure(self.pool.stack(maps), self._shared(source))
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_suffix(".unfinished")
            unfinished.write_bytes(pickle.dumps(measured, protocol=5))
            unfinished.replace(file)
            print(f"{name}: {source} of {len(maps)} maps, {time.process_time() - began:.1f} CPU s", flush=True)
        return measured

    def _shared(self, source: str) -> Any:  # noqa: ANN401
        if source not in self._bins:
            whole = self.pool.stack(self.pool.flat)
            self._bins[source] = statistic_of(STATISTICS[source]).bins(whole, whole)
        return self._bins[source]
