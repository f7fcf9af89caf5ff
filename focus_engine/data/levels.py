"""Units between log f and its Gaussian form, in which maps are brought to the spectrum at their parameters.

x = (log10 f / std + curve(log10 f)) / 2, with the mean of log10 f taken off: half of its standardised logarithm and
half of the Gaussian of its distribution (`gaussian_curve`). In these units the distribution of maps that have the same
mean and spectrum depends least on the parameters: training maps of one cosmology brought to the mean and spectrum of
another follow P(k) of the density there by 0.97, 0.92 and 0.98 (large, middle and small scales; R² 0.98). By the
logarithm alone they follow sigma_8 too weakly and Omega_m too strongly, by the Gaussian alone the other way round
(R² 0.92 and 0.87; docs/training_well.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from focus_engine.data.gaussian_curve import GaussianCurve
from focus_engine.data.maps import Ids, MapSet
from focus_engine.data.normalise import Normaliser, fit_normaliser


@dataclass(frozen=True)
class Levels:
    """The monotone conversion between standardised maps and x.

    Attributes:
        normaliser: of the standardised maps.
        curves: x of log10 f relative to the centre of the normaliser, one of each channel, (C,).
    """

    normaliser: Normaliser
    curves: tuple[GaussianCurve, ...]

    def forward(self, maps: Tensor) -> Tensor:
        """Return x of standardised maps (…, C, H, W), in float32."""
        return _by_channel([one.forward for one in self.curves], self.normaliser.logs(maps))

    def inverse(self, levels: Tensor) -> Tensor:
        """Return the standardised maps (…, C, H, W) of x, in float32."""
        return self.normaliser.of_logs(_by_channel([one.inverse for one in self.curves], levels))

    def to_list(self) -> list[dict[str, list[float]]]:
        """Return the curves as plain lists for a checkpoint."""
        return [curve.to_dict() for curve in self.curves]

    @classmethod
    def from_list(cls, curves: Sequence[Mapping[str, Sequence[float]]], normaliser: Normaliser) -> Levels:
        """Rebuild the object whose curves `to_list` returned. Raises ValueError, KeyError or TypeError."""
        made = cls(normaliser, tuple(GaussianCurve.from_dict(one) for one in curves))
        if len(made.curves) != len(normaliser.mean):
            raise ValueError(f"{len(made.curves)} curves of its levels for {len(normaliser.mean)} fields")
        return made


def fit_levels(maps: MapSet, ids: Ids, normaliser: Normaliser) -> Levels:
    """Fit to the maps `ids` (training maps only). Raises InputError if their values don't determine a curve."""
    gaussian = fit_normaliser(maps, ids, "gaussian")
    parts = zip(gaussian.curves, gaussian.mean, gaussian.std, normaliser.log_centre, strict=True)
    return Levels(normaliser, tuple(_halved(curve, std, mean - centre) for curve, mean, std, centre in parts))


def _halved(curve: GaussianCurve, std: float, shift: float) -> GaussianCurve:
    """Return the curve through the means of z and u / std at the knots, which are moved by `shift` [dex]."""
    u, z, slopes = (np.array(one) for one in (curve.u, curve.z, curve.slopes))
    halves = (u + shift, (z + u / std) / 2, (slopes + 1 / std) / 2)
    return replace(curve, **dict(zip(("u", "z", "slopes"), (tuple(one.tolist()) for one in halves), strict=True)))


def _by_channel(functions: Sequence[Any], maps: Tensor) -> Tensor:
    return torch.stack([one(maps[..., i, :, :]) for i, one in enumerate(functions)], dim=-3)
