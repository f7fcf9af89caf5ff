"""Power-function averages of the weights, from which averages of other lengths are rebuilt after training.

Karras et al. (2312.02696, section 3 and appendix C). The average of exponent gamma after t steps weighs the weights
of step s by s^(gamma + 1) - (s - 1)^(gamma + 1), normalised: the profile tau^gamma on (0, t). Its length sigma_rel is
the profile's standard deviation divided by t. Profiles are scale-free: an average of length 0.05 reaches back over
the same share of any training.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from focus_engine.errors import InputError

LENGTHS = (0.05, 0.10)
"""Lengths of the averages that are kept during training, as in the paper."""
LONGEST = 1 / math.sqrt(12)
"""Length of the plain mean of all steps (gamma = 0), the longest of this family."""

Array = NDArray[np.float64]


def gamma_of(length: float) -> float:
    """Return the exponent of the average of `length`: the largest root of the cubic in the paper's appendix C.

    Raises:
        InputError: the length is not between 0 and that of the plain mean.
    """
    if not 0 < length <= LONGEST:
        raise InputError(f"the length of an average of the weights is {length:g}: use one above 0, at most 0.288")
    inverse = length**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return max(0.0, float(roots.real[np.abs(roots.imag) < 1e-6 * np.abs(roots)].max()))


class PowerAverages:
    """The averages of a network's weights of the lengths `LENGTHS`.

    Attributes:
        updates: number of steps that they hold.
        kept: number of the last snapshot that is written (`training/snapshots.py`).
        weights: for each length, the averages by name of the parameter.
    """

    def __init__(self, network: nn.Module, updates: int = 0) -> None:
        """Start as if the weights had been those of `network` for `updates` steps."""
        self.updates, self.kept = updates, 0
        self.weights = [{name: one.detach().clone() for name, one in network.named_parameters()} for _ in LENGTHS]
        self._gammas = [gamma_of(length) for length in LENGTHS]

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Add the weights of `network` after one more step; the first step leaves nothing of the initial weights."""
        self.updates += 1
        current: list[Tensor] = list(network.parameters())
        for gamma, weights in zip(self._gammas, self.weights, strict=True):
            keep = (1 - 1 / self.updates) ** (gamma + 1)
            torch._foreach_lerp_(list(weights.values()), current, 1 - keep)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages as tensors and plain numbers."""
        return {"updates": self.updates, "kept": self.kept, "lengths": list(LENGTHS), "weights": self.weights}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`. Raises KeyError, RuntimeError or ValueError if it is of another network."""
        for mine, saved in zip(self.weights, state["weights"], strict=True):
            for name, one in mine.items():
                one.copy_(saved[name])
        self.updates, self.kept = int(state["updates"]), int(state["kept"])


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """An average as a combination of kept ones.

    Attributes:
        coefficients: of each kept average, (n,); their sum is 1.
        error: rms difference between the profile of the combination and the wanted one, over the rms of that.
    """

    coefficients: Array
    error: float


def reconstruct(steps: Sequence[int], lengths: Sequence[float], step: int, length: float) -> Reconstruction:
    """Return the combination of averages at `steps` of `lengths` that is closest to that of `length` at `step`.

    Least squares of the profiles (the paper's algorithm 3) at coefficients that sum to 1, which the paper's reach
    only with many snapshots: without it an average from four snapshots shrinks all weights by several per cent.

    Raises:
        InputError: see `gamma_of`.
    """
    times, end = np.array(steps, dtype=np.float64) / step, np.ones(1)
    gammas, gamma = np.array([gamma_of(one) for one in lengths]), np.array([gamma_of(length)])
    products, wanted = _products(times[:, None], gammas[:, None], times, gammas), _products(times, gammas, end, gamma)
    norm = float(_products(end, gamma, end, gamma)[0])
    count = len(times)
    system = np.ones((count + 1, count + 1))
    system[:count, :count], system[count, count] = products, 0.0
    found = np.linalg.lstsq(system, np.append(wanted, 1.0), rcond=None)[0][:count]
    difference = norm - 2 * found @ wanted + found @ products @ found
    return Reconstruction(found, math.sqrt(max(0.0, float(difference)) / norm))


def _products(one: Array, gamma: Array, other: Array, delta: Array) -> Array:
    """Return the integrals of products of profiles: those that end at `one` with `gamma`, at `other` with `delta`."""
    ratio, exponent = one / other, np.where(one < other, delta, -gamma)
    product: Array = (gamma + 1) * (delta + 1) * ratio**exponent / ((gamma + delta + 1) * np.maximum(one, other))
    return product
