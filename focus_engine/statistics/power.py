"""The power spectrum of two-dimensional maps: the only P(k) of the project.

Every curve, score and error that FOCUS shows comes from here, so that no two screens can disagree. Maps are
physical (never logarithmic, never standardised) and periodic; P(k) has units of (Mpc/h)² and no window is
deconvolved, because CMD maps are not CIC-painted. Needs numpy alone, so that `focus power` starts fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import InputError
from focus_engine.units import NORMALISED

Array = NDArray[np.float64]

DENSITY_LABEL = "density contrast"
LOG_LABEL = "log field"
FIELD_LABEL = NORMALISED

_CHUNK_PIXELS = 1 << 16  # half a MiB of float64: a chunk and its transform stay in the cache of one core


@dataclass(frozen=True)
class PowerSpectrum:
    """P(k) of each of `n_maps` maps in annuli one fundamental frequency wide."""

    k: Array  # (n_bins,) h/Mpc: the mean |k| of the modes in each bin
    power: Array  # (n_maps, n_bins) (Mpc/h)²
    modes: NDArray[np.int64]  # (n_bins,) independent modes: each conjugate pair counts once
    k_edges: Array  # (n_bins + 1,) h/Mpc: bin i is [k_edges[i], k_edges[i + 1])
    box_size: float  # Mpc/h: the side along the last axis
    k_nyquist: float  # h/Mpc: π over the pixel size; bins above it hold only the corners of the square
    label: str = DENSITY_LABEL  # what was transformed

    @property
    def n_maps(self) -> int:
        """How many maps were measured."""
        return int(self.power.shape[0])

    @cached_property
    def mean(self) -> Array:
        """The mean P(k) of the maps, (n_bins,), in (Mpc/h)²."""
        return np.asarray(self.power.mean(axis=0), dtype=np.float64)

    @cached_property
    def std(self) -> Array:
        """The scatter of P(k) from map to map, (n_bins,), in (Mpc/h)²; NaN for a single map."""
        if self.n_maps < 2:
            return np.full(self.k.shape, np.nan)
        return np.asarray(self.power.std(axis=0, ddof=1), dtype=np.float64)

    def below(self, fraction: float) -> NDArray[np.bool_]:
        """Return which bins lie below `fraction` of the Nyquist frequency, (n_bins,)."""
        return np.asarray(self.k < fraction * self.k_nyquist)


def power_spectrum(maps: ArrayLike, box_size: float) -> PowerSpectrum:
    """Measure P(k) = |FFT δ|² L² / N⁴ of the density contrast δ = f / mean(f) − 1 of each map.

    Args:
        maps: physical, non-negative maps, (N, H, W), (N, 1, H, W) or (H, W), with square pixels; may be
            memory-mapped, for they are read in chunks.
        box_size: the side along the last axis in Mpc/h.

    Returns:
        P(k) in (Mpc/h)² in bins [n, n + 1) 2π/L (L the longest side), from n = 1 to the corner of Fourier
        space, as in the `Pk_plane` of Pylians (Villaescusa-Navarro 2018) with MAS='None'.

    Raises:
        InputError: for another shape or dtype, a box size that is not positive, and for a map that is not
            finite, has negative pixels or a mean of zero.
    """
    return _spectrum(as_map_stack(maps), box_size, DENSITY_LABEL)


def field_power_spectrum(fields: ArrayLike, box_size: float, label: str = LOG_LABEL) -> PowerSpectrum:
    """Measure the power of the fluctuations f − mean(f) of a field that is no density, such as log10 f.

    As `power_spectrum`, but nothing is divided by the mean and any sign is allowed: the unit is that of f²
    times (Mpc/h)². The label goes with the result so that nobody mistakes it for P(k).

    Raises:
        InputError: as `power_spectrum`, except that negative and zero-mean fields are allowed.
    """
    if label == DENSITY_LABEL:
        raise InputError(f"the power of a field other than the density contrast can't be labelled {label!r}")
    return _spectrum(as_map_stack(fields), box_size, label)


def measured_power(maps: ArrayLike, box_size: float, units: str) -> PowerSpectrum:
    """Measure P(k) of maps in `units`: of the density contrast, or of a normalised field, which is no density.

    Raises:
        InputError: as `power_spectrum` or `field_power_spectrum`.
    """
    if units == NORMALISED:
        return field_power_spectrum(maps, box_size, FIELD_LABEL)
    return power_spectrum(maps, box_size)


def as_map_stack(maps: ArrayLike, what: str = "maps") -> NDArray[np.generic]:
    """Return maps as (N, H, W) without copying; (H, W) and (N, 1, H, W) are accepted.

    Raises:
        InputError: for anything that is not a stack of real single-channel maps of at least 2 pixels.
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


