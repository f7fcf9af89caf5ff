"""Arrays by name in an .npz, HDF5 or Zarr file, with large ones memory-mapped where the format allows.

An .npz that numpy.savez wrote and an unchunked HDF5 dataset hold plain arrays, which are mapped in place. Compressed
and chunked arrays are read into memory, or above 256 MiB block by block into an unnamed temporary file that is mapped.
Nothing is unpickled.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from focus_engine.data.hdf5_probe import probe_hdf5
from focus_engine.data.map_files import (
    DAMAGE,
    HDF5_SUFFIXES,
    ZARR_SUFFIX,
    MapArray,
    check_dataset,
    check_own,
    check_unpacked,
    unreadable,
)
from focus_engine.spooling import spooled

Array = NDArray[Any]
Read = TypeVar("Read")


class Container(Protocol):
    """Named arrays of a file."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays and of the attributes."""
        ...

    def small(self, name: str) -> Array:
        """Return a whole array or attribute."""
        ...

    def large(self, name: str) -> Array:
        """Return an array, memory-mapped where possible."""
        ...


def open_container(path: Path) -> Container:
    """Open an .npz, HDF5 or Zarr file.

    Raises:
        InputError: the file is damaged, pickled or of another format.
    """
    if path.suffix in HDF5_SUFFIXES:
        return _guarded(path, lambda: _Hdf5(path))
    return _guarded(path, lambda: _Zarr(path) if is_zarr(path) else _Npz(path))


def is_zarr(path: Path) -> bool:
    """Return whether `path` is a Zarr folder."""
    return path.suffix == ZARR_SUFFIX or any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def read_rows(maps: Array | MapArray) -> Array:
    """Return maps that are read one at a time, such as a folder of files, as one array in memory or mapped."""
    return spooled(tuple(maps.shape), np.dtype(maps.dtype), lambda first, last: [maps[i] for i in range(first, last)])


def _guarded(path: Path, read: Callable[[], Read]) -> Read:
    try:
        return read()
    except DAMAGE as error:
        what = "not a whole file of plain numbers (truncated, damaged, pickled or another format: {})"
        raise unreadable(path, error, f"{what}; write or copy it again") from None


class _Npz:
    """Arrays of an .npz; those stored without compression are mapped in place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
        check_unpacked(path, sum(one.file_size for one in members), path.stat().st_size)
        self._members = {one.filename.removesuffix(".npy"): one for one in members}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def small(self, name: str) -> Array:
        def read() -> Array:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                found: Array = archive[name]
            if not isinstance(found, np.ndarray):
                raise ValueError(f"{name} is no array")  # noqa: TRY004  (the file is damaged)
            if found.dtype.kind == "U":
                found.tolist()  # raises SystemError for numbers that are no letters
            return found

        return _guarded(self._path, read)

    def large(self, name: str) -> Array:
        return _guarded(self._path, lambda: self._large(name))

    def _large(self, name: str) -> Array:
        member = self._members[name]
        with zipfile.ZipFile(self._path) as archive, archive.open(member) as stream:
            shape, fortran, dtype = _npy_header(stream)
            header = stream.tell()
            if dtype.hasobject:
                raise ValueError("it holds pickled objects")
            if member.compress_type == zipfile.ZIP_STORED:
                start = self._data_offset(member) + header
                order: Any = "F" if fortran else "C"
                return np.memmap(self._path, dtype=dtype, mode="r", offset=start, shape=shape, order=order)
            if not fortran and shape:
                count = math.prod(shape[1:])

                def rows(first: int, last: int) -> Array:
                    content = stream.read((last - first) * count * dtype.itemsize)
                    return np.frombuffer(content, dtype=dtype).reshape(last - first, *shape[1:])

                return spooled(shape, dtype, rows)
        return self.small(name)

    def _data_offset(self, member: zipfile.ZipInfo) -> int:
        """Return where the bytes of an uncompressed member begin in the file."""
        with self._path.open("rb") as file:
            file.seek(member.header_offset + 26)  # lengths of the name and of the extra field
            name, extra = struct.unpack("<HH", file.read(4))
        return member.header_offset + 30 + int(name) + int(extra)


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:  # noqa: ANN401  (a zip member)
    first = np.lib.format.read_magic(stream) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return tuple(shape), bool(fortran), dtype


class _Hdf5:
    """Datasets and attributes of an HDF5 file."""

    def __init__(self, path: Path) -> None:
        import h5py  # noqa: PLC0415  (a slow import that most files do not need)

        self._path = path
        probe_hdf5(path)
        self._file = h5py.File(path, "r")
        found: dict[str, Any] = {}
        self._file.visititems(lambda name, item: found.update({name: item}) if hasattr(item, "shape") else None)
        for item in found.values():
            check_own(path, item)
        self._datasets: dict[str, Any] = found
        self._attributes: Mapping[str, Any] = dict(self._file.attrs)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._datasets, *(name for name in self._attributes if name not in self._datasets))

    def small(self, name: str) -> Array:
        if name not in self._datasets:
            return _guarded(self._path, lambda: _plain(np.asarray(self._attributes[name])))
        return _guarded(self._path, lambda: _plain(np.asarray(self._checked(name)[()])))

    def large(self, name: str) -> Array:
        return _guarded(self._path, lambda: self._large(self._datasets[name]))

    def _checked(self, name: str) -> Any:  # noqa: ANN401  (h5py)
        check_dataset(self._path, self._datasets[name])
        return self._datasets[name]

    def _large(self, dataset: Any) -> Array:  # noqa: ANN401  (h5py)
        shape, dtype, offset = tuple(dataset.shape), np.dtype(dataset.dtype), dataset.id.get_offset()
        if offset is not None and dataset.chunks is None and dtype.kind in "fiu":
            return np.memmap(self._path, dtype=dtype, mode="r", offset=offset, shape=shape)
        check_dataset(self._path, dataset)
        return spooled(shape, dtype, lambda first, last: dataset[first:last])


class _Zarr:
    """Arrays and attributes of a Zarr folder."""

    def __init__(self, path: Path) -> None:
        import zarr  # noqa: PLC0415  (a slow import that most files do not need)

        self._path = path
        group: Any = zarr.open(str(path), mode="r")
        whole = hasattr(group, "chunks")
        self._arrays: dict[str, Any] = {"maps": group} if whole else dict(group.arrays())
        self._attributes: Mapping[str, Any] = dict(group.attrs)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._arrays, *(name for name in self._attributes if name not in self._arrays))

    def small(self, name: str) -> Array:
        if name not in self._arrays:
            return np.asarray(self._attributes[name])
        return _guarded(self._path, lambda: np.asarray(self._checked(name)[...]))

    def large(self, name: str) -> Array:
        def read() -> Array:
            found = self._checked(name)
            return spooled(tuple(found.shape), np.dtype(found.dtype), lambda first, last: found[first:last])

        return _guarded(self._path, read)

    def _checked(self, name: str) -> Any:  # noqa: ANN401  (zarr)
        check_dataset(self._path, self._arrays[name])
        return self._arrays[name]


def _plain(array: Array) -> Array:
    """Return HDF5 text, which is bytes or objects, as numpy text."""
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8")
    if array.dtype.kind == "O":
        with suppress(UnicodeDecodeError, AttributeError):
            words = [one.decode() if isinstance(one, bytes) else str(one) for one in array.reshape(-1)]
            return np.array(words, dtype=str).reshape(array.shape)
    return array
