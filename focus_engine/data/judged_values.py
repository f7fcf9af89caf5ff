"""Checks of the values of maps that are to be judged: finite, not constant, and not normalised."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.judged_maps import JudgedMaps

_CHUNK_PIXELS = 1 << 20

_HIGHEST = 1e100  # no density in any unit; squares of greater values overflow

_UNDO = "undo the normalisation and write the maps in physical units"


@dataclass
class _Range:
    """Moments of all values of one side."""

    low: float = np.inf
    high: float = -np.inf
    total: float = 0.0
    squares: float = 0.0
    count: int = 0

    def add(self, values: NDArray[np.float64]) -> None:
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.total += float(values.sum())
        self.squares += float(np.square(values).sum())
        self.count += values.size

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def std(self) -> float:
        return float(np.sqrt(max(0.0, self.squares / self.count - self.mean**2)))


def check_judged_values(side: JudgedMaps) -> Generator[int, None, None]:
    """Read every map and yield the number checked so far.

    Raises:
        InputError: a map is constant or not finite; or a density has negative values or looks normalised.
    """
    step = max(1, _CHUNK_PIXELS // int(np.prod(side.maps.shape[1:])))
    spans = [_Range() for _ in range(side.maps.shape[1])]
    for first in range(0, side.count, step):
        chunk = np.asarray(side.maps[first : first + step], dtype=np.float64)
        _check_chunk(side, first, chunk)
        for channel, span in enumerate(spans):
            span.add(chunk[:, channel])
        yield first + len(chunk)
    if side.physical:
        for channel, span in enumerate(spans):
            _check_scale(side, channel, span)


def _check_chunk(side: JudgedMaps, first: int, chunk: NDArray[np.float64]) -> None:
    """Raise InputError for the first bad map of a chunk, with the number of its bad pixels."""
    low, high = chunk.min(axis=(2, 3)), chunk.max(axis=(2, 3))  # NaN propagates to both
    good = np.isfinite(low) & np.isfinite(high) & (high > low) & (np.maximum(high, -low) < _HIGHEST)
    if side.physical:
        good &= low >= 0
    if good.all():
        return
    row, channel = (int(place) for place in np.argwhere(~good)[0])
    pixels = chunk[row, channel]
    where = f"{side.path}: map {first + row}" + (f", channel {channel}," if chunk.shape[1] > 1 else "")
    if count := int(np.count_nonzero(~np.isfinite(pixels))):
        raise InputError(f"{where} has {count} NaN or infinite of {pixels.size} pixels; leave it out or make it again")
    if pixels.min() < 0 and side.physical:
        count = int(np.count_nonzero(pixels < 0))
        raise InputError(
            f"{where} has {count} negative of {pixels.size} pixels (lowest {pixels.min():.4g}); densities are not "
            f"negative: if the maps are normalised or logarithms, {_UNDO}"
        )
    if np.abs(pixels).max() >= _HIGHEST:
        raise InputError(f"{where} has values up to {np.abs(pixels).max():.3g}; leave it out or make it again")
    raise InputError(f"{where} is constant ({pixels.flat[0]:.6g} everywhere); leave it out or make it again")


def _check_scale(side: JudgedMaps, channel: int, span: _Range) -> None:
    """Raise InputError where non-negative values look min-max normalised or like logarithms of a density."""
    which = f", channel {channel}," if side.maps.shape[1] > 1 else ""
    if span.low == 0 and span.high in {1.0, 255.0}:
        raise InputError(f"{side.path}{which} spans exactly 0 to {span.high:g}, as min-max normalised maps do; {_UNDO}")
    if 3 < span.mean < 20 and span.high < 30 and span.std < 0.2 * span.mean:
        raise InputError(
            f"{side.path}{which} has mean {span.mean:.3g} and standard deviation {span.std:.2g}, as log10 of a density "
            f"does; {_UNDO} (10**maps)"
        )
