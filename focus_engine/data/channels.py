"""The fields (channels) of maps: several map files as one array with channels, their names and their units."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from focus_engine.data.map_files import Array, MapArray, chunk_of, open_maps_file, rows_of
from focus_engine.errors import InputError
from focus_engine.units import CMD_FIELDS, FIELD_UNITS, SURFACE_DENSITY, UNKNOWN_UNIT

_CMD_FILE = re.compile(r"Maps_([A-Za-z]+)_")
ONE_FIELD = "map"
"""Name of the only field of maps that have no name."""


@dataclass(frozen=True)
class Field:
    """A field (channel) of a set of maps."""

    name: str
    units: str
    path: Path  # the file that holds it


@dataclass(frozen=True, eq=False)
class FieldFiles:
    """Several map files with the same maps of different fields, as one array (N, C, H, W)."""

    files: tuple[MapArray, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W): the channels of all files in their order."""
        first = self.files[0].shape
        return (first[0], sum(map(channels_of, self.files)), *first[-2:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64 if that of any file is."""
        kind: np.dtype[Any] = np.result_type(*(file.dtype for file in self.files))
        return kind

    @property
    def ndim(self) -> int:
        """4."""
        return 4

    @property
    def nbytes(self) -> int:
        """Size of all pixels on disk [bytes]."""
        return sum(file.nbytes for file in self.files)

    def __getitem__(self, index: int) -> Array:
        """Return map `index` as (C, H, W)."""
        height, width = self.shape[-2:]
        return np.concatenate([np.asarray(file[index]).reshape(-1, height, width) for file in self.files])

    @property
    def chunk(self) -> int:
        """Maps per chunk of the file that has most."""
        return max(map(chunk_of, self.files))

    def rows(self, first: int, last: int) -> Array:
        """Return maps `first` ... `last - 1` as (n, C, H, W)."""
        shape = (last - first, -1, *self.shape[-2:])
        return np.concatenate([rows_of(file, first, last).reshape(shape) for file in self.files], axis=1)


def channels_of(maps: MapArray) -> int:
    """Return the number of channels of maps (N, H, W) or (N, C, H, W)."""
    return 1 if maps.ndim == 3 else int(maps.shape[1])


def open_field_files(paths: Sequence[Path], key: str | None = None) -> tuple[MapArray, tuple[Path, ...]]:
    """Open one map file, or several of different fields as one array; return it and the file of each channel.

    Raises:
        InputError: as `open_maps_file`, or the files hold different numbers or sizes of maps, or one is given twice.
    """
    if not paths:
        raise InputError("data.maps_path is an empty list; give the maps")
    opened = [open_maps_file(path, key) for path in paths]
    for path, maps in zip(paths, opened, strict=True):
        if len(paths) > 1:
            _check_fits(path, maps, paths[0], opened[0])
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError(f"data.maps_path: a file is given twice in {', '.join(map(str, paths))}")
    whole = opened[0] if len(opened) == 1 else FieldFiles(tuple(opened))
    counts = [channels_of(maps) if maps.ndim in (3, 4) else 1 for maps in opened]
    return whole, tuple(path for path, count in zip(paths, counts, strict=True) for _ in range(count))


def _check_fits(path: Path, maps: MapArray, first: Path, others: MapArray) -> None:
    if maps.ndim not in (3, 4):
        raise InputError(f"{path}: has shape {maps.shape}; maps are (N, H, W) or (N, C, H, W)")
    found, wanted = ((one.shape[0], *one.shape[-2:]) for one in (maps, others))
    if found != wanted:
        words = "{} maps of {} × {}"
        raise InputError(
            f"{path}: holds {words.format(*found)}, but {first} holds {words.format(*wanted)}; the files of several "
            "fields hold the same maps in the same order"
        )


def describe_fields(
    files: Sequence[Path], names: Sequence[str] | None = None, units: Sequence[str] | None = None
) -> tuple[Field, ...]:
    """Return the fields of channels that lie in `files`, (C,), with given or default `names` and `units`.

    A file named as in CMD gives the name of its field; other channels are numbered. The unit follows from the name;
    the only field of maps without a name has that of a mass map.

    Raises:
        InputError: the number of names or units is not that of the channels.
    """
    for key, given in (("data.fields", names), ("data.units", units)):
        if given is not None and len(given) != len(files):
            raise InputError(
                f"{key} names {len(given)} ({', '.join(given)}), but {files[0]} and what is listed with it hold "
                f"{len(files)} channel(s); name each in order"
            )
    shown = tuple(names or _default_names(files))
    by_name = (SURFACE_DENSITY if name == ONE_FIELD else FIELD_UNITS.get(name, UNKNOWN_UNIT) for name in shown)
    return tuple(Field(*one) for one in zip(shown, units or by_name, files, strict=True))


def _default_names(files: Sequence[Path]) -> list[str]:
    matches = [_CMD_FILE.match(path.name) for path in files]
    found = [match.group(1) for match in matches if match and match.group(1) in CMD_FIELDS]
    if len(set(found)) == len(files):
        return found
    return [ONE_FIELD] if len(files) == 1 else [f"channel {number}" for number in range(len(files))]
