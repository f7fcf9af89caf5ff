r"""Maps in units of the mean and the spectrum at their parameters (`data.standardize: spectrum`).

Of a map x, in units close to log f, each Fourier mode becomes z_k = √(P₀(k) / P(k, θ)) (x_k - δ_k0 m(θ)), where m and P
are smooth functions of the parameters fitted to the training maps (`prior`), and P₀ is P at the mean parameters for a
field of unit variance. Mean and spectrum of z are then the same at all parameters, so that the network
has to learn only what they don't tell, and maps drawn follow the parameters in mean and power to the accuracy of the
fit; Gaussian fields are exact. The map from x to z is linear, isotropic and invertible, and commutes with the
symmetries of the box. Outside the trained range of the parameters m and P are those of the nearest point inside.

Density maps are brought to x before, and z back from it (`data.levels`), so that the network sees densities of one mean
and spectrum in the units of `data.normalize`; maps that are standardised only (`normalize: none`) are x themselves.
Guidance acts on what the network sees: maps drawn with guidance 0 still follow the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from focus_engine.errors import InputError
from focus_engine.generative.prior import SpectralPrior, products


class MonotoneUnits(Protocol):
    """A monotone conversion of pixels, both ways."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return x of standardised maps (n, C, H, W)."""

    def inverse(self, levels: Tensor) -> Tensor:
        """Return the standardised maps (n, C, H, W) of x."""

    def to_list(self) -> list[dict[str, list[float]]]:
        """Return what describes it as plain lists for a checkpoint."""


@dataclass(frozen=True, eq=False)
class OwnSpectrum:
    """The conversion between maps standardised over all pixels and maps in units of their own mean and spectrum.

    Attributes:
        fit: mean and power of x as functions of the standardised parameters.
        levels: x of standardised maps; None where x is these maps themselves.
    """

    fit: SpectralPrior
    levels: MonotoneUnits | None = None
    _tensors: dict[torch.device, _Tensors] = field(default_factory=dict, init=False, repr=False)

    def standardise(self, maps: Tensor, cond: Tensor) -> Tensor:
        """Return maps (n, C, H, W) at standardised parameters `cond` (n, P) in units of their mean and spectrum."""
        mean, gain = self._moments(maps, cond)
        x = maps.float() if self.levels is None else self.levels.forward(maps)
        z = _filtered(x - mean, gain)
        return z if self.levels is None else self.levels.inverse(z)

    def restore(self, maps: Tensor, cond: Tensor) -> Tensor:
        """Return what `standardise` made `maps` of, to rounding."""
        mean, gain = self._moments(maps, cond)
        z = maps.float() if self.levels is None else self.levels.forward(maps)
        x = _filtered(z, 1 / gain) + mean
        return x if self.levels is None else self.levels.inverse(x)

    def check_size(self, map_shape: tuple[int, int, int]) -> None:
        """Raise InputError unless maps of `map_shape` (C, H, W) are those of the fit."""
        if (own := (len(self.fit.mean), *self.fit.size)) != map_shape:
            ours, theirs = (" x ".join(map(str, shape)) for shape in (own, map_shape))
            raise InputError(f"data.standardize: the spectrum is of maps of {ours} (fields x pixels), not of {theirs}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists for a checkpoint."""
        fit = self.fit.to_dict()
        return fit if self.levels is None else {"fit": fit, "levels": self.levels.to_list()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], levels: MonotoneUnits | None = None) -> OwnSpectrum:
        """Rebuild the object that `to_dict` described, with its levels."""
        return cls(SpectralPrior.from_dict(values if levels is None else values["fit"]), levels)

    def _moments(self, maps: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean (n, C, 1, 1) and √(P₀ / P) of the modes (n, C, H, W // 2 + 1), on the device of `maps`."""
        if maps.device not in self._tensors:
            self._tensors[maps.device] = _Tensors.of(self.fit, maps.device)
        return self._tensors[maps.device].moments(cond.to(maps.device))


def _filtered(maps: Tensor, gain: Tensor) -> Tensor:
    filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(maps) * gain, s=maps.shape[-2:])
    return filtered


@dataclass(frozen=True, eq=False)
class _Tensors:
    """A fit on a device, so that a batch makes the host wait for nothing.

    Attributes:
        low, high: trained range of the parameters, (P,).
        products: the parameters whose product is each of the F terms.
        mean: coefficients of m, (C, F).
        logs: coefficients of ln √(P₀ / P) of the modes, (C, H, W // 2 + 1, F).
    """

    low: Tensor
    high: Tensor
    products: list[list[int]]
    mean: Tensor
    logs: Tensor

    @classmethod
    def of(cls, fit: SpectralPrior, device: torch.device) -> _Tensors:
        logs = fit.at_modes(np.array(fit.log_power).swapaxes(-1, -2))  # (C, F, H, W // 2 + 1)
        variance = fit.pixel_variance(np.exp(logs[:, 0]))
        logs[:, 0] = np.log(variance)[:, None, None]  # ln P₀ of unit variance cancels that of P but for this

        def moved(values: object) -> Tensor:
            return torch.tensor(values, dtype=torch.float32).to(device)

        ways = products(len(fit.low), fit.degree)
        return cls(moved(fit.low), moved(fit.high), ways, moved(fit.mean), moved(np.moveaxis(-logs / 2, 1, -1)))

    def moments(self, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Return m (n, C, 1, 1) and √(P₀ / P) (n, C, H, W // 2 + 1) at `cond` (n, P)."""
        inside = cond.clamp(self.low, self.high)
        terms = torch.stack([inside[:, which].prod(dim=1) for which in self.products], dim=1)
        return (terms @ self.mean.T)[:, :, None, None], torch.exp(self.logs @ terms.T).movedim(-1, 0)
