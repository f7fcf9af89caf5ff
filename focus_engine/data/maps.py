"""A set of maps on disk with its parameters: opened and checked, but never read whole.

The layout is that of the CAMELS Multifield Dataset (arXiv:2109.10915): one .npy of maps (N, H, W) or
(N, C, H, W), or one for each field, and one text table with one row per simulation; map i belongs to simulation
i // maps_per_simulation.
Opening checks everything that does not require reading 3.9 GB. Pixel values are checked in `MapSet.read`, through
which all maps are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.data.channels import Field, describe_fields, open_field_files
from focus_engine.data.initial_fields import initial_fields
from focus_engine.data.map_files import MapArray, chunk_of, content_blocks, rows_of
from focus_engine.data.parameters import Table, read_parameter_table, select_parameters
from focus_engine.errors import InputError
from focus_engine.pulse import PULSE
from focus_engine.statistics.simulations import shares_field
from focus_engine.units import NORMALISED

Maps = NDArray[np.float32]
Ids = NDArray[np.int64]

_CHUNK_PIXELS = 1 << 22  # 16 MiB of float32 at a time when a whole set is read
_HASHED_WHOLE = 64 * 2**20  # bytes: up to this size the fingerprint reads every byte
_HASHED_BLOCKS, _HASHED_BLOCK = 1024, 16 * 2**10  # above it: number of blocks and bytes per block


StoredAs = Literal["physical", "log10", "standardised", "log10_standardised", "unknown"]


@dataclass(frozen=True)
class StoredValues:
    """The transformation from physical values f to the values on disk: none, or a known normalisation.

    `log10`: log10 f. `standardised`: (f − mean) / std. `log10_standardised`: (log10 f − mean) / std. `unknown`:
    the transformation is not known, and the values are used as they are.
    """

    transform: StoredAs = "physical"
    mean: float = 0.0
    std: float = 1.0

    def physical(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return physical values, inverting the transformation in float64; `unknown` values are returned unchanged."""
        if self.transform in {"physical", "unknown"}:
            return values
        undone = np.asarray(values, dtype=np.float64)
        if self.transform != "log10":
            undone = undone * self.std + self.mean
        return undone if self.transform == "standardised" else 10**undone


PHYSICAL = StoredValues()
_NORMALISED_ADVICE = (
    ". Are the maps normalised already? Say how: data.stored_as: log10_standardised (or log10, standardised) with "
    "data.stored_mean and data.stored_std; or unknown, for samples and P(k) of the normalised field"
)


