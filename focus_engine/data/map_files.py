"""Map files: .npy, .npz, HDF5, Zarr, or a folder with one file per map; opened without reading pixels if possible.

All of them are presented as one indexed array of maps, each (H, W) or (C, H, W). An .npz is read whole, because
zip archives can't be memory-mapped.
"""

from __future__ import annotations

import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from focus_engine.data.npy import open_npy
from focus_engine.errors import InputError, refusal, remedy

Array = NDArray[np.floating]

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
ZARR_SUFFIX = ".zarr"
DAMAGE = (
    *(
        OSError,
        ValueError,
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
        RuntimeError,
    ),
    *(SyntaxError, SystemError, AssertionError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What numpy, zipfile, h5py and zarr raise at damaged files."""
ALWAYS_READ = 2**28
"""Bytes up to which what a file unpacks to is not limited."""
LARGEST_RATIO = 200
"""How many times its size a file may unpack to above that; maps of floats compress a few times at most."""
SINGLE_SUFFIXES = (".npy", ".npz")
"""Suffixes of the files in a folder with one file per map."""


class MapArray(Protocol):
    """Maps on disk, by index."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W) or (N, C, H, W)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        ...

    @property
    def ndim(self) -> int:
        """3 or 4."""
        ...

    @property
    def nbytes(self) -> int:
        """Size of all pixels [bytes]."""
        ...

    def __getitem__(self, index: int) -> Array:
        """Return map `index`."""
        ...


def chunk_of(maps: MapArray) -> int:
    """Return how many maps a chunk of the file holds: reading one of them decodes all. 1 for plain arrays and files."""
    return int(getattr(maps, "chunk", 1))


def rows_of(maps: MapArray, first: int, last: int) -> Array:
    """Return maps `first` ... `last - 1`, (n, ...), decoding each of their chunks once."""
    rows = getattr(maps, "rows", None)
    found: Array = np.stack([maps[index] for index in range(first, last)]) if rows is None else rows(first, last)
    return found


def open_maps_file(path: Path, key: str | None = None) -> MapArray:
    """Open the maps at `path`: a .npy, .npz, HDF5 or Zarr file, or a folder with one file per map, sorted by name.

    `key` names the array of an .npz or Zarr, or the dataset of an HDF5 file. By default it is `maps`, or the only
    array with the shape of maps. Names sort numerically: map_2 comes before map_10.

    Raises:
        InputError: `path` is missing, unreadable, damaged, of another layout, or holds several candidate arrays.
    """
    if path.suffix == ZARR_SUFFIX:
        return _open_zarr(path, key)
    if path.is_dir() and path.suffix not in (*SINGLE_SUFFIXES, *HDF5_SUFFIXES):
        return _open_folder(path, key)
    if path.suffix in HDF5_SUFFIXES:
        return _open_hdf5(path, key)
    if path.suffix == ".npz":
        return _read_npz(path, key)
    if key is not None:
        raise InputError(f"{path}: data.maps_key names an array of an .npz, HDF5 or Zarr file; leave it out for a .npy")
    maps = open_npy(path)
    if maps.ndim == 0:
        raise InputError(f"{path}: holds one number, no maps")
    return maps


def content_blocks(maps: MapArray, most: int, blocks: int) -> Iterator[bytes]:
    """Yield the bytes of all maps if they total at most `most`, else of `blocks` evenly spaced maps."""
    count = maps.shape[0]
    chosen = np.arange(count)
    if maps.nbytes > most and count > blocks:
        chosen = np.linspace(0, count - 1, blocks).astype(np.int64)
    for index in chosen:
        yield np.ascontiguousarray(maps[int(index)]).tobytes()


def _read_npz(path: Path, key: str | None) -> MapArray:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: is no .npz archive; give a .npy file that suffix")
            members = [] if archive.zip is None else archive.zip.infolist()
            check_unpacked(path, sum(one.file_size for one in members), path.stat().st_size)
            shapes = {name: archive[name].shape for name in archive.files if archive[name].ndim in (2, 3, 4)}
            name = _choose(path, key, archive.files, shapes, "array")
            maps = archive[name]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; see data.maps_path and data.data_dir") from None
    except DAMAGE as error:
        raise unreadable(path, error, "not a whole .npz of plain numbers (damaged, or pickled objects): {}") from None
    checked: MapArray = _checked(maps, path)
    return checked


def _open_hdf5(path: Path, key: str | None) -> MapArray:
    import h5py  # noqa: PLC0415  (a slow import that most sets do not need)

    try:
        file = h5py.File(path, "r")
        found: dict[str, Any] = {}
        file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
        for item in found.values():
            check_own(path, item)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; see data.maps_path and data.data_dir") from None
    except DAMAGE as error:
        raise unreadable(path, error, "not a whole HDF5 file: {}") from None
    shapes = {name: item.shape for name, item in found.items() if item.ndim in (3, 4)}
    name = _choose(path, key, list(found), shapes, "dataset")
    check_dataset(path, found[name])
    return _Dataset(_checked(found[name], path), path)


def _open_zarr(path: Path, key: str | None) -> MapArray:
    import zarr  # noqa: PLC0415  (a slow import that most sets do not need)

    if not path.is_dir():
        raise InputError(f"{path}: no such Zarr folder; see data.maps_path and data.data_dir")
    try:
        opened: Any = zarr.open(str(path), mode="r")
        found: dict[str, Any] = {"maps": opened} if hasattr(opened, "chunks") else dict(opened.arrays())
    except DAMAGE as error:
        raise unreadable(path, error, "not a whole Zarr folder: {}") from None
    shapes = {name: item.shape for name, item in found.items() if item.ndim in (3, 4)}
    name = _choose(path, key, list(found), shapes, "array")
    check_dataset(path, found[name])
    return _Dataset(_checked(found[name], path), path)


@dataclass(frozen=True, eq=False)
class _Dataset:
    """A dataset of an HDF5 file or an array of a Zarr folder, read map by map."""

    dataset: Any
    path: Path

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(length) for length in self.dataset.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        kind: np.dtype[Any] = np.dtype(self.dataset.dtype)
        return kind

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    @property
    def chunk(self) -> int:
        """Maps per chunk."""
        chunks = self.dataset.chunks
        return min(int(chunks[0]), self.shape[0]) if chunks else 1

    def __getitem__(self, index: int) -> Array:
        try:
            found: Array = self.dataset[index]
        except DAMAGE as error:
            raise unreadable(self.path, error, f"map {index} can't be read (damaged?): {{}}") from None
        return found

    def rows(self, first: int, last: int) -> Array:
        """Return maps `first` ... `last - 1`."""
        try:
            found: Array = self.dataset[first:last]
        except (OSError, RuntimeError, ValueError) as error:
            raise unreadable(self.path, error, f"maps {first} to {last - 1} can't be read (damaged?): {{}}") from None
        return found


def unreadable(path: Path, error: Exception, words: str) -> InputError:
    """Return the error to raise for a file that a library could not read.

    It tells why the system refused to read it, else `words`, with those of the library in place of {}.
    """
    if (refused := refusal(error)) is not None:
        return InputError(f"{path}: cannot be read: {refused.strerror}: {remedy(refused)}")
    return InputError(f"{path}: {words.replace('{}', (str(error).splitlines() or [type(error).__name__])[0])}")


def check_own(path: Path, dataset: Any) -> None:  # noqa: ANN401  (h5py)
    """Raise InputError if the numbers of an HDF5 dataset are in other files, which could be any of this machine."""
    if dataset.is_virtual or dataset.external:
        raise InputError(f"{path}: {dataset.name} takes its numbers from other files: refused; copy them into this one")


def check_dataset(path: Path, dataset: Any) -> None:  # noqa: ANN401  (h5py or zarr)
    """Raise InputError if a dataset of an HDF5 file or array of a Zarr folder looks made to fill memory or disk."""
    size = math.prod(dataset.shape or ()) * np.dtype(dataset.dtype).itemsize
    if size > ALWAYS_READ:  # the chunks of a Zarr array are many files, and counted only then
        check_unpacked(path, size, dataset.id.get_storage_size() if hasattr(dataset, "id") else _on_disk(path, dataset))


def _on_disk(path: Path, array: Any) -> int:  # noqa: ANN401  (zarr)
    """Return the bytes of the files of an array in a Zarr folder; links are not followed."""
    return sum(file.lstat().st_size for file in (path / array.path).rglob("*") if not file.is_dir())


def check_unpacked(path: Path, size: int, stored: int) -> None:
    """Raise InputError if `size` bytes from `stored` ones look like a file made to fill memory or disk."""
    if size > ALWAYS_READ and size > LARGEST_RATIO * stored:
        raise InputError(f"{path}: unpacks to {size:,} bytes from {stored:,}: refused, maps do not compress so well")


def _choose(path: Path, key: str | None, names: list[str], shapes: dict[str, tuple[int, ...]], what: str) -> str:
    """Return the name of the array that holds the maps: `key`, `maps`, or the only candidate in `shapes`."""
    held = ", ".join(f"{name} {shapes[name]}" if name in shapes else name for name in names[:12]) or "nothing"
    if key is not None:
        wanted = key.strip("/")
        if wanted not in names:
            raise InputError(f"{path}: holds no {what} {key!r} (data.maps_key); it holds {held}")
        return wanted
    if "maps" in shapes:
        return "maps"
    if len(shapes) == 1:
        return next(iter(shapes))
    if not shapes:
        raise InputError(f"{path}: holds no {what} with the shape of maps, (N, H, W) or (N, C, H, W); it holds {held}")
    raise InputError(f"{path}: holds {len(shapes)} {what}s that could be maps ({held}); name one by data.maps_key")


def _checked(array: Any, path: Path) -> Any:  # noqa: ANN401  (a numpy array or an h5py dataset)
    """Return `array`; raise InputError unless it holds floats and at least one map."""
    kind = np.dtype(array.dtype)
    if kind.kind != "f" or kind.itemsize not in (4, 8):
        raise InputError(f"{path}: holds {kind}; maps are float32 (or float64): save maps.astype('float32')")
    if array.shape is None or 0 in array.shape:
        raise InputError(f"{path}: has shape {array.shape} and so holds no map")
    return array


@dataclass(frozen=True, eq=False)
class _Folder:
    """A folder with one file per map."""

    files: tuple[Path, ...]
    one: tuple[int, ...]
    dtype: np.dtype[Any]
    key: str | None

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.files), *self.one)

    @property
    def ndim(self) -> int:
        return 1 + len(self.one)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, index: int) -> Array:
        found = _open_single(self.files[index], self.key)
        if found.shape != self.one:
            raise InputError(f"{self.files[index]}: has shape {found.shape} now, had {self.one} when it was opened")
        return found


