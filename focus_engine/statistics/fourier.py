"""Fourier transforms of stacks of maps, and sums over their modes in annuli of k: the only place for both.

Precision follows the maps: a large stack of float32 maps is transformed in float32, any other in float64. Means of
maps and sums over modes are float64 in both. Imports numpy alone, so that `focus power` starts fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.map_stack import chunk_rows, chunks, physical_chunks

Array = NDArray[np.float64]
Field = NDArray[np.floating[Any]]
Modes = NDArray[np.complexfloating[Any, Any]]

SCIPY_PIXELS = 1 << 19
"""Pixels of a stack from which scipy transforms it: 8 maps of 256 x 256.

Scipy takes a third (float32) or half (float64) of the time of numpy, and a quarter of a second to import. The rule
depends on the stack alone, so that equal stacks have equal spectra in every process.
"""


@dataclass(frozen=True)
class Precision:
    """The library that transforms a stack of maps, and the type of its numbers."""

    dtype: np.dtype[Any]
    by_scipy: bool

    @classmethod
    def of(cls, stacks: Sequence[NDArray[np.generic]]) -> Precision:
        """Return that of stacks (N, H, W) of fields of the same maps.

        Numpy is slower in float32 than in float64, so that what it transforms is float64.
        """
        by_scipy = stacks[0].size >= SCIPY_PIXELS
        single = by_scipy and all(stack.dtype == np.float32 for stack in stacks)
        return cls(np.dtype(np.float32 if single else np.float64), by_scipy)

    @property
    def single(self) -> bool:
        """Whether transforms are in float32."""
        return bool(self.dtype == np.float32)

    def transform(self, fields: Field) -> Modes:
        """Return `rfft2` of fields (n, H, W), which may be overwritten: (n, H, W // 2 + 1)."""
        if not self.by_scipy:
            return np.fft.rfft2(fields)
        from scipy import fft  # noqa: PLC0415  (takes longer than measuring a few maps)

        modes: Modes = fft.rfft2(fields, overwrite_x=True)
        return modes


@dataclass(frozen=True, eq=False)
class Fluctuations:
    """Fields less a number near their mean, and that number.

    Attributes:
        first: place of the first map in the stack.
        fields: (n, H, W), free to be overwritten.
        offsets: (n,) what was subtracted of each map.
    """

    first: int
    fields: Field
    offsets: Array

    def transform(self, precision: Precision) -> tuple[Modes, Array]:
        """Return the transform of the fields (n, H, W // 2 + 1), and the means of the maps (n,).

        What the offset leaves of the mean is small, so that a float32 transform knows it well enough: to 1e-9.
        """
        pixels = self.fields.shape[1] * self.fields.shape[2]
        modes = precision.transform(self.fields)
        return modes, np.asarray(self.offsets + modes[:, 0, 0].real.astype(np.float64) / pixels)


def density_fluctuations(stack: NDArray[np.generic], precision: Precision, what: str = "map") -> Iterator[Fluctuations]:
    """Yield the fluctuations of chunks of physical maps (N, H, W).

    Raises:
        InputError: a map is not finite, has negative pixels or is zero everywhere; the message names the first.
    """
    for rows in chunk_rows(stack):
        chunk = np.asarray(stack[rows])
        offsets = _rough_means(chunk) if precision.single else None
        if offsets is not None:
            yield Fluctuations(rows.start, chunk - offsets[:, None, None], offsets.astype(np.float64))
            continue
        for first, wide, means in physical_chunks(chunk, what, rows.start):
            np.subtract(wide, means[:, None, None], out=wide)
            yield Fluctuations(rows.start + first, wide.astype(precision.dtype, copy=False), means)


def _rough_means(chunk: Field) -> NDArray[np.float32] | None:
    """Return the means of float32 maps, (n,), to about 1e-6; None if a map is not physical, or overflows.

    Float32 sums take a third of the time of float64 ones, and `Fluctuations.transform` has the exact ones for nothing.
    """
    count, _, width = chunk.shape
    rows = chunk.reshape(-1, width) @ np.ones(width, np.float32)
    means = rows.reshape(count, -1).sum(axis=1) / np.float32(chunk[0].size)
    good = (chunk.reshape(count, -1).min(axis=1) >= 0) & (means > 0) & np.isfinite(means)
    return means if good.all() else None


def log_fluctuations(stack: NDArray[np.generic], precision: Precision, floor: float) -> Iterator[Fluctuations]:
    """Yield the fluctuations of log10 of chunks of physical maps (N, H, W); pixels below `floor` are raised to it.

    Raises:
        InputError: as `density_fluctuations`.
    """
    for first, chunk, _ in physical_chunks(stack):
        yield _less_mean(first, np.log10(np.maximum(chunk, floor, out=chunk), out=chunk), precision)


def field_fluctuations(stack: NDArray[np.generic], precision: Precision, label: str) -> Iterator[Fluctuations]:
    """Yield the fluctuations of chunks of fields (N, H, W) of any sign, called `label` in messages.

    Raises:
        InputError: a field is not finite.
    """
    for first, chunk in chunks(stack):
        finite = np.isfinite(chunk.mean(axis=(1, 2)))
        if not finite.all():
            bad = first + int(np.argmin(finite))
            raise InputError(f"{label} {bad} holds NaN or infinite pixels; finite fields are needed")
        yield _less_mean(first, chunk, precision)


def _less_mean(first: int, chunk: Array, precision: Precision) -> Fluctuations:
    means = np.asarray(chunk.mean(axis=(1, 2)), dtype=np.float64)
    chunk -= means[:, None, None]
    return Fluctuations(first, chunk.astype(precision.dtype, copy=False), means)


@dataclass(frozen=True, eq=False)
class Annuli:
    """The annuli [n, n + 1) of modes of maps (H, W), in units of the fundamental wavenumber of the longest side.

    Attributes:
        shape: (H, W).
        index: the annulus n of each mode with k_y ≥ 0 and k_x ≥ 0, (H // 2 + 1, W // 2 + 1); 0 for the mean.
        modes: (n_bins,) independent modes of each annulus n ≥ 1: each conjugate pair counts once.
        mean_n: (n_bins,) mean |k| of these.
    """

    shape: tuple[int, int]
    index: NDArray[np.intp]
    modes: NDArray[np.int64]
    mean_n: Array

    def sums(self, products: Field) -> Array:
        """Return the sums of products of modes (n, H, W // 2 + 1) over each annulus, (n, n_bins); overwrites them.

        Those with −k_y are added to those with k_y first, because numbering by annulus costs most. In the columns
        k_x = 0 and Nyquist both are one conjugate pair, and the second is left out.
        """
        down, right = ((side + 1) // 2 for side in self.shape)
        products[:, 1:down, 1:right] += products[:, :-down:-1, 1:right]
        quarter = np.ascontiguousarray(products[:, : self.shape[0] // 2 + 1]).reshape(len(products), -1)
        return np.array([np.bincount(self.index.ravel(), weights=row)[1:] for row in quarter])


@lru_cache(maxsize=8)
def annuli(height: int, width: int) -> Annuli:
    """Return the annuli of the modes of maps (height, width) with square pixels."""
    longest = max(height, width)
    rows = np.fft.fftfreq(height, 1 / longest)[:, None]
    columns = np.fft.rfftfreq(width, 1 / longest)[None, :]
    n = np.sqrt(rows**2 + columns**2)
    index = np.floor(n + 1e-9).astype(np.intp)
    once = np.ones(n.shape, dtype=bool)  # in the columns k_x = 0 and Nyquist the half plane holds both of each pair
    once[height // 2 + 1 :, [0, width // 2] if width % 2 == 0 else [0]] = False
    modes = np.bincount(index[once])[1:]
    mean_n = np.bincount(index[once], weights=n[once])[1:] / modes
    return Annuli((height, width), index[: height // 2 + 1], modes.astype(np.int64), mean_n)
