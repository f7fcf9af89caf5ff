"""Conversion between physical maps and parameters and the standardised inputs of a network.

Maps: y = (log10(f) − mean) / std per channel, with mean and std over all pixels of the training maps, without
clipping. Exact zeros, which log10 can't take, are replaced by the smallest positive value of the training maps;
their number is stored and reported. Parameters: standardised over the training simulations, those that CAMELS draws
log-uniformly in log10. Both are stored in the checkpoint as plain numbers, because samples can't be interpreted
without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from focus_engine.data.maps import Ids, Maps, MapSet
from focus_engine.errors import InputError

Transform = Literal["log10", "none"]

MAX_DEX = 12.0
"""Physical maps stay within this many powers of ten of the mean; real fields span about three."""


@dataclass(frozen=True)
class Normaliser:
    """The invertible transformation between physical and standardised maps, with one value per channel."""

    transform: Transform
    mean: tuple[float, ...]  # (C,) of log10 f (or of f), over training pixels
    std: tuple[float, ...]  # (C,)
    floor: tuple[float, ...]  # (C,) replacement for exact zeros: the smallest positive training value
    n_floored: int  # zeros among the training pixels
    n_values: int  # training pixels in all channels

    def normalise(self, maps: Tensor) -> Tensor:
        """Return physical maps (…, C, H, W) standardised, in float32; zeros are replaced by the floor."""
        maps = maps.float()
        std = self._column(self.std, maps)
        if self.transform == "none":
            return (maps - self._column(self.mean, maps)) / std
        positive = torch.where(maps > 0, maps, self._column(self.floor, maps))
        return torch.log10(positive / self._centre(maps)) / std  # near 0, log10 keeps full float32 precision

    def physical(self, maps: Tensor) -> Tensor:
        """Return standardised maps (…, C, H, W) in physical units, in float32."""
        maps = maps.float()
        std = self._column(self.std, maps)
        if self.transform == "none":
            return maps * std + self._column(self.mean, maps)
        # float32 overflows at 10^38: an untrained network must still give finite, positive maps.
        return self._centre(maps) * 10 ** (maps * std).clamp(-MAX_DEX, MAX_DEX)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and strings for a checkpoint."""
        return {
            "transform": self.transform,
            "mean": list(self.mean),
            "std": list(self.std),
            "floor": list(self.floor),
            "n_floored": self.n_floored,
            "n_values": self.n_values,
        }

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
        )

    def _centre(self, like: Tensor) -> Tensor:
        return self._column(tuple(10**mean for mean in self.mean), like)

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


def fit_normaliser(map_set: MapSet, ids: ArrayLike, transform: Transform) -> Normaliser:
    """Fit a normaliser to the maps `ids` (training maps only), reading them chunk by chunk.

    Raises:
        InputError: a map holds invalid values, or all values are equal.
    """
    return _fit(map_set.chunks(ids), [f"{field.path}: {field.name}" for field in map_set.fields], transform)


def _fit(chunks: Iterable[tuple[Ids, Maps]], fields: Sequence[str], transform: Transform) -> Normaliser:
    channels = len(fields)
    moments = [_Moments() for _ in range(channels)]
    floors, zeros, n_values = [np.inf] * channels, [0] * channels, 0
    for _, maps in chunks:
        n_values += maps.size
        for channel in range(channels):
            values = maps[:, channel].reshape(-1)
            if transform == "none":
                floors[channel] = 0.0  # zeros are not replaced
                moments[channel].add(values)
                continue
            positive = values[values > 0]
            zeros[channel] += values.size - positive.size
            floors[channel] = min(floors[channel], float(positive.min(initial=np.inf)))
            moments[channel].add(np.log10(positive))
    for channel in range(channels):
        if not np.isfinite(floors[channel]):
            raise InputError(f"{fields[channel]} is zero everywhere in the training maps")
        if transform == "log10":
            moments[channel].include(float(np.log10(floors[channel])), zeros[channel])
        if not moments[channel].std > 1e-7 * abs(moments[channel].mean):  # smaller values are rounding
            value = 10 ** moments[channel].mean if transform == "log10" else moments[channel].mean
            raise InputError(
                f"{fields[channel]}: all pixels of the training maps are {value:g}; maps that vary are needed"
            )
    return Normaliser(
        transform=transform,
        mean=tuple(m.mean for m in moments),
        std=tuple(m.std for m in moments),
        floor=tuple(floors),
        n_floored=sum(zeros),
        n_values=n_values,
    )
