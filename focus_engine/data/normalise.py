"""Conversion between physical maps and the standardised inputs of a network.

log10: y = (log10(f) − mean) / std per channel, with mean and std over all pixels of the training maps, without
clipping. boxcox: y = (f^λ − mean) / std with mean and std of f^λ, the transform of Box & Cox (1964) but for its units;
between the logarithm (λ to 0) and f itself (λ = 1), so that an error of the network costs the densest pixels less.
gaussian: y = curve(log10 f), the monotone curve that makes the distribution of these pixels a unit Gaussian
(`gaussian_curve`). Exact zeros, which log10 can't take, are replaced by the smallest positive value of the training
maps; their number is stored and reported. All is stored in the checkpoint as plain numbers, because samples can't be
interpreted without them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from focus_engine.config.blocks.data import DEFAULT_POWER
from focus_engine.data.gaussian_curve import GaussianCurve, LogHistogram, by_channel, fit_curve
from focus_engine.data.maps import Ids, Maps, MapSet
from focus_engine.errors import InputError

Transform = Literal["log10", "boxcox", "gaussian", "none"]

_LN_10 = math.log(10)

MAX_DEX = 12.0
"""Physical maps stay within this many powers of ten of the mean; real fields span about three."""


@dataclass(frozen=True)
class Normaliser:
    """The invertible transformation between physical and standardised maps, with one value per channel."""

    transform: Transform
    mean: tuple[float, ...]  # (C,) of log10 f (or of f^λ, or of f), over training pixels
    std: tuple[float, ...]  # (C,)
    floor: tuple[float, ...]  # (C,) replacement for exact zeros: the smallest positive training value
    n_floored: int  # zeros among the training pixels
    n_values: int  # training pixels in all channels
    curves: tuple[GaussianCurve, ...] = ()  # (C,) for gaussian, else empty
    power: float = 0.0  # λ of boxcox, else 0

    def normalise(self, maps: Tensor) -> Tensor:
        """Return physical maps (…, C, H, W) standardised, in float32; zeros are replaced by the floor."""
        maps = maps.float()
        if self.transform == "none":
            return (maps - self._column(self.mean, maps)) / self._column(self.std, maps)
        positive = torch.where(maps > 0, maps, self._column(self.floor, maps))
        return self.of_logs(torch.log10(positive / self._centre(maps)))  # near 0, log10 keeps full float32 precision

    def of_logs(self, logs: Tensor) -> Tensor:
        """Return standardised maps of log10 f relative to the centre (…, C, H, W); not for `none`."""
        std = self._column(self.std, logs)
        if self.transform == "boxcox":
            return torch.expm1(logs * (self.power * _LN_10)) * self._column(self.mean, logs) / std
        if self.transform == "log10":
            return logs / std
        return by_channel((curve.forward for curve in self.curves), logs)

    def logs(self, maps: Tensor) -> Tensor:
        """Return log10 f relative to the centre of standardised maps (…, C, H, W), within `MAX_DEX`; not for `none`."""
        maps = maps.float()
        std = self._column(self.std, maps)
        if self.transform == "boxcox":
            least = math.expm1(-MAX_DEX * self.power * _LN_10)
            logs = torch.log1p((maps * std / self._column(self.mean, maps)).clamp_min(least)) / (self.power * _LN_10)
        elif self.transform == "log10":
            logs = maps * std
        else:
            logs = by_channel((curve.inverse for curve in self.curves), maps)
        # float32 overflows at 10^38: an untrained network must still give finite, positive maps.
        return logs.clamp(-MAX_DEX, MAX_DEX)

    def physical(self, maps: Tensor) -> Tensor:
        """Return standardised maps (…, C, H, W) in physical units, in float32."""
        maps = maps.float()
        if self.transform == "none":
            return maps * self._column(self.std, maps) + self._column(self.mean, maps)
        return self._centre(maps) * 10 ** self.logs(maps)

    @property
    def log_centre(self) -> tuple[float, ...]:
        """log10 of the centre that `logs` are relative to, (C,); not for `none`."""
        return tuple(math.log10(mean) / self.power for mean in self.mean) if self.power else self.mean

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and strings for a checkpoint."""
        plain: dict[str, Any] = {
            "transform": self.transform,
            "mean": list(self.mean),
            "std": list(self.std),
            "floor": list(self.floor),
            "n_floored": self.n_floored,
            "n_values": self.n_values,
        }
        if self.power:
            plain["power"] = self.power
        if self.curves:
            plain["curves"] = [curve.to_dict() for curve in self.curves]
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Normaliser:
        """Rebuild the object that `to_dict` described."""
        return cls(
            transform=values["transform"],
            mean=tuple(values["mean"]),
            std=tuple(values["std"]),
            floor=tuple(values["floor"]),
            n_floored=values["n_floored"],
            n_values=values["n_values"],
            curves=tuple(GaussianCurve.from_dict(one) for one in values.get("curves", ())),
            power=values.get("power", 0.0),
        )

    def _centre(self, like: Tensor) -> Tensor:
        return self._column(tuple(10**log for log in self.log_centre), like)

    @staticmethod
    def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
        return _column(values, like.device)


