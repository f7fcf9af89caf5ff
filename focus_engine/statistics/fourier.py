"""Fourier transforms of stacks of maps, and sums over their modes in annuli of k: the only place for both.

Precision follows the maps: a large stack of float32 maps is transformed in float32, any other in float64. Imports numpy
alone, so that `focus power` starts fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.map_stack import physical_chunks

Array = NDArray[np.float64]
Field = NDArray[np.floating[Any]]
Modes = NDArray[np.complexfloating[Any, Any]]

SCIPY_PIXELS = 1 << 19
"""Pixels of a stack from which scipy transforms it: 8 maps of 256 x 256.

Scipy takes a third (float32) or half (float64) of the time of numpy, and a quarter of a second to import. The rule
depends on the stack alone, so that equal stacks have equal spectra in every process.
"""


ROWS_APART = 16
"""One row in so many is read for a number near the mean of a map."""

_SINGLE_MEANS = (1e-30, 1e37)
"""Lowest mean and highest sum of maps that are transformed in float32.

Fluctuations of 1e-7 of the lowest mean have full precision, and no mode exceeds the sum by more than the factor 2.
"""


_COMPLEX = {np.dtype(np.float32): np.complex64, np.dtype(np.float64): np.complex128}


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
class Transforms:
    """Transforms of the fluctuations of maps about their means, and these means.

    Attributes:
        modes: `rfft2` of the fields less a number near their mean, (n, H, W // 2 + 1), free to be overwritten.
        means: (n,) means of the fields.
    """

    modes: Modes
    means: Array

    @classmethod
    def of(cls, fields: Field, offsets: Array, precision: Precision) -> Transforms:
        """Transform fields (n, H, W), which may be overwritten, less whose means (n,) are `offsets`.

        What an offset leaves of the mean is as small as the fluctuations or smaller; float32 knows it to 1e-7 of these.
        """
        pixels = fields.shape[1] * fields.shape[2]
        modes = precision.transform(fields)
        return cls(modes, offsets + modes[:, 0, 0].real.astype(np.float64) / pixels)


class SingleTransforms:
    """Transforms of float32 maps (N, H, W), chunk by chunk, which are checked together afterwards.

    A map of 256 x 256 is transformed in 180 us, so that the 2 us of each small operation on a chunk of one count.
    """

    def __init__(self, stack: Field, precision: Precision) -> None:
        """Start with no map transformed."""
        self._stack, self._precision = stack, precision
        self._lowest, self._offsets, self._rests = (np.full(len(stack), np.nan, dtype=np.float32) for _ in range(3))

    def modes(self, rows: slice) -> Modes:
        """Return the transforms (n, H, W // 2 + 1) of a chunk of maps, less a number near their means.

        The means of every 16th row, less than 4 standard deviations of the pixels from those of the maps, are near
        enough for the precision of the transform. It has the means of all pixels for nothing.
        """
        chunk = self._stack[rows]
        some = chunk[:, ::ROWS_APART]
        offsets = np.add.reduce(some, axis=(1, 2)) / np.float32(some[0].size)
        modes = self._precision.transform(chunk - offsets[:, None, None])
        self._lowest[rows], self._offsets[rows], self._rests[rows] = chunk.min(), offsets, modes[:, 0, 0].real
        return modes

    @cached_property
    def means(self) -> Array:
        """The means of the maps, (N,), once all are transformed."""
        means: Array = self._offsets + self._rests.astype(np.float64) / self._stack[0].size
        return means

    def good(self) -> NDArray[np.bool_]:
        """Return whether each map is physical and far from the limits of float32, (N,).

        Infinite pixels show in the means.
        """
        low, high = _SINGLE_MEANS
        within = (self.means > low) & (self.means + self._offsets < high / self._stack[0].size)  # NaN is neither
        return np.asarray(within & (self._lowest >= 0), dtype=np.bool_)


def density_transforms(stack: NDArray[np.generic], rows: slice, precision: Precision, what: str = "map") -> Transforms:
    """Return the transforms of a chunk `rows` of physical maps (N, H, W).

    Raises:
        InputError: a map is not finite, has negative pixels or is zero everywhere; the message names the first.
    """
    if precision.single:
        found = SingleTransforms(np.asarray(stack[rows], dtype=np.float32), precision)
        with np.errstate(over="ignore", invalid="ignore"):
            modes = found.modes(slice(None))
            if found.good().all():
                return Transforms(modes, found.means)
    [(_, chunk, means)] = physical_chunks(stack[rows], what, rows.start)
    chunk -= means[:, None, None]
    return Transforms.of(chunk, means, precision)


def log_transforms(stack: NDArray[np.generic], rows: slice, precision: Precision, floor: float) -> Transforms:
    """Return the transforms of log10 of a chunk of physical maps (N, H, W); pixels below `floor` are raised to it.

    Raises:
        InputError: as `density_transforms`.
    """
    [(_, chunk, _)] = physical_chunks(stack[rows], number=rows.start)
    return _less_mean(np.log10(np.maximum(chunk, floor, out=chunk), out=chunk), precision)


def field_transforms(stack: NDArray[np.generic], rows: slice, precision: Precision, label: str) -> Transforms:
    """Return the transforms of a chunk of fields (N, H, W) of any sign, called `label` in messages.

    Raises:
        InputError: a field is not finite.
    """
    chunk = np.array(stack[rows], dtype=np.float64)
    finite = np.isfinite(chunk.mean(axis=(1, 2)))
    if not finite.all():
        bad = rows.start + int(np.argmin(finite))
        raise InputError(f"{label} {bad} holds NaN or infinite pixels; finite fields are needed")
    return _less_mean(chunk, precision)


def _less_mean(chunk: Array, precision: Precision) -> Transforms:
    means = np.asarray(chunk.mean(axis=(1, 2)), dtype=np.float64)
    chunk -= means[:, None, None]
    return Transforms.of(chunk.astype(precision.dtype, copy=False), means, precision)


@dataclass(frozen=True, eq=False)
class Annuli:
    """The annuli [n, n + 1) of modes of maps (H, W), in units of the fundamental wavenumber of the longest side.

    Attributes:
        order: (n_modes,) places in the half plane (H, W // 2 + 1) of one mode of each conjugate pair, by annulus from
            n = 1.
        starts: (n_bins,) where each annulus begins in `order`; none is empty, as the longest side has each n to H / 2.
        modes: (n_bins,) number of modes of each annulus.
        mean_n: (n_bins,) mean |k| of these.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    modes: NDArray[np.int64]
    mean_n: Array

    def ordered(self, modes: Modes, scale: np.float32 | None = None) -> Field:
        """Return real and imaginary parts of the modes (n, H, W // 2 + 1) by annulus, times `scale`: (n, 2 n_modes)."""
        by_annulus = modes.reshape(len(modes), -1).take(self.order, axis=1, mode="clip").view(modes.real.dtype)
        return by_annulus if scale is None else np.multiply(by_annulus, scale, out=by_annulus)

    def sums(self, products: Field) -> Field:
        """Return the sums over each annulus of products of parts of ordered modes (n, 2 n_modes), (n, n_bins).

        Numpy adds pairwise, so that sums of float32 squares are good to 1e-6.
        """
        pairs: Modes = products.view(_COMPLEX[products.dtype])
        found: Modes = np.add.reduceat(pairs, self.starts, axis=1)
        return np.asarray(found.real + found.imag)


@lru_cache(maxsize=8)
def annuli(height: int, width: int) -> Annuli:
    """Return the annuli of the modes of maps (height, width) with square pixels."""
    longest = max(height, width)
    rows = np.fft.fftfreq(height, 1 / longest)[:, None]
    columns = np.fft.rfftfreq(width, 1 / longest)[None, :]
    n = np.sqrt(rows**2 + columns**2)
    index = np.floor(n + 1e-9).astype(np.intp)
    index[height // 2 + 1 :, [0, width // 2] if width % 2 == 0 else [0]] = 0  # here are both of each conjugate pair
    order = np.argsort(index, axis=None, kind="stable")
    order = order[np.count_nonzero(index == 0) :]
    modes = np.bincount(index.ravel())[1:]
    mean_n = np.bincount(index.ravel(), weights=n.ravel())[1:] / modes
    starts = np.cumsum(modes) - modes
    return Annuli(order, starts.astype(np.intp), modes.astype(np.int64), mean_n)
