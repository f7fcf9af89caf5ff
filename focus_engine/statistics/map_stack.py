"""Stacks of maps as the statistics read them: checked, and in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import InputError

Array = NDArray[np.float64]

_CHUNK_PIXELS = 1 << 16  # half a MiB of float64: a chunk and its transform fit in the cache of one core


@dataclass(frozen=True, eq=False)
class MapStack:
    """Maps of one kind, real or generated, with their box and kind of field.

    Attributes:
        values: the maps (N, H, W), in memory or memory-mapped.
        box_size: side along the last axis [Mpc/h].
        physical: whether they are a density rather than a normalised field.
        what: the name of one map in error messages.
        training: the maps that the generator was trained on (N_t, H, W); None if unknown.
        partner: another field of the same maps (N, H, W), for statistics of a pair of fields.
    """

    values: NDArray[np.generic]
    box_size: float
    physical: bool = True
    what: str = "map"
    training: NDArray[np.generic] | None = None
    partner: NDArray[np.generic] | None = None


def as_map_stack(maps: ArrayLike, what: str = "maps") -> NDArray[np.generic]:
    """Return maps as (N, H, W) without copying; (H, W) and (N, 1, H, W) are accepted.

    Raises:
        InputError: `maps` is not a stack of real-valued single-channel maps of at least 2 pixels.
    """
    stack = np.asarray(maps)
    if stack.dtype.kind not in "fiu":
        raise InputError(f"{what} have dtype {stack.dtype}; real numbers (float32 or float64) are needed")
    if stack.ndim == 2:
        stack = stack[None]
    if stack.ndim == 4 and stack.shape[1] == 1:
        stack = stack[:, 0]
    if stack.ndim == 4:
        raise InputError(
            f"{what} have {stack.shape[1]} channels (shape {stack.shape}); measure one at a time: maps[:, c]"
        )
    if stack.ndim != 3 or stack.shape[0] == 0 or stack.shape[1] * stack.shape[2] < 2:
        raise InputError(f"{what} have shape {stack.shape}; (N, H, W) or (H, W) is needed, with N ≥ 1")
    return stack


def as_channels(maps: ArrayLike, what: str = "maps") -> NDArray[np.generic]:
    """Return maps as (N, C, H, W) without copying; (N, H, W) and (H, W) have one channel.

    Raises:
        InputError: `maps` is not a stack of real-valued maps of at least 2 pixels.
    """
    stack = np.asarray(maps)
    if stack.ndim == 4 and stack.shape[1] > 1:
        as_map_stack(stack[:, 0], what)
        return stack
    return as_map_stack(stack, what)[:, None]


def chunks(stack: NDArray[np.generic]) -> Iterator[tuple[int, Array]]:
    """Yield (first, chunk (n, H, W) as a fresh float64 copy) over a stack of maps."""
    for rows in chunk_rows(stack):
        yield rows.start, np.array(stack[rows], dtype=np.float64)


def chunk_rows(stack: NDArray[np.generic]) -> Iterator[slice]:
    """Yield the maps of each chunk of a stack."""
    step = max(1, _CHUNK_PIXELS // (stack.shape[1] * stack.shape[2]))
    for first in range(0, stack.shape[0], step):
        yield slice(first, min(first + step, stack.shape[0]))


def physical_chunks(
    stack: NDArray[np.generic], what: str = "map", number: int = 0
) -> Iterator[tuple[int, Array, Array]]:
    """Yield (first, chunk (n, H, W) as a fresh float64 copy, its means (n,)) over a stack of physical maps.

    Raises:
        InputError: a map is not finite, has negative pixels or is zero everywhere; the message names the first, where
            that of the stack has this `number`.
    """
    for first, chunk in chunks(stack):
        means = np.asarray(chunk.mean(axis=(1, 2)), dtype=np.float64)
        lowest = chunk.min(axis=(1, 2))
        good = (lowest >= 0) & (means > 0) & np.isfinite(means)
        if not good.all():
            bad = int(np.argmin(good))
            raise InputError(
                f"{what} {number + first + bad} {_fault(chunk[bad])}: P(k) needs finite, non-negative maps in physical "
                "units, not the logarithm of a field or a normalised one"
            )
        yield first, chunk, means


def positive_range(maps: MapStack) -> tuple[float, float]:
    """Return the smallest positive and the highest pixel of physical maps.

    Raises:
        InputError: as `physical_chunks`.
    """
    smallest, highest = np.inf, 0.0
    for _, chunk, _ in physical_chunks(maps.values, maps.what):
        smallest = min(smallest, float(np.min(chunk, where=chunk > 0, initial=np.inf)))
        highest = max(highest, float(chunk.max()))
    return smallest, highest


def log_floor(real: MapStack) -> float:
    """Return the value to which pixels are raised before a logarithm: a tenth of the smallest positive real pixel."""
    return positive_range(real)[0] / 10


def _fault(pixels: Array) -> str:
    if count := int((~np.isfinite(pixels)).sum()):
        return f"holds {count} NaN or infinite pixels"
    if count := int((pixels < 0).sum()):
        return f"holds {count} negative pixels (lowest {pixels.min():.4g})"
    return f"has a mean of {pixels.mean():.4g}"
