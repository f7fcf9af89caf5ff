"""The two sides of a judgement: maps of any origin, with their parameters and simulations.

The reader of files is in `focus_engine.data.judged_files`; `focus_engine.statistics.matching` matches two sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.spooling import chosen_rows
from focus_engine.statistics.design import distinct_params
from focus_engine.statistics.simulations import shares_field
from focus_engine.units import NORMALISED, SURFACE_DENSITY

Params = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class JudgedMaps:
    """Real or generated maps with what is known of them.

    Attributes:
        what: `real` or `generated`.
        path: the file, as the user gave it.
        maps: (N, C, H, W), memory-mapped where the format allows.
        params: (N, P), one row per map; None if the maps have none.
        param_names: (P,); empty if unknown.
        positional: whether the names follow from the position of the columns (a text table), not from the file.
        simulation: (N,) simulation of each map, numbered from 0; None for independently drawn maps.
        initial_field: (N,) ids of the initial fields that the simulations started from; None if each has its own.
        box_size: side along the last axis [Mpc/h]; None if unknown.
        fields: name of each channel; empty if unknown.
        units: (C,) unit of each channel, `NORMALISED` for values without one.
        data_fingerprint: fingerprint of the data set that the generator was trained on; empty if unknown.
        training_digests: uint64 digests of the maps that it was trained on; empty if unknown.
        provenance: further plain values of the file, such as sampler and seed.
        notes: what was assumed, in sentences for the user.
    """

    what: str
    path: str
    maps: NDArray[np.generic]
    params: Params | None = None
    param_names: tuple[str, ...] = ()
    positional: bool = False
    simulation: Index | None = None
    initial_field: Index | None = None
    box_size: float | None = None
    fields: tuple[str, ...] = ()
    units: tuple[str, ...] = (SURFACE_DENSITY,)
    data_fingerprint: str = ""
    training_digests: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of maps."""
        return int(self.maps.shape[0])

    @property
    def physical(self) -> bool:
        """Whether the maps are densities, not a normalised field."""
        return NORMALISED not in self.units

    @property
    def n_simulations(self) -> int:
        """Number of simulations; of independently drawn maps, their number."""
        return self.count if self.simulation is None else int(np.unique(self.simulation).size)

    @property
    def shares_field(self) -> bool:
        """Whether several simulations share their initial field; of maps without ids, several parameter points."""
        if self.initial_field is None:
            return False
        groups = self.simulation
        if groups is None:
            groups = np.zeros(self.count, dtype=np.intp) if self.params is None else distinct_params(self.params)[1]
        return shares_field(self.initial_field, groups)

    def take(self, rows: Index) -> JudgedMaps:
        """Return the maps of ascending `rows`: a view where they are consecutive, else as `chosen_rows` copies them."""
        if rows.size == self.count:
            return self
        ids = None if self.simulation is None else numbered(self.simulation[rows])
        params = None if self.params is None else self.params[rows]
        fields = None if self.initial_field is None else self.initial_field[rows]
        maps = chosen_rows(self.maps, rows)
        return replace(self, maps=maps, params=params, simulation=ids, initial_field=fields)


def numbered(ids: NDArray[Any]) -> Index:
    """Return ids (N,) of any type as numbers from 0 in the order of their values."""
    return np.unique(ids, return_inverse=True)[1].reshape(-1).astype(np.intp)


def runs_of(points: Index) -> Index:
    """Return (N,) numbers from 0 that grow by one wherever consecutive maps differ in their point."""
    return np.concatenate([[0], np.cumsum(np.diff(points) != 0)]).astype(np.intp)
