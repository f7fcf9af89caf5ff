"""Arrays filled by blocks: in memory, or above 256 MiB in an unnamed temporary file that is memory-mapped."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.errors import FocusError

Array = NDArray[Any]

IN_MEMORY = 256 * 2**20
"""Arrays up to this size [bytes] are held in memory."""
_BLOCK = 16 * 2**20  # bytes copied at a time


def chosen_rows(maps: Array, rows: NDArray[np.intp]) -> Array:
    """Return the maps of ascending `rows` (n,): a view where they are consecutive, else a copy as `spooled` makes it.

    Indexing a memory-mapped array with the rows would copy all of them into memory.
    """
    if rows.size and rows[-1] - rows[0] + 1 == rows.size:
        return maps[int(rows[0]) : int(rows[-1]) + 1]
    return spooled((rows.size, *maps.shape[1:]), maps.dtype, lambda first, last: maps[rows[first:last]])


def spooled(shape: tuple[int, ...], dtype: np.dtype[Any], rows: Callable[[int, int], Any]) -> Array:
    """Return an array filled from `rows(first, last)`: in memory, or in an unnamed temporary file."""
    size = math.prod(shape) * dtype.itemsize
    step = max(1, _BLOCK * shape[0] // max(1, size)) if shape else 1
    target: Array = np.empty(shape, dtype) if size <= IN_MEMORY else _temporary(shape, dtype)
    for first in range(0, shape[0], step):
        target[first : first + step] = rows(first, min(shape[0], first + step))
    return target


def _temporary(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    size = math.prod(shape) * dtype.itemsize
    try:
        with tempfile.TemporaryFile() as file:
            file.truncate(size)  # the mapping keeps the unnamed file alive
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        needed = f"{size / 2**20:.0f} MiB of maps"
        raise FocusError(f"{tempfile.gettempdir()}: no room for {needed} ({error.strerror}); set TMPDIR") from None