@lru_cache(maxsize=64)
def _column(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return `values` (C,) as float32 (C, 1, 1) on `device`; cached: each copy makes the host wait for a GPU."""
    return torch.tensor(values, dtype=torch.float32, device=device).reshape(-1, 1, 1)


class _Moments:
    """Mean and standard deviation of a stream, merged per chunk in float64 (Chan, Golub & LeVeque 1979)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray[Any, np.dtype[np.floating]]) -> None:
        if values.size == 0:
            return
        mean = float(values.mean(dtype=np.float64))
        squares = float(np.square(values - np.float64(mean)).sum(dtype=np.float64))
        total = self.count + values.size
        step = mean - self.mean
        self.squares += squares + step * step * self.count * values.size / total
        self.mean += step * values.size / total
        self.count = total

    def include(self, value: float, count: int) -> None:
        """Add `value` `count` times."""
        if count:
            total, step = self.count + count, value - self.mean
            self.squares += step * step * self.count * count / total
            self.mean += step * count / total
            self.count = total

    @property
    def std(self) -> float:
        return float(np.sqrt(self.squares / self.count))


def fit_normaliser(
    map_set: MapSet,
    ids: ArrayLike,
    transform: Transform,
    *,
    power: float = DEFAULT_POWER,
    floor: tuple[float, ...] | None = None,
) -> Normaliser:
    """Fit a normaliser to the maps `ids` (training maps only), reading them chunk by chunk. `power`: λ for boxcox.

    Zeros are replaced by `floor` (C,), by default the smallest positive value of each channel.

    Raises:
        InputError: a map holds invalid values, or all values are equal.
    """
    floors = floor or (np.inf,) * len(map_set.fields)
    names = [f"{field.path}: {field.name}" for field in map_set.fields]
    channels = [_Channel(name, transform, power, least) for name, least in zip(names, floors, strict=True)]
    return _fit(map_set.chunks(ids), channels, transform, power)


class _Channel:
    """Statistics of one channel, from its pixels chunk by chunk."""

    def __init__(self, field: str, transform: Transform, power: float, floor: float) -> None:
        self.field, self.transform, self.power = field, transform, power
        self.moments, self.histogram = _Moments(), LogHistogram() if transform == "gaussian" else None
        self.floor, self.zeros = 0.0 if transform == "none" else floor, 0

    def add(self, values: np.ndarray[Any, np.dtype[np.floating]]) -> None:
        if self.transform == "none":  # zeros are not replaced
            self.moments.add(values)
            return
        positive = values[values > 0]
        self.zeros += values.size - positive.size
        self.floor = min(self.floor, float(positive.min(initial=np.inf)))
        if self.transform == "boxcox":
            self.moments.add(np.power(positive, self.power, dtype=np.float64))
            return
        logs = np.log10(positive)
        self.moments.add(logs)
        if self.histogram is not None:
            self.histogram.add(logs)

    def finish(self) -> None:
        """Include the zeros. Raises InputError if there is nothing but zeros, or only one value."""
        if not np.isfinite(self.floor):
            raise InputError(f"{self.field} is zero everywhere in the training maps")
        if self.transform == "boxcox":
            self.moments.include(float(self.floor**self.power), self.zeros)
        elif self.transform != "none":
            self.moments.include(float(np.log10(self.floor)), self.zeros)
        if self.histogram is not None:
            self.histogram.include(float(np.log10(self.floor)), self.zeros)
        if not self.moments.std > 1e-7 * abs(self.moments.mean):  # smaller values are rounding
            raise InputError(
                f"{self.field}: all pixels of the training maps are {self._value():g}; maps that vary are needed"
            )

    def _value(self) -> float:
        """Return the mean in physical units, by the inverse of the transform."""
        mean = self.moments.mean
        if self.transform == "boxcox":
            return float(mean ** (1 / self.power))
        return mean if self.transform == "none" else float(10**mean)

    def curves(self) -> tuple[GaussianCurve, ...]:
        """Return the curve of `gaussian`, else nothing. Raises InputError if the values don't determine one."""
        if self.histogram is None:
            return ()
        curve = fit_curve(self.histogram, self.moments.mean, self.moments.std)
        if curve is None:
            raise InputError(
                f"{self.field}: the {self.moments.count} training pixels are too few or too equal to tell their "
                "distribution; use data.normalize: log10 and data.standardize: pixels"
            )
        return (curve,)


def _fit(
    chunks: Iterable[tuple[Ids, Maps]], channels: Sequence[_Channel], transform: Transform, power: float
) -> Normaliser:
    n_values = 0
    for _, maps in chunks:
        n_values += maps.size
        for index, channel in enumerate(channels):
            channel.add(maps[:, index].reshape(-1))
    for channel in channels:
        channel.finish()
    return Normaliser(
        transform=transform,
        mean=tuple(one.moments.mean for one in channels),
        std=tuple(one.moments.std for one in channels),
        floor=tuple(one.floor for one in channels),
        n_floored=sum(one.zeros for one in channels),
        n_values=n_values,
        curves=tuple(curve for one in channels for curve in one.curves()),
        power=power if transform == "boxcox" else 0.0,
    )
