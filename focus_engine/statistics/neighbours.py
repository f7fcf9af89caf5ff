"""Real simulations whose residuals stand for those of a parameter point when a null is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.sample import Rows

Array = NDArray[np.float64]
Index = NDArray[np.intp]

NEIGHBOURS = 8
"""Fewest simulations from which the residuals of a parameter point are drawn."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The simulations near each of G points.

    Attributes:
        units: (G, K) simulations, the nearest first.
        counted: (G, K) whether a point draws from them: its own alone where it has `NEIGHBOURS`.
    """

    units: Index
    counted: NDArray[np.bool_]

    @classmethod
    def of(cls, x: Array, rows: Rows, size: int = 1) -> Neighbours:
        """Return the neighbours among the simulations that have `size` maps.

        A place of several maps that is filled by fewer would repeat them, so that the scatter within it is too small.
        Where too few simulations have as many, the largest do.

        Args:
            x: (G, D) coordinates of the points.
            rows: the point and the simulation of each real map.
            size: number of maps wanted.
        """
        sizes = np.bincount(rows.unit, minlength=rows.units)
        fewest = np.sort(sizes)[::-1][: min(NEIGHBOURS, rows.units)][-1]
        held = np.flatnonzero(sizes >= min(size, fewest))
        place = rows.point_of_unit[held]
        distance = ((x[:, None, :] - x[None, place, :]) ** 2).sum(axis=2)
        own = np.bincount(place, minlength=len(x))
        near = max(NEIGHBOURS, held.size // 5)
        order = np.argsort(distance, axis=1, kind="stable")[:, : max(near, int(own.max()))]
        itself = place[order] == np.arange(len(x))[:, None]
        counted = np.where((own >= NEIGHBOURS)[:, None], itself, np.arange(order.shape[1]) < near)
        return cls(held[order].astype(np.intp), counted)

    @property
    def sources(self) -> float:
        """Number of simulations that a point draws from, on average."""
        return float(self.counted.sum(axis=1).mean())

    def drawn(self, points: Index, times: Index, rng: np.random.Generator) -> Index:
        """Return a simulation near each of `points` (n,), each as probable as a resampling holds it (U,) `times`."""
        held = times[self.units] * self.counted
        held = np.where(held.sum(axis=1, keepdims=True) > 0, held, self.counted)
        cumulated = np.cumsum(held, axis=1)[points]
        place = rng.integers(cumulated[:, -1])
        return np.asarray(self.units[points, (cumulated <= place[:, None]).sum(axis=1)], dtype=np.intp)
