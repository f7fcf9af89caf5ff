"""Opening a .npy file as a memory map, with clear errors.

numpy's own messages describe reshaping and mmap lengths; these describe the file. The header is read first, so that
a truncated copy or a pickle is rejected (and never run) before the file is mapped.
"""

from __future__ import annotations

import math
import tokenize
import warnings
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from focus_engine.errors import InputError

MappedArray: TypeAlias = "np.memmap[tuple[int, ...], np.dtype[np.floating]]"

_MAGIC = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_SAVE = "save the maps as one plain array: numpy.save(file, maps.astype('float32'))"

_HEADER_ERRORS = (
    *(ValueError, EOFError, SyntaxError, TypeError, UserWarning, tokenize.TokenError),
    *(RecursionError, MemoryError),  # of Python's parser, for thousands of signs or brackets
)


def open_npy(path: Path) -> MappedArray:
    """Return the floats of a .npy file as a read-only memory map; only the header is read.

    Raises:
        InputError: the file is missing, unreadable, not a .npy, truncated, or holds other types than floats
            (pickled objects are refused, not run).
    """
    try:
        with path.open("rb") as file:
            shape, dtype = _read_header(path, file)
            offset, held = file.tell(), path.stat().st_size
        if dtype.hasobject:
            raise InputError(f"{path}: holds pickled Python objects, which are refused, not loaded; {_SAVE}")
        if dtype.kind != "f" or dtype.itemsize not in (4, 8):
            raise InputError(f"{path}: holds {dtype}; maps are float32 (or float64); {_SAVE}")
        needed = math.prod(shape) * dtype.itemsize
        if held - offset < needed:
            raise InputError(
                f"{path}: is truncated: shape {shape} of {dtype} needs {needed + offset:,} bytes, the file has "
                f"{held:,}; copy or download it again"
            )
        if needed == 0:
            raise InputError(f"{path}: has shape {shape} and so holds no map; {_SAVE}")
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; see data.maps_path and data.data_dir") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error}); see data.maps_path") from error
    assert isinstance(mapped, np.memmap)  # noqa: S101  (narrows the type: np.load maps files that are not archives)
    return mapped


def _read_header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Return shape and dtype, and leave `file` at the first byte of the data."""
    magic = file.read(len(_MAGIC))
    if magic.startswith(_ZIP):
        raise InputError(f"{path}: is a .npz (zip) archive, which can't be memory-mapped; {_SAVE}")
    if magic != _MAGIC:
        what = "is empty" if not magic else "is not a .npy file (a pickle is never loaded)"
        raise InputError(f"{path}: {what}; {_SAVE}")
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy only warns of headers that it had to repair
            first = np.lib.format.read_magic(file) == (1, 0)
            read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
    except _HEADER_ERRORS:
        raise InputError(f"{path}: its .npy header is damaged; copy or make the file again") from None
    if any(length < 0 for length in shape):
        raise InputError(f"{path}: its .npy header is damaged (shape {shape}); copy or make the file again")
    return shape, dtype
