r"""Denoising diffusion in discrete time: the path, the loss and the conversion of the network's output.

The network sees x_t = α_t map + σ_t ε and t/(T-1), and predicts ε (2006.11239), the velocity v = α_t ε - σ_t map
(Salimans & Ho, 2202.00512) or the map itself (x0). v and x0 are defined at zero signal, where ε carries no information
on the map.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from focus_engine.config.beginning import UNTRAINED_START
from focus_engine.errors import InputError
from focus_engine.generative.guidance import guided_output
from focus_engine.generative.noise import NoiseSchedule
from focus_engine.generative.process import Denoised, Network
from focus_engine.generative.scale_weights import mean_square

Prediction = Literal["epsilon", "v", "x0"]
PREDICTIONS = get_args(Prediction)


@dataclass(frozen=True, eq=False)
class Diffusion:
    """Diffusion along a noise schedule, with a prediction type and a weighting of the loss.

    `min_snr_gamma` limits the weight of nearly clean maps; None gives the plain mean squared error of the prediction.
    `min_snr_offset` gives noisy ones more (see `weights`).
    `scale_power` weighs the Fourier modes of the error (`scale_weights.mean_square`).

    Raises:
        InputError: ε would be predicted at a step without signal, the prediction type is unknown, γ is not positive or
            the offset is negative.
    """

    schedule: NoiseSchedule
    prediction: Prediction = "epsilon"
    min_snr_gamma: float | None = None
    min_snr_offset: float = 0.0
    scale_power: float = 0.0
    _tables: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor, Tensor]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            allowed = ", ".join(PREDICTIONS)
            raise InputError(f"diffusion.prediction: {self.prediction!r} is unknown; allowed: {allowed}")
        if self.min_snr_gamma is not None and not self.min_snr_gamma > 0:
            raise InputError(f"diffusion.min_snr_gamma: {self.min_snr_gamma:g}; use a number above 0, or leave it out")
        if not self.min_snr_offset >= 0:
            raise InputError(f"diffusion.min_snr_offset: {self.min_snr_offset:g}; use a number from 0")
        # The map is (x - σ ε)/α, which float32 cannot hold for a smaller α.
        if self.prediction == "epsilon" and self.schedule.alpha[-1] < torch.finfo(torch.float32).tiny:
            raise InputError(
                "diffusion.prediction: epsilon carries no information on the map at t = T, where this schedule has no "
                "signal left: use prediction: v or x0, or no zero_terminal_snr and a smaller beta_end"
            )

    @property
    def method(self) -> str:
        """`diffusion`."""
        return "diffusion"

    @property
    def prior_scale(self) -> float:
        """1: x at t = T-1 is treated as unit noise (see `terminal_snr`)."""
        return 1.0

    @property
    def terminal_snr(self) -> float:
        """Signal-to-noise ratio of a unit-variance pixel at t = T-1."""
        return self.schedule.terminal_snr

    @property
    def weights(self) -> Tensor:
        """Weight of the loss at each step, (T,) float64.

        In units of the error of the map, a unit error of ε weighs SNR, of v SNR + 1 and of x0 1. Min-SNR replaces this
        by min(SNR, γ) (Hang et al., 2303.09556), which is 0 at zero signal: the step that sampling starts from is never
        trained. v and x0 therefore have min(SNR, γ) + `min_snr_offset`. With an offset of 1, v has the plain loss up to
        SNR = γ and the weight (γ + 1)/(SNR + 1) beyond, and v and x0 have weight 1 at zero signal. ε has no offset: its
        weight would be infinite there.
        """
        snr = self.schedule.snr
        if self.min_snr_gamma is None:
            return torch.ones_like(snr)
        bounded = snr.clamp(max=self.min_snr_gamma)
        if self.prediction == "epsilon":
            return bounded / snr
        return (bounded + self.min_snr_offset) / (snr + 1 if self.prediction == "v" else torch.ones_like(snr))

    def check_trainable(self) -> None:
        """Refuse a loss without weight at t = T-1, where sampling starts (see `Process.check_trainable`)."""
        if self.weights[-1] == 0:
            raise InputError(UNTRAINED_START)

    def times(self, steps: int) -> tuple[float, ...]:
        """Return `steps` evenly spaced timesteps from T-1 down ("trailing", 2305.08891), then -1 for the data.

        Raises:
            InputError: `steps` is not in 1 ... T.
        """
        total = self.schedule.timesteps
        if not 1 <= steps <= total:
            raise InputError(f"{steps} sampling steps: this diffusion model has {total} timesteps, so use 1 to {total}")
        return (*(round(total * (steps - i) / steps) - 1 for i in range(steps)), -1)

    def scales(self, t: float) -> tuple[float, float]:
        """Return (α_t, σ_t); t = -1 is the data, (1, 0). Between timesteps, atan(σ/α) is linear in t."""
        if t < 0:
            return 1.0, 0.0
        if t != int(t):
            angle = float(np.interp(t, np.arange(self.schedule.timesteps), self.schedule.angle))
            return math.cos(angle), math.sin(angle)
        alpha_bar = float(self.schedule.alpha_bar[int(t)])
        return alpha_bar**0.5, (1 - alpha_bar) ** 0.5

    def time_at(self, noise_to_signal: float) -> float:
        """Return the time in 0 ... T-1 where σ/α is `noise_to_signal`; the network has no output at the data, -1."""
        angle = self.schedule.angle
        return float(np.interp(math.atan(noise_to_signal), angle, np.arange(len(angle))))

    def loss(
        self,
        network: Network,
        maps: Tensor,
        cond: Tensor,
        *,
        u: Tensor,
        noise: Tensor,
        unconditional: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted mean squared error of the prediction at t = floor(u T), (B,) (see `Process.loss`)."""
        total = self.schedule.timesteps
        t = (u * total).long().clamp(max=total - 1)
        alpha, sigma, weight = (_per_map(table[t]) for table in self._tables_like(maps))
        x = alpha * maps + sigma * noise
        target = {"epsilon": noise, "x0": maps}.get(self.prediction, alpha * noise - sigma * maps)
        output = network(x, t.to(maps.dtype) / self._last, cond, unconditional)
        # In the precision of the maps: bf16 has too few digits for the square of a small difference.
        return weight.flatten() * mean_square(output.to(maps.dtype) - target, self.scale_power)

    def denoise(self, network: Network, x: Tensor, t: float, cond: Tensor, *, guidance: float = 1.0) -> Denoised:
        """Split `x` (B, C, H, W) at timestep `t` into data and noise (see `Process.denoise`)."""
        time = torch.full((len(x),), t / self._last, dtype=x.dtype, device=x.device)
        output = guided_output(network, x, time, cond, guidance).to(x.dtype)
        alpha, sigma = self.scales(t)
        if self.prediction == "epsilon":
            return Denoised(data=(x - sigma * output) / alpha, noise=output)
        if self.prediction == "x0":
            return Denoised(data=output, noise=(x - alpha * output) / sigma)
        return Denoised(data=alpha * x - sigma * output, noise=sigma * x + alpha * output)

    @property
    def _last(self) -> int:
        """The timestep that corresponds to the network's time 1."""
        return max(self.schedule.timesteps - 1, 1)

    def _tables_like(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return α, σ and weight in the dtype and on the device of `maps`, cached."""
        key = (maps.device, maps.dtype)
        if key not in self._tables:
            tables = (self.schedule.alpha, self.schedule.sigma, self.weights)
            alpha, sigma, weight = (table.to(maps.dtype).to(maps.device) for table in tables)
            self._tables[key] = (alpha, sigma, weight)
        return self._tables[key]


def _per_map(values: Tensor) -> Tensor:
    return values[:, None, None, None]
