"""Units between log f and its Gaussian form, in which maps are brought to the spectrum at their parameters.

x = (log10 f / std + curve(log10 f)) / 2, with the mean of log10 f taken off: half of its standardised logarithm and
half of the Gaussian of its distribution (`gaussian_curve`). Simulated maps (25 Mpc/h, 32 x 32 pixels) brought in these
units to the mean and the spectrum of another cosmology follow P(k) of the density there by 0.97, 0.92 and 0.98 (large,
middle and small scales; R² 0.98). By the logarithm alone they follow sigma_8 too weakly and Omega_m too strongly, by
the Gaussian alone the other way round (R² 0.92 and 0.87). docs/training_well.md has other shares and another box.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from focus_engine.data.gaussian_curve import GaussianCurve, by_channel
from focus_engine.data.maps import Ids, MapSet
from focus_engine.data.normalise import Normaliser, fit_normaliser

MARGIN = 2.0
"""Dex beyond the outermost knots at which x ends, so that what an untrained network draws in a pixel stays finite and
small in the others, which the filter of the spectrum mixes with it."""


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
        return by_channel((_bounded(one) for one in self.curves), self.normaliser.logs(maps))

    def inverse(self, levels: Tensor) -> Tensor:
        """Return the standardised maps (…, C, H, W) of x, in float32."""
        return self.normaliser.of_logs(by_channel((one.inverse for one in self.curves), levels))

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
    known = normaliser.transform == "gaussian"
    gaussian = normaliser if known else fit_normaliser(maps, ids, "gaussian", floor=normaliser.floor)
    parts = zip(gaussian.curves, gaussian.mean, gaussian.std, normaliser.log_centre, strict=True)
    return Levels(normaliser, tuple(_halved(curve, std, mean - centre) for curve, mean, std, centre in parts))


def _halved(curve: GaussianCurve, std: float, shift: float) -> GaussianCurve:
    """Return the curve through the means of z and u / std at the knots, which are moved by `shift` [dex]."""
    u, z, slopes = (np.array(one) for one in (curve.u, curve.z, curve.slopes))
    halves = (u + shift, (z + u / std) / 2, (slopes + 1 / std) / 2)
    return GaussianCurve(*(tuple(one.tolist()) for one in halves))


def _bounded(curve: GaussianCurve) -> Callable[[Tensor], Tensor]:
    return lambda logs: curve.forward(logs.clamp(curve.u[0] - MARGIN, curve.u[-1] + MARGIN))
