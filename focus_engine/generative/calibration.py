r"""Calibration of drawn maps: what a network draws, brought to the spectrum and the one-point distribution it learned.

A network that has not converged draws maps with a few percent too little variance, at all scales alike, and with a tail
that is too short; as the density is a steep function of the normalised map, its mean falls by more. Nothing of this
needs a look at held-back data: the maps that the network draws at the parameters of training maps should have the
spectrum and the distribution of pixels of those.

Two corrections follow, fitted once, after training, in the network's own units:

1. Each Fourier mode is multiplied by g(k) = √(P_true(k) / P_drawn(k)).
2. Each pixel x becomes F_true⁻¹(F_drawn(x)), F the distribution of pixels after (1), piecewise linear between
   `QUANTILES`, and shifted beyond the outermost.

Pairs of maps are drawn from opposite noise, so that the mean of the noise is exactly 0, and P_drawn is corrected for
the power of the noise, which is known to be 1 (a control variate): the error is that of the maps, not of the draw.
A ratio that differs from 1 by less than its error is left alone. (Calibration by the mean of the score alone:
2302.10688.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from focus_engine.errors import FocusError, InputError
from focus_engine.generative.prior import mode_bins, mode_moments

Array = NDArray[np.float64]

QUANTILES = (
    *(3e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    *(round(0.01 + 0.02 * step, 2) for step in range(50)),
    *(1 - 3e-3, 1 - 1e-3, 1 - 3e-4, 1 - 1e-4, 1 - 3e-5),
)
"""Quantiles of the distribution of pixels at which it is corrected."""
FEWEST_PIXELS = 1000
"""Pixels beyond a quantile that is used: the densest of 512 maps of 32 x 32 are of few halos, which is chance."""
LARGEST_RATIO = 2.0
"""A spectrum further off than this is not to be mended by a gain: the network has learned nothing yet."""
LEAST_SHARE = 1e-3
"""Bins with less of the variance may be further off, as those of smoothed maps; they get at most `LARGEST_RATIO`."""
FEWEST_MAPS = 64
"""Maps of which a calibration is made at least."""
_MOST_PIXELS = 2**22
_TINY = 1e-12


class CalibrationError(FocusError):
    """The drawn maps are too far from the training maps to be calibrated."""


@dataclass(frozen=True)
class Calibration:
    """A gain for each |k| and a monotone map of pixels, for each channel.

    Attributes:
        size: height and width of the maps.
        gain: g of each bin of |k| (`prior.mode_bins`), (C, B); the first is k = 0.
        drawn: for each channel the quantiles of drawn pixels after the gain, rising.
        true: the same quantiles of the training maps.
    """

    size: tuple[int, int]
    gain: tuple[tuple[float, ...], ...]
    drawn: tuple[tuple[float, ...], ...]
    true: tuple[tuple[float, ...], ...]

    def apply(self, maps: Tensor) -> Tensor:
        """Return drawn maps (n, C, H, W), in the network's units, calibrated."""
        gain = self._of_modes.to(maps.device)
        waves: Tensor = torch.fft.irfft2(torch.fft.rfft2(maps.float()) * gain, s=self.size)
        channels = [
            _bent(waves[:, place], torch.tensor(drawn), torch.tensor(true))
            for place, (drawn, true) in enumerate(zip(self.drawn, self.true, strict=True))
        ]
        return torch.stack(channels, dim=1)

    @property
    def gain_range(self) -> tuple[float, float]:
        """The lowest and the highest gain."""
        return min(map(min, self.gain)), max(map(max, self.gain))

    @cached_property
    def _of_modes(self) -> Tensor:
        """The gain of each mode of the half plane, (C, H, W // 2 + 1)."""
        bins, _ = mode_bins(self.size)
        gain = np.array(self.gain)
        whole = np.concatenate((gain[:, 1:], gain[:, :1]), axis=1)[:, bins]  # k = 0 has the last bin
        return torch.from_numpy(whole.reshape(len(gain), self.size[0], -1)).float()

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists for a checkpoint."""
        return {
            "size": list(self.size),
            **{name: [list(one) for one in getattr(self, name)] for name in ("gain", "drawn", "true")},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Rebuild the object that `to_dict` described. Raises ValueError, KeyError or TypeError."""
        height, width = values["size"]
        parts = {name: tuple(tuple(map(float, one)) for one in values[name]) for name in ("gain", "drawn", "true")}
        made = cls(size=(int(height), int(width)), **parts)
        if not made.gain or not len(made.gain) == len(made.drawn) == len(made.true):
            raise ValueError("its calibration is incomplete")
        for drawn, true in zip(made.drawn, made.true, strict=True):
            if not drawn or len(drawn) != len(true) or (np.diff(drawn) <= 0).any() or (np.diff(true) < 0).any():
                raise ValueError("the quantiles of its calibration do not rise")
        if not all(map(math.isfinite, itertools.chain(*made.gain, *made.drawn, *made.true))):
            raise ValueError("its calibration is not finite")
        return made

    def check_size(self, map_shape: tuple[int, int, int]) -> None:
        """Raise InputError unless maps of `map_shape` (C, H, W) are those of the calibration."""
        own = (len(self.gain), *self.size)
        if own != map_shape or any(len(one) != 1 + len(mode_bins(self.size)[1]) for one in self.gain):
            ours, theirs = (" x ".join(map(str, shape)) for shape in (own, map_shape))
            raise InputError(f"its calibration is of maps of {ours} (fields x pixels), not of {theirs}")