def physical_chunks(stack: NDArray[np.generic], what: str = "map") -> Iterator[tuple[int, Array, Array]]:
    """Yield (first, chunk (n, H, W) as a fresh float64 copy, its means (n,)) over a stack of physical maps.

    Raises:
        InputError: naming the first map that is not finite, is negative somewhere, or is zero everywhere.
    """
    step = max(1, _CHUNK_PIXELS // (stack.shape[1] * stack.shape[2]))
    for first in range(0, stack.shape[0], step):
        chunk = np.array(stack[first : first + step], dtype=np.float64)
        means = np.asarray(chunk.mean(axis=(1, 2)), dtype=np.float64)
        lowest = chunk.min(axis=(1, 2))
        good = (lowest >= 0) & (means > 0) & np.isfinite(means)
        if not good.all():
            bad = int(np.argmin(good))
            raise InputError(
                f"{what} {first + bad} {_fault(chunk[bad])}: P(k) needs finite, non-negative maps in physical "
                "units, not the logarithm of a field or a normalised one"
            )
        yield first, chunk, means


def _fault(pixels: Array) -> str:
    if count := int((~np.isfinite(pixels)).sum()):
        return f"holds {count} NaN or infinite pixels"
    if count := int((pixels < 0).sum()):
        return f"holds {count} negative pixels (lowest {pixels.min():.4g})"
    return f"has a mean of {pixels.mean():.4g}"


def _fluctuations(stack: NDArray[np.generic], label: str) -> Iterator[tuple[int, Array]]:
    """Yield what is transformed: the density contrast, or the field less its mean."""
    if label == DENSITY_LABEL:
        for first, chunk, means in physical_chunks(stack):
            yield first, np.divide(chunk, means[:, None, None], out=chunk) - 1
        return
    step = max(1, _CHUNK_PIXELS // (stack.shape[1] * stack.shape[2]))
    for first in range(0, stack.shape[0], step):
        chunk = np.array(stack[first : first + step], dtype=np.float64)
        means = chunk.mean(axis=(1, 2))
        if not np.isfinite(means).all():
            bad = first + int(np.argmin(np.isfinite(means)))
            raise InputError(f"{label} {bad} holds NaN or infinite pixels; finite fields are needed")
        yield first, chunk - means[:, None, None]


@dataclass(frozen=True)
class _Binning:
    """Which bin each mode of the half plane of a real transform falls into."""

    index: NDArray[np.intp]  # (H * (W // 2 + 1),): 0 for a mode that isn't counted, else its bin n ≥ 1
    modes: NDArray[np.int64]  # (n_bins,)
    mean_n: Array  # (n_bins,): mean |k| in units of the fundamental frequency of the longest side


@lru_cache(maxsize=8)
def _binning(height: int, width: int) -> _Binning:
    longest = max(height, width)
    rows = np.fft.fftfreq(height, 1 / longest)[:, None]
    columns = np.fft.rfftfreq(width, 1 / longest)[None, :]
    n = np.sqrt(rows**2 + columns**2)
    index = np.floor(n + 1e-9).astype(np.intp)
    # In the columns k_x = 0 and Nyquist the half plane holds both modes of each conjugate pair: keep one.
    twice = np.zeros(index.shape, dtype=bool)
    own_mirror = [0, width // 2] if width % 2 == 0 else [0]
    twice[height // 2 + 1 :, own_mirror] = True
    index[twice] = 0
    flat = index.ravel()
    modes = np.bincount(flat)[1:]
    mean_n = np.bincount(flat, weights=n.ravel())[1:] / modes
    return _Binning(flat, modes.astype(np.int64), mean_n)


def _spectrum(stack: NDArray[np.generic], box_size: float, label: str) -> PowerSpectrum:
    if not (np.isfinite(box_size) and box_size > 0):
        raise InputError(f"box_size is {box_size}; a positive length in Mpc/h is needed")
    n_maps, height, width = stack.shape
    binning = _binning(height, width)
    pixel = box_size / width
    k_fundamental = 2 * np.pi / (pixel * max(height, width))
    n_bins = binning.modes.size
    power = np.empty((n_maps, n_bins))
    for first, chunk in _fluctuations(stack, label):
        transform = np.fft.rfft2(chunk)
        squares = transform.real**2 + transform.imag**2
        for row, square in enumerate(squares.reshape(len(chunk), -1), first):
            power[row] = np.bincount(binning.index, weights=square)[1:]
    # L_x L_y / (H W)², which is L² / N⁴ for a square map, over the modes of each bin.
    power *= pixel**2 / (height * width) / binning.modes
    return PowerSpectrum(
        k=binning.mean_n * k_fundamental,
        power=power,
        modes=binning.modes.copy(),
        k_edges=k_fundamental * np.arange(1, n_bins + 2),
        box_size=float(box_size),
        k_nyquist=float(np.pi / pixel),
        label=label,
    )
