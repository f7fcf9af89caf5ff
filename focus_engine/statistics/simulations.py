"""Groups of maps by the simulation that they were cut from, and random halves of them.

The maps of one simulation show the same structures and share their parameters, so that sets are split by simulation.
Resampling is in `focus_engine.statistics.design`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import InputError

Array = NDArray[np.float64]

DRAWS = 200  # random halvings; their medians are then known to a few per cent


def shares_field(initial_field: ArrayLike, simulation: ArrayLike) -> bool:
    """Return whether simulations share their initial field, from the ids of both of each map, (n,) and (n,)."""
    fields, simulations = np.asarray(initial_field), np.asarray(simulation)
    first = np.unique(simulations, return_index=True)[1]
    return np.unique(fields[first]).size < first.size


@dataclass(frozen=True)
class Simulations:
    """The simulation of each of `n_maps` maps."""

    index: NDArray[np.intp]  # (n_maps,): 0 … n_simulations − 1
    sizes: NDArray[np.intp]  # (n_simulations,): number of maps in each

    @classmethod
    def of(cls, simulation_ids: ArrayLike, n_maps: int) -> Simulations:
        """Group maps by their simulation ids (n_maps,).

        Raises:
            InputError: there is not one id per map.
        """
        ids = np.asarray(simulation_ids)
        if ids.shape != (n_maps,):
            raise InputError(f"simulation ids have shape {ids.shape} for {n_maps} maps; one id per map is needed")
        _, index, sizes = np.unique(ids, return_inverse=True, return_counts=True)
        return cls(index.reshape(-1).astype(np.intp), sizes.astype(np.intp))

    @property
    def count(self) -> int:
        """Number of simulations."""
        return int(self.sizes.size)

    def totals(self, values: ArrayLike) -> Array:
        """Return the sums of values (n_maps, …) within each simulation, (n_simulations, …)."""
        values = np.asarray(values, dtype=np.float64)
        totals = np.zeros((self.count, *values.shape[1:]))
        np.add.at(totals, self.index, values)
        return totals

    def halves(self, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield `DRAWS` random halvings, each as two arrays of simulations; none when there is a single simulation."""
        rng = np.random.default_rng([seed, 1])
        for _ in range(DRAWS if self.count > 1 else 0):
            order = rng.permutation(self.count)
            yield order[: self.count // 2], order[self.count // 2 :]

    def map_halves(self, seed: int) -> Iterator[NDArray[np.bool_]]:
        """Yield `DRAWS` random masks (n_maps,) of the maps in the first half of their own simulation.

        Both halves of a simulation have equal parameters. With an odd number of maps, the second half has one more.
        Nothing is yielded when a simulation has a single map.
        """
        rng = np.random.default_rng([seed, 3])
        for _ in range(DRAWS if self.sizes.min() > 1 else 0):
            order = np.lexsort((rng.random(self.index.size), self.index))
            rank = np.empty(self.index.size, dtype=np.intp)
            rank[order] = np.arange(self.index.size) - np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
            yield rank < self.sizes[self.index] // 2
