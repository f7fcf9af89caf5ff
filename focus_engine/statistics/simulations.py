"""Grouping maps by the simulation they were cut from: random halves and bootstrap samples.

The maps of one simulation show the same structures and share their parameters, so everything that is split
or resampled is split or resampled by simulation, never by map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import InputError

Array = NDArray[np.float64]

DRAWS = 200  # random halvings, and bootstrap samples; their medians are then known to a few per cent


@dataclass(frozen=True)
class Simulations:
    """Which simulation each of `n_maps` maps belongs to."""

    index: NDArray[np.intp]  # (n_maps,): 0 … n_simulations − 1
    sizes: NDArray[np.intp]  # (n_simulations,): maps in each

    @classmethod
    def of(cls, simulation_ids: ArrayLike, n_maps: int) -> Simulations:
        """Group maps by their simulation ids (n_maps,).

        Raises:
            InputError: when there is not one id a map.
        """
        ids = np.asarray(simulation_ids)
        if ids.shape != (n_maps,):
            raise InputError(f"simulation ids have shape {ids.shape} for {n_maps} maps; one id a map is needed")
        _, index, sizes = np.unique(ids, return_inverse=True, return_counts=True)
        return cls(index.reshape(-1).astype(np.intp), sizes.astype(np.intp))

    @property
    def count(self) -> int:
        """How many simulations there are."""
        return int(self.sizes.size)

    def totals(self, values: ArrayLike) -> Array:
        """Add up values (n_maps, …) within each simulation: (n_simulations, …)."""
        values = np.asarray(values, dtype=np.float64)
        totals = np.zeros((self.count, *values.shape[1:]))
        np.add.at(totals, self.index, values)
        return totals

    def halves(self, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield `DRAWS` random halvings as two arrays of simulations; nothing when there is only one."""
        rng = np.random.default_rng([seed, 1])
        for _ in range(DRAWS if self.count > 1 else 0):
            order = rng.permutation(self.count)
            yield order[: self.count // 2], order[self.count // 2 :]

    def bootstrap(self, seed: int) -> Iterator[NDArray[np.intp]]:
        """Yield `DRAWS` samples of the simulations with replacement; nothing when there is only one."""
        rng = np.random.default_rng([seed, 2])
        for _ in range(DRAWS if self.count > 1 else 0):
            yield rng.integers(self.count, size=self.count)

    def map_halves(self, seed: int) -> Iterator[NDArray[np.bool_]]:
        """Yield `DRAWS` times which maps (n_maps,) fall into the first half of their own simulation.

        Both halves of a simulation have equal parameters. A simulation of odd size gives the spare map to the
        second half. Nothing is yielded when a simulation has a single map.
        """
        rng = np.random.default_rng([seed, 3])
        for _ in range(DRAWS if self.sizes.min() > 1 else 0):
            order = np.lexsort((rng.random(self.index.size), self.index))
            rank = np.empty(self.index.size, dtype=np.intp)
            rank[order] = np.arange(self.index.size) - np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
            yield rank < self.sizes[self.index] // 2
