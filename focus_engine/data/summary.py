"""Summary statistics of a set of maps: `focus data info`.

A large set is summarised from a random subset, the same each time, whose size the summary states. Results are plain
values; the terminal and the figures draw them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focus_engine.config.blocks.data import PARAMETER_NAMES
from focus_engine.config.designs import DESIGNS
from focus_engine.data.initial_fields import varied_one_at_a_time
from focus_engine.data.maps import Ids, Maps, MapSet
from focus_engine.data.parameters import Table
from focus_engine.statistics.power import PowerSpectrum, measured_power

_PIXEL_BUDGET = 1 << 24  # 256 maps of 256²: fast to read from any disk
_POWER_BUDGET = 1 << 22  # 64 maps of 256²


@dataclass(frozen=True, eq=False)
class ChannelSummary:
    """Pixel statistics of one channel of the maps read, an example and its P(k)."""

    name: str
    units: str
    low: float
    high: float
    mean: float
    zeros: int  # exact zeros among `pixels`
    pixels: int
    log10_mean: float  # over positive pixels
    log10_std: float
    example: Maps  # (H, W): map `example_id` of the set
    spectrum: PowerSpectrum  # of some of the maps read


@dataclass(frozen=True)
class ParameterSummary:
    """One column of the parameter table, over all simulations."""

    name: str  # by position
    low: float
    high: float
    mean: float

    @property
    def constant(self) -> bool:
        """Whether all simulations have the same value."""
        return self.low == self.high


@dataclass(frozen=True, eq=False)
class DataSummary:
    """Summary of a set of maps."""

    n_maps: int
    n_simulations: int
    maps_per_simulation: int
    shape: tuple[int, int, int]  # (C, H, W)
    dtype: str
    n_bytes: int  # pixels on disk
    box_size: float  # Mpc/h
    layout: str  # kind of set suggested by the parameters, in words
    parameters: tuple[ParameterSummary, ...]
    read_maps: int  # number of maps that the values below come from
    channels: tuple[ChannelSummary, ...]
    example_id: int

    @property
    def complete(self) -> bool:
        """Whether every map was read."""
        return self.read_maps == self.n_maps


def describe(map_set: MapSet) -> DataSummary:
    """Return a summary of a map set, from all of its maps or, above 16.8 million pixels, from a random subset.

    Raises:
        InputError: a map that was read holds invalid values.
    """
    pixels = int(np.prod(map_set.shape))
    ids = _some(map_set.n_maps, max(1, _PIXEL_BUDGET // pixels))
    maps = map_set.read(ids)
    shown = _some(len(ids), max(1, _POWER_BUDGET // pixels))
    return DataSummary(
        n_maps=map_set.n_maps,
        n_simulations=map_set.n_simulations,
        maps_per_simulation=map_set.maps_per_simulation,
        shape=map_set.shape,
        dtype=str(map_set.maps.dtype),
        n_bytes=int(map_set.maps.nbytes),
        box_size=map_set.box_size,
        layout=guess_layout(map_set.table),
        parameters=tuple(
            ParameterSummary(name, float(column.min()), float(column.max()), float(column.mean()))
            for name, column in zip(PARAMETER_NAMES, map_set.table.T, strict=False)
        ),
        read_maps=len(ids),
        channels=tuple(
            _channel(maps[:, channel], shown, map_set.box_size, *one)
            for channel, one in enumerate(zip(map_set.field_names, map_set.field_units, strict=True))
        ),
        example_id=int(ids[0]),
    )


def guess_layout(table: Table) -> str:
    """Return in words the design that a parameter table (n, columns) has: CV, 1P, EX, N-body, LH or none of CAMELS.

    CV: all rows are equal. 1P: several parameters vary, at most one of them in a row (`varied_one_at_a_time`).
    EX: each varying parameter has two values, and every combination occurs equally often.
    """
    varying = [int(column) for column in np.flatnonzero(np.ptp(table, axis=0) > 0)]
    if not varying:
        return _design("CV") if len(table) > 1 else "one simulation"
    if varied_one_at_a_time(table):
        return _design("1P")
    _, counts = np.unique(table[:, varying], axis=0, return_counts=True)
    two_values = all(len(np.unique(table[:, column])) == 2 for column in varying)
    if two_values and len(counts) == 2 ** len(varying) and np.ptp(counts) == 0:
        return _design("EX")
    if varying == [0, 1]:
        return "N-body (Omega_m and sigma_8 vary)"
    if varying == list(range(len(PARAMETER_NAMES))):
        return _design("LH")
    names = ", ".join(PARAMETER_NAMES[column] for column in varying)
    return f"not a CAMELS set ({names} var{'y' if len(varying) > 1 else 'ies'})"


def _design(name: str) -> str:
    return f"{name} ({DESIGNS[name].words})"


def _some(count: int, most: int) -> Ids:
    """Return all ids below `count`, or a fixed random choice of `most` of them, ascending."""
    if count <= most:
        return np.arange(count)
    import torch  # noqa: PLC0415  (a slow import that small sets do not need)

    from focus_engine.data.randomness import keyed_generator  # noqa: PLC0415  (imports torch)

    return np.sort(torch.randperm(count, generator=keyed_generator("summary"))[:most].numpy())


def _channel(maps: Maps, shown: Ids, box_size: float, name: str, units: str) -> ChannelSummary:
    positive = maps[maps > 0]
    logs = np.log10(positive)
    return ChannelSummary(
        name=name,
        units=units,
        low=float(maps.min()),
        high=float(maps.max()),
        mean=float(maps.mean(dtype=np.float64)),
        zeros=maps.size - positive.size,
        pixels=maps.size,
        log10_mean=float(logs.mean(dtype=np.float64)) if logs.size else float("nan"),
        log10_std=float(logs.std(dtype=np.float64)) if logs.size else float("nan"),
        example=maps[0].copy(),
        spectrum=measured_power(maps[shown], box_size, units),
    )