@dataclass(frozen=True, eq=False)
class MapSet:
    """Maps on disk, read in physical units, and the parameters of their simulations."""

    maps: MapArray  # as on disk: (N, H, W) or (N, C, H, W)
    params: Maps  # (n_simulations, P) float32: the selected parameters
    param_names: tuple[str, ...]  # (P,)
    table: Table  # (n_simulations, columns) float64: all parameters of the file, in CAMELS order
    box_size: float  # Mpc/h: the side along the last axis
    maps_per_simulation: int
    fields: tuple[Field, ...]  # (C,): names, units and files of the channels
    params_path: Path
    stored: StoredValues = PHYSICAL  # transformation from physical values to those on disk

    @property
    def maps_path(self) -> Path:
        """The file of the first field."""
        return self.fields[0].path

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the channels, (C,)."""
        return tuple(field.name for field in self.fields)

    @property
    def field_units(self) -> tuple[str, ...]:
        """Units of the values that `read` returns, of each channel, (C,)."""
        return tuple(field.units if self.physical else NORMALISED for field in self.fields)

    @property
    def physical(self) -> bool:
        """Whether `read` returns densities; False if the transformation on disk is unknown."""
        return self.stored.transform != "unknown"

    @property
    def units(self) -> str:
        """The different units of the channels in words; NORMALISED if they have none."""
        return ", ".join(dict.fromkeys(self.field_units))

    @property
    def n_maps(self) -> int:
        """Number of maps in the set."""
        return int(self.maps.shape[0])

    @property
    def n_simulations(self) -> int:
        """Number of simulations that the maps come from."""
        return int(self.params.shape[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one map: (C, H, W)."""
        return _map_shape(self.maps.shape)

    @property
    def chunk(self) -> int:
        """Maps that are decoded at once, because they share a chunk of an HDF5 or Zarr file; else 1."""
        return chunk_of(self.maps)

    @cached_property
    def initial_fields(self) -> Ids:
        """The initial field that each simulation started from, as ids (n_simulations,)."""
        found = initial_fields(self.maps_path, self.params_path, self.table)
        return np.arange(self.n_simulations) if found is None else found.ids.astype(np.int64)

    def share_field(self, ids: ArrayLike) -> bool:
        """Return whether the simulations of the maps `ids` share their initial field, as those of 1P do."""
        simulations = self.simulation_of(ids)
        return shares_field(self.initial_fields[simulations], simulations)

    def simulation_of(self, ids: ArrayLike) -> Ids:
        """Return the simulations that the maps `ids` belong to."""
        return np.asarray(ids, dtype=np.int64) // self.maps_per_simulation

    def params_of(self, ids: ArrayLike) -> Maps:
        """Return the parameters (n, P) of the maps `ids`."""
        return np.asarray(self.params[self.simulation_of(ids)])

    def maps_of(self, simulations: ArrayLike) -> Ids:
        """Return the ids of all maps of the given simulations, simulation by simulation."""
        first = np.asarray(simulations, dtype=np.int64)[:, None] * self.maps_per_simulation
        return (first + np.arange(self.maps_per_simulation)).reshape(-1)

    def read(self, ids: ArrayLike) -> Maps:
        """Read maps `ids` from disk as float32 (n, C, H, W), in physical units, checked pixel by pixel.

        Raises:
            InputError: a channel of a map holds NaN or infinite values, or, for physical maps, negative values or
                only zeros.
        """
        chosen = np.asarray(ids, dtype=np.int64)
        maps = np.empty((len(chosen), *self.shape), dtype=np.float32)
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is rejected below
            if self.chunk > 1 and len(chosen):
                self._read_chunks(chosen, maps)
            else:
                for place, index in enumerate(chosen):  # map by map: such copies release the GIL
                    maps[place] = self.stored.physical(self.maps[int(index)])
        self._check(maps, chosen)
        PULSE.moved()
        return maps

    def _read_chunks(self, ids: Ids, maps: Maps) -> None:
        """Fill `maps` (n, C, H, W) with maps `ids` (n,), decoding a chunk once for all that follow each other in it."""
        ends = np.flatnonzero(np.diff(ids // self.chunk)) + 1
        for places in np.split(np.arange(len(ids)), ends):
            some = ids[places]
            first, last = int(some.min()), int(some.max())
            rows = rows_of(self.maps, first, last + 1)[some - first]
            maps[places] = self.stored.physical(rows).reshape(-1, *self.shape)

    def chunks(self, ids: ArrayLike) -> Iterator[tuple[Ids, Maps]]:
        """Yield (ids, maps) over `ids` in order, about 16 MiB at a time, checked as in `read`."""
        chosen = np.asarray(ids, dtype=np.int64)
        step = self.chunk * max(1, _CHUNK_PIXELS // int(np.prod(self.shape)) // self.chunk)
        for start in range(0, len(chosen), step):
            part = chosen[start : start + step]
            yield part, self.read(part)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of layout, parameters and pixels, independent of file names and folders.

        Every byte counts up to 64 MiB. Of a larger file 1024 evenly spaced blocks of 16 KiB count, from the first
        byte to the last: one or more in every simulation of a full CMD file.
        """
        digest = hashlib.sha256(repr((tuple(self.maps.shape), self.maps.dtype.str, self.table.shape)).encode())
        digest.update(np.ascontiguousarray(self.table).tobytes())
        if self.stored != PHYSICAL:
            digest.update(repr(self.stored).encode())
        if not isinstance(self.maps, np.memmap):
            for block in content_blocks(self.maps, _HASHED_WHOLE, _HASHED_BLOCKS):
                digest.update(block)
            return digest.hexdigest()
        size = self.maps.nbytes
        with self.maps_path.open("rb") as file:
            if size <= _HASHED_WHOLE:
                offsets, length = list(range(0, size, 2**20)), 2**20
            else:
                offsets = [int(o) for o in np.linspace(0, size - _HASHED_BLOCK, _HASHED_BLOCKS)]
                length = _HASHED_BLOCK
            for offset in offsets:
                file.seek(self.maps.offset + offset)
                digest.update(file.read(min(length, size - offset)))
        return digest.hexdigest()

    def _check(self, maps: Maps, ids: Ids) -> None:
        """Raise InputError for the first map with an invalid pixel, with its number and the count of such pixels."""
        if maps.size == 0:
            return
        low, high = maps.min(axis=(2, 3)), maps.max(axis=(2, 3))  # (n, C); NaN propagates to both
        valid = (low >= 0) & (high > 0) if self.physical else low > -np.inf
        for place, channel in np.argwhere(~(valid & (high < np.inf))):
            raise InputError(self._fault(maps[place, channel], int(ids[place]), self.fields[channel]))

    def _fault(self, pixels: Maps, index: int, field: Field) -> str:
        counts = {
            "NaN": np.count_nonzero(np.isnan(pixels)),
            "infinite": np.count_nonzero(np.isinf(pixels)),
            "negative": np.count_nonzero(pixels < 0) if self.physical else 0,
        }
        allowed = f"values from 0 up, in {field.units}, not all zero" if self.physical else "values"
        found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        which = f"{field.name} of map" if len(self.fields) > 1 else "map"
        return (
            f"{field.path}: {which} {index} (simulation {index // self.maps_per_simulation}) holds "
            f"{found or 'only zero'} of {pixels.size} pixels; allowed are finite {allowed}. Remove this map from "
            "the file or make it again" + (_NORMALISED_ADVICE if counts["negative"] and self.stored == PHYSICAL else "")
        )


def open_map_set(
    maps_path: str | Path | Sequence[str | Path],
    params_path: str | Path,
    *,
    box_size: float,
    maps_per_simulation: int,
    params: Sequence[str] | None = None,
    cond_dim: int | None = None,
    in_channels: int | None = None,
    maps_key: str | None = None,
    fields: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    stored: StoredValues = PHYSICAL,
) -> MapSet:
    """Open maps and parameters in CMD layout, without reading the maps; `open_maps_file` lists the file types.

    `maps_path` may list several files, of different fields of the same maps. `box_size` is in Mpc/h. `params` selects
    columns by name, `cond_dim` by number; the default is all columns. `maps_key` names the array in an .npz or HDF5
    file, `fields` and `units` the channels (`describe_fields` says how by default); `stored` is the transformation of
    the values on disk.

    Raises:
        InputError: a file is missing, truncated, pickled or of another layout, the two files do not match, or
            the columns contradict the order of CAMELS.
    """
    paths = [Path(one) for one in ([maps_path] if isinstance(maps_path, str | Path) else maps_path)]
    params_path = Path(params_path)
    if not (np.isfinite(box_size) and box_size > 0):
        raise InputError(f"data.box_size is {box_size}; give the side of the periodic box in Mpc/h, above 0")
    if maps_per_simulation < 1:
        raise InputError(f"data.maps_per_simulation is {maps_per_simulation}; at least 1 is allowed (CAMELS: 15)")
    maps, files = open_field_files(paths, maps_key)
    _check_layout(maps, paths, in_channels)
    table = read_parameter_table(params_path)
    _check_counts(maps.shape[0], table, maps_per_simulation, paths[0], params_path)
    selected, names = select_parameters(table, params, cond_dim, where=str(params_path))
    return MapSet(
        maps=maps,
        params=selected.astype(np.float32),
        param_names=names,
        table=table,
        box_size=float(box_size),
        maps_per_simulation=maps_per_simulation,
        fields=describe_fields(files, fields, units),
        params_path=params_path,
        stored=stored,
    )


def check_values(map_set: MapSet, ids: ArrayLike | None = None) -> Iterator[int]:
    """Read the maps `ids` (default all) and yield the number checked so far.

    Raises:
        InputError: a map has NaN, infinite or negative pixels, or is zero everywhere.
    """
    done = 0
    for part, _ in map_set.chunks(np.arange(map_set.n_maps) if ids is None else ids):
        done += len(part)
        yield done


def _map_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return (1, shape[1], shape[2]) if len(shape) == 3 else (shape[1], shape[2], shape[3])


def _check_layout(maps: MapArray, paths: Sequence[Path], in_channels: int | None) -> None:
    path = paths[0]
    if maps.ndim not in (3, 4):
        raise InputError(f"{path}: has shape {maps.shape}; maps are (N, H, W) or (N, C, H, W)")
    channels, height, width = _map_shape(maps.shape)
    if maps.ndim == 4 and channels >= height:
        raise InputError(
            f"{path}: has shape {maps.shape}, which as (N, C, H, W) means {channels} channels of "
            f"{height} × {width}; put channels second (numpy.moveaxis(maps, -1, 1)); 3-D grids are not maps"
        )
    if height < 2 or width < 2:
        raise InputError(f"{path}: has shape {maps.shape}; a map has at least 2 × 2 pixels")
    if in_channels is not None and channels != in_channels:
        raise InputError(
            f"{path}: has shape {maps.shape}, that is {channels} channel(s), but model.in_channels is "
            f"{in_channels}; set model.in_channels and model.out_channels to {channels}"
            if len(paths) == 1
            else f"the {len(paths)} files of data.maps_path hold {channels} channels together, but model.in_channels "
            f"is {in_channels}; set model.in_channels and model.out_channels to {channels}"
        )


def _check_counts(n_maps: int, table: Table, per_simulation: int, maps_path: Path, params_path: Path) -> None:
    rows = len(table)
    if rows * per_simulation == n_maps:
        return
    advice = f"give one row for each {per_simulation} maps"
    if rows == n_maps:
        advice = f"give one row per simulation, not one per map (of each {per_simulation} rows keep the first)"
    elif n_maps % rows == 0:
        advice = f"or is data.maps_per_simulation {n_maps // rows}?"
    raise InputError(
        f"{params_path}: has {rows} rows, which at data.maps_per_simulation {per_simulation} means "
        f"{rows * per_simulation} maps, but {maps_path} holds {n_maps}; {advice}"
    )