def _open_folder(folder: Path, key: str | None) -> MapArray:
    files = sorted(
        (path for path in folder.iterdir() if path.suffix in SINGLE_SUFFIXES and not path.name.startswith(".")),
        key=lambda path: _natural(path.name),
    )
    if not files:
        raise InputError(f"{folder}: no .npy or .npz files here; a folder of maps holds one map per file")
    first = _open_single(files[0], key)
    if first.ndim not in (2, 3):
        raise InputError(f"{files[0]}: has shape {first.shape}; in a folder of maps each file is (H, W) or (C, H, W)")
    for path in files[1:]:
        shape, dtype = _shape_of(path, key)
        if (shape, dtype) != (first.shape, first.dtype):
            raise InputError(
                f"{path}: has shape {shape} of {dtype}, but {files[0].name} has {first.shape} of {first.dtype}; "
                "all maps of a folder must agree"
            )
    return _Folder(tuple(files), tuple(first.shape), np.dtype(first.dtype), key)


def _open_single(path: Path, key: str | None) -> Array:
    """Return the map of a file that holds one map."""
    maps: Any = _read_npz(path, key) if path.suffix == ".npz" else open_npy(path)
    return np.asarray(maps)


def _shape_of(path: Path, key: str | None) -> tuple[tuple[int, ...], np.dtype[Any]]:
    maps: Any = _read_npz(path, key) if path.suffix == ".npz" else open_npy(path)
    return tuple(maps.shape), np.dtype(maps.dtype)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key that compares numbers in names as numbers."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name)]
