"""Conversion between physical parameters and the standardised conditions of a network.

Parameters are standardised over the training simulations, those that CAMELS draws log-uniformly in log10. The numbers
are stored in the checkpoint, with the trained range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from focus_engine.data.maps import MapSet
from focus_engine.errors import InputError

Scale = Literal["log10", "linear"]

LOG_UNIFORM = ("A_SN1", "A_AGN1", "A_SN2", "A_AGN2")
"""Parameters that CAMELS draws uniformly in their logarithm (arXiv:2010.00619)."""


@dataclass(frozen=True)
class OutsideRange:
    """A parameter requested outside the range that the network was trained on."""

    name: str
    given: tuple[float, float]  # lowest and highest value requested
    trained: tuple[float, float]  # lowest and highest value of the training simulations

    def __str__(self) -> str:
        given = " to ".join(dict.fromkeys(f"{value:g}" for value in self.given))
        return f"{self.name} = {given} lies outside the trained range {self.trained[0]:g} to {self.trained[1]:g}"


@dataclass(frozen=True)
class ParameterScaler:
    """Standardisation of parameters or of their log10 over the training simulations, with their ranges."""

    names: tuple[str, ...]  # (P,)
    mean: tuple[float, ...]  # of the parameter or its log10
    std: tuple[float, ...]  # likewise; 1 where a parameter is constant
    low: tuple[float, ...]  # of the parameter itself
    high: tuple[float, ...]
    scale: tuple[Scale, ...]  # log10 where a parameter of LOG_UNIFORM varies

    @classmethod
    def fit(cls, map_set: MapSet, simulations: ArrayLike) -> ParameterScaler:
        """Fit to the parameters of the given (training) simulations.

        Raises:
            InputError: a parameter of LOG_UNIFORM varies and is not positive somewhere.
        """
        values = map_set.params[np.asarray(simulations, dtype=np.int64)].astype(np.float64)
        names, low, high = map_set.param_names, values.min(axis=0), values.max(axis=0)
        logs = [name in LOG_UNIFORM and high[i] > low[i] for i, name in enumerate(names)]
        for column in np.flatnonzero(logs):
            _check_positive(names[column], values[:, column], where=f"{map_set.params_path}: ")
            values[:, column] = np.log10(values[:, column])
        return cls(
            names=names,
            mean=tuple(values.mean(axis=0).tolist()),
            std=tuple(np.where(high > low, values.std(axis=0), 1.0).tolist()),
            low=tuple(low.tolist()),
            high=tuple(high.tolist()),
            scale=tuple("log10" if log else "linear" for log in logs),
        )

    @property
    def centre(self) -> tuple[float, ...]:
        """The physical parameters whose standardised values are 0, (P,)."""
        return tuple(10**mean if log else mean for mean, log in zip(self.mean, self._logs, strict=True))

    def standardise(self, params: Tensor) -> Tensor:
        """Return parameters (…, P) with mean 0 and std 1 over the training simulations, in float32.

        Raises:
            InputError: a parameter that is standardised in log10 is not positive.
        """
        params = params.float()
        for column in np.flatnonzero(self._logs):
            _check_positive(self.names[column], params[..., column].detach().cpu().numpy())
        logs = self._logs_of(params)  # both branches stay finite, so that gradients do
        scaled = torch.where(logs, torch.log10(torch.where(logs, params, 1.0)), params)
        return (scaled - params.new_tensor(self.mean)) / params.new_tensor(self.std)

    def physical(self, params: Tensor) -> Tensor:
        """Return standardised parameters (…, P) in physical units, in float32."""
        params = params.float()
        scaled = params * params.new_tensor(self.std) + params.new_tensor(self.mean)
        logs = self._logs_of(scaled)
        return torch.where(logs, 10 ** torch.where(logs, scaled, 0.0), scaled)

    @property
    def _logs(self) -> tuple[bool, ...]:
        return tuple(scale == "log10" for scale in self.scale)

    def _logs_of(self, like: Tensor) -> Tensor:
        return torch.tensor(self._logs, dtype=torch.bool, device=like.device)

    def outside(self, params: ArrayLike) -> tuple[OutsideRange, ...]:
        """Return the parameters of (P,) or (n, P) that lie outside the trained range by more than float32 rounding."""
        values = np.atleast_2d(np.asarray(params, dtype=np.float64))
        found = []
        for column, name in enumerate(self.names):
            low, high = self.low[column], self.high[column]
            slack = 1e-6 * max(abs(low), abs(high))
            given = float(values[:, column].min()), float(values[:, column].max())
            if given[0] < low - slack or given[1] > high + slack:
                found.append(OutsideRange(name, given, (low, high)))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and strings for a checkpoint."""
        return {key: list(getattr(self, key)) for key in ("names", "mean", "std", "low", "high", "scale")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ParameterScaler:
        """Rebuild the object that `to_dict` described; without `scale` (earlier checkpoints) all are linear."""
        plain = {"scale": ["linear"] * len(values["names"]), **values}
        return cls(**{key: tuple(plain[key]) for key in ("names", "mean", "std", "low", "high", "scale")})


def _check_positive(name: str, values: ArrayLike, where: str = "") -> None:
    low = float(np.min(values, initial=np.inf))
    if not low > 0:
        raise InputError(
            f"{where}{name} is {low:g}, but it is standardised in log10 and must be above 0; leave such "
            f"simulations out, or {name} out of data.params"
        )
