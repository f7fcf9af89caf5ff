"""Generators with a known fault, made of true maps that are not those of the trial's real simulations.

Most faults change every map of a set; others choose which maps are returned at which parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from judge_pool import Array, Index, Maps, Pool

Choice = Literal["independent", "grouped", "reversed", "shuffled", "repeated", "memorised"]


@dataclass(frozen=True)
class Fault:
    """A generator with a known fault.

    Attributes:
        name: key in the results.
        words: what it does.
        change: function from maps (N, H, W), their points (N,) and the pool to changed maps; None if it returns true
            maps.
        choice: how maps are chosen for each parameter point.
        every: whether it changes every map of the pool, not a few of each universe: two of each of 9 universes are
            by chance 1.5 % lighter than all, a third of the fault to be found.
    """

    name: str
    words: str
    change: Callable[[Array, Index, Pool], Array] | None = None
    choice: Choice = "independent"
    every: bool = False

    @property
    def perfect(self) -> bool:
        """Whether it returns true maps at their own parameters."""
        return self.change is None and self.choice in {"independent", "grouped"}


def spread_rows(pool: Pool, per_universe: int) -> Index:
    """Return rows of some maps of every universe (U, G, per_universe), along different axes and at different places."""
    universes, points, slabs = pool.maps.shape[:3]
    universe, point, place = np.ogrid[:universes, :points, :per_universe]
    slab = (2 * universe + point + 7 * place) % slabs
    return np.asarray(pool.rows[universe, point, slab], dtype=np.intp)


def _contrast(maps: Array) -> Array:
    return np.asarray(maps / maps.mean(axis=(1, 2), keepdims=True) - 1)


def _density(contrast: Array, like: Array) -> Array:
    """Return maps with the means of `like`, whose pixels are raised to the lowest of each of these."""
    means = like.mean(axis=(1, 2), keepdims=True)
    density = np.maximum(1 + contrast, like.min(axis=(1, 2), keepdims=True) / means)
    return np.asarray(density / density.mean(axis=(1, 2), keepdims=True) * means)


def _wavenumber(side: int) -> Array:
    """Return |k| of the modes of `rfft2` in units of the fundamental wavenumber."""
    return np.hypot(np.fft.fftfreq(side, 1 / side)[:, None], np.fft.rfftfreq(side, 1 / side)[None, :])


def _filtered(fields: Array, transfer: Array) -> Array:
    return np.asarray(np.fft.irfft2(np.fft.rfft2(fields) * transfer, s=fields.shape[1:], axes=(1, 2)))


def mean_up(maps: Array, points: Index, pool: Pool) -> Array:  # noqa: ARG001
    """Return maps with 5 % more mass."""
    return 1.05 * maps


def small_scales_up(maps: Array, points: Index, pool: Pool) -> Array:  # noqa: ARG001
    """Return maps with 5 % more power at the small scales of the judge.

    The filter rises over half an octave: at a sharp edge peaks would ring, which empties voids.
    """
    side = maps.shape[-1]
    begins = (0.8 * side / 2) ** (2 / 3)  # the highest third in log k below 0.8 of the Nyquist wavenumber
    rise = np.clip(2 * np.log2(np.maximum(_wavenumber(side), 1) / begins) + 1, 0, 1)
    return _density(_filtered(_contrast(maps), np.sqrt(1 + 0.05 * rise)), maps)


def narrow_means(maps: Array, points: Index, pool: Pool) -> Array:
    """Return maps whose means are nearer to the mean of their parameter point by a fifth."""
    middle = pool.maps.mean(axis=(0, 2, 3, 4), dtype=np.float64)[points]
    means = maps.mean(axis=(1, 2))
    return np.asarray(maps * ((middle + 0.8 * (means - middle)) / means)[:, None, None])


def smoothed(maps: Array, points: Index, pool: Pool) -> Array:  # noqa: ARG001
    """Return maps smoothed by a Gaussian of one pixel."""
    side = maps.shape[-1]
    return _filtered(maps, np.exp(-((2 * np.pi * _wavenumber(side) / side) ** 2) / 2))


def noisy(maps: Array, points: Index, pool: Pool) -> Array:  # noqa: ARG001
    """Return maps with white noise of 5 % of the standard deviation of their density."""
    contrast = _contrast(maps)
    noise = np.random.default_rng(31).standard_normal(maps.shape)
    return _density(contrast + 0.05 * contrast.std(axis=(1, 2), keepdims=True) * noise, maps)


def clipped(maps: Array, points: Index, pool: Pool) -> Array:
    """Return maps without pixels above the 99.9th percentile of true pixels of their parameters."""
    limits = np.quantile(np.moveaxis(pool.maps, 1, 0).reshape(pool.maps.shape[1], -1), 0.999, axis=1)
    return np.minimum(maps, limits[points][:, None, None])


def random_phases(maps: Array, points: Index, pool: Pool) -> Array:  # noqa: ARG001
    """Return maps with the amplitudes of their log density and random phases; each keeps its mean density."""
    logs = np.log(maps)
    noise = np.fft.rfft2(np.random.default_rng(32).standard_normal(maps.shape))
    phases = noise / np.abs(noise)
    phases[:, 0, 0] = 1
    fields = np.fft.irfft2(np.abs(np.fft.rfft2(logs - logs.mean(axis=(1, 2), keepdims=True))) * phases, axes=(1, 2))
    density = np.exp(fields)
    return np.asarray(density / density.mean(axis=(1, 2), keepdims=True) * maps.mean(axis=(1, 2), keepdims=True))


def gaussian(maps: Array, points: Index, pool: Pool) -> Array:
    """Return Gaussian fields with the mean P(k) of the density at their point, raised to a floor where negative."""
    noise = np.fft.rfft2(np.random.default_rng(33).standard_normal(maps.shape))
    power = np.empty((pool.maps.shape[1], *noise.shape[1:]))
    for point in range(len(power)):
        own = pool.maps[:, point].reshape(-1, *maps.shape[1:]).astype(np.float64)
        power[point] = (np.abs(np.fft.rfft2(_contrast(own))) ** 2).mean(axis=0) / own[0].size
    return _density(np.fft.irfft2(noise * np.sqrt(power[points]), axes=(1, 2)), maps)


def memorised(maps: Array, points: Index, pool: Pool) -> Array:  # noqa: ARG001
    """Return training maps turned, mirrored and shifted at random."""
    rng = np.random.default_rng(34)
    return np.stack([_moved(one, rng) for one in maps])


def _moved(one: Array, rng: np.random.Generator) -> Array:
    turned = np.rot90(one, rng.integers(4))
    mirrored = turned[::-1] if rng.integers(2) else turned
    return np.roll(mirrored, tuple(rng.integers(one.shape[0], size=2)), axis=(0, 1))


FAULTS = (
    Fault("perfect", "none: independent true maps"),
    Fault("grouped", "none: true maps of whole simulations, with their ids", choice="grouped"),
    Fault("sigma8_reversed", "maps of the point with mirrored σ₈ and the nearest Ω_m", choice="reversed"),
    Fault("shuffled", "parameters shuffled", choice="shuffled"),
    Fault("mean_up", "mean density + 5 %", mean_up, every=True),
    Fault("small_scales_up", "P(k) + 5 % at small scales", small_scales_up),
    Fault("narrow_means", "scatter of the slab mean − 20 %", narrow_means),
    Fault("repeated", "one true map repeated at each point", choice="repeated"),
    Fault("memorised", "training maps turned, mirrored and shifted", memorised, choice="memorised"),
    Fault("random_phases", "phases of log density randomised", random_phases),
    Fault("gaussian", "Gaussian density of the right P(k), raised to the lowest true pixel where lower", gaussian),
    Fault("clipped", "pixels clipped at the 99.9th percentile", clipped),
    Fault("smoothed", "smoothed by a Gaussian of one pixel", smoothed),
    Fault("noisy", "white noise of 5 % of σ(δ)", noisy),
)
"""The generators, the perfect ones first."""

FAULT_BY_NAME = {fault.name: fault for fault in FAULTS}


def changed_maps(fault: Fault, pool: Pool, rows: Index) -> Maps:
    """Return the maps that a fault makes of the maps `rows` (U, G, m) of the pool, or of the training maps."""
    if fault.change is None:
        raise ValueError(fault.name)
    if fault.choice == "memorised":
        maps, points = pool.training.reshape(-1, *pool.training.shape[2:]), np.arange(pool.training.shape[0])
        of = np.repeat(points, pool.training.shape[1])
    else:
        maps, of = pool.flat[rows.ravel()], np.broadcast_to(np.arange(rows.shape[1])[:, None], rows.shape).ravel()
    return fault.change(maps.astype(np.float64), of.astype(np.intp), pool).astype(np.float32)