def fit_calibration(drawn: Tensor, noise: Tensor, true: Tensor) -> Calibration:
    """Return what brings `drawn` (n, C, H, W) to `true` (m, C, H, W), both in the network's units.

    `noise` (n, C, H, W) is what the maps were drawn from; maps 2i and 2i + 1 from opposite noise.

    Raises:
        CalibrationError: the drawn maps are not finite, or their spectrum is off by more than `LARGEST_RATIO`.
    """
    if not bool(drawn.isfinite().all()):
        raise CalibrationError("the drawn maps are not finite")
    ratio, error = _power_ratio(drawn, noise, true)
    share = _share(true)
    furthest = float(np.exp(np.abs(np.log(np.maximum(ratio, _TINY)))[share > LEAST_SHARE].max()))
    if furthest > LARGEST_RATIO:
        raise CalibrationError(f"the power of drawn maps is off by a factor {furthest:.3g}: train longer")
    off = ratio.clip(1 / LARGEST_RATIO, LARGEST_RATIO) - 1
    ratio = 1 + off * np.clip(1 - (error / np.where(off == 0, 1, off)) ** 2, 0, 1)
    size = (int(drawn.shape[-2]), int(drawn.shape[-1]))
    gain = tuple(tuple(one) for one in (ratio**-0.5).tolist())
    channels = len(gain)
    same = Calibration(size, gain, ((0.0, 1.0),) * channels, ((0.0, 1.0),) * channels)
    pairs = [_quantiles(a, b) for a, b in zip(same.apply(drawn).unbind(1), true.unbind(1), strict=True)]
    return Calibration(size, gain, tuple(one for one, _ in pairs), tuple(other for _, other in pairs))


def _power_ratio(drawn: Tensor, noise: Tensor, true: Tensor) -> tuple[Array, Array]:
    """Return P_drawn / P_true in each bin, (C, B), and its standard error; the first bin is k = 0."""
    theirs, ours, unit = _power(true), _power(drawn), _power(noise) - 1
    ours, unit = (one.reshape(-1, 2, *one.shape[1:]).mean(axis=1) for one in (ours, unit))  # a pair is one draw
    spread = ((unit - unit.mean(axis=0)) ** 2).mean(axis=0)
    slope = ((ours - ours.mean(axis=0)) * (unit - unit.mean(axis=0))).mean(axis=0) / np.maximum(spread, _TINY)
    ours = ours - slope * unit
    mean = np.maximum(theirs.mean(axis=0), _TINY)
    errors = [one.std(axis=0) / mean / len(one) ** 0.5 for one in (ours, theirs)]
    return ours.mean(axis=0) / mean, np.hypot(*errors)


def _power(maps: Tensor) -> Array:
    """Return the power of each map in each bin, (n, C, B): of k = 0, the square of its distance from the mean."""
    parts = [mode_moments(maps[at : at + 32].cpu()) for at in range(0, len(maps), 32)]  # in double precision
    mean, power = (np.concatenate([part[which] for part in parts]) for which in range(2))
    scatter = maps.shape[-2] * maps.shape[-1] * (mean - mean.mean(axis=0)) ** 2
    return np.concatenate((scatter[..., None], power), axis=-1)


def _share(maps: Tensor) -> Array:
    """Return the share of the variance that the modes of each bin hold, (C, B)."""
    bins, _ = mode_bins((int(maps.shape[-2]), int(maps.shape[-1])))
    count = np.bincount(bins)
    held = _power(maps).mean(axis=0) * np.concatenate((count[-1:], count[:-1]))
    return np.asarray(held / np.maximum(held.sum(axis=1, keepdims=True), _TINY))


def _quantiles(drawn: Tensor, true: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the quantiles of the pixels of a channel of both that enough pixels lie beyond."""
    ours, theirs = (_some_pixels(one) for one in (drawn, true))
    least = FEWEST_PIXELS / min(len(ours), len(theirs))
    used = [one for one in QUANTILES if least <= one <= 1 - least]
    a, b = (np.quantile(one, used).astype(np.float32).astype(np.float64) for one in (ours, theirs))
    rising = np.concatenate(([True], np.diff(np.maximum.accumulate(a)) > 0))  # equal pixels share a quantile
    return tuple(a[rising].tolist()), tuple(b[rising].tolist())


def _some_pixels(maps: Tensor) -> Array:
    pixels = maps.reshape(-1)
    return np.asarray(pixels[:: max(1, len(pixels) // _MOST_PIXELS)].cpu().double().numpy())


def _bent(values: Tensor, drawn: Tensor, true: Tensor) -> Tensor:
    """Return `values` with the points `drawn` (L,) moved to `true` (L,), linear between, shifted beyond."""
    a, b = drawn.to(values), true.to(values)
    if len(a) == 1:
        return values + (b - a)
    place = torch.searchsorted(a, values.contiguous()).clamp(1, len(a) - 1)
    share = (values - a[place - 1]) / (a[place] - a[place - 1])
    inside = torch.lerp(b[place - 1], b[place], share.clamp(0, 1))
    return inside + (values - a[-1]).clamp(min=0) + (values - a[0]).clamp(max=0)
