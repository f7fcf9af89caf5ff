r"""Denoising diffusion in discrete time: the path, the loss and the conversion of the network's output.

The network sees x_t = α_t map + σ_t ε and t/(T-1), and predicts ε (2006.11239) or the velocity
v = α_t ε - σ_t map (Salimans & Ho, 2202.00512). v is defined at zero signal, where ε carries no information on the map.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from focus_engine.errors import InputError
from focus_engine.generative.guidance import guided_output
from focus_engine.generative.noise import NoiseSchedule
from focus_engine.generative.process import Denoised, Network

Prediction = Literal["epsilon", "v"]


@dataclass(frozen=True, eq=False)
class Diffusion:
    """Diffusion along a noise schedule, with a prediction type and a weighting of the loss.

    `min_snr_gamma` limits the weight of nearly clean maps (Hang et al., 2303.09556): min(SNR, γ)/SNR for ε,
    min(SNR, γ)/(SNR + 1) for v; None gives the plain mean squared error of the prediction.

    Raises:
        InputError: ε would be predicted at a step without signal, the prediction type is unknown, or γ is not positive.
    """

    schedule: NoiseSchedule
    prediction: Prediction = "epsilon"
    min_snr_gamma: float | None = None
    _tables: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor, Tensor]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        if self.prediction not in ("epsilon", "v"):
            raise InputError(f"diffusion.prediction: {self.prediction!r} is unknown; allowed: epsilon, v")
        if self.min_snr_gamma is not None and not self.min_snr_gamma > 0:
            raise InputError(f"diffusion.min_snr_gamma: {self.min_snr_gamma:g}; use a number above 0, or leave it out")
        if self.prediction == "epsilon" and self.schedule.terminal_snr == 0:
            raise InputError(
                "diffusion.zero_terminal_snr needs prediction: v (at zero signal, ε carries no information on the map)"
            )

    @property
    def method(self) -> str:
        """`diffusion`."""
        return "diffusion"

    @property
    def prior_scale(self) -> float:
        """1: x at t = T-1 is treated as unit noise (see `NoiseSchedule.terminal_snr_by_mode`)."""
        return 1.0

    @property
    def weights(self) -> Tensor:
        """Weight of the loss at each step, (T,) float64."""
        snr = self.schedule.snr
        if self.min_snr_gamma is None:
            return torch.ones_like(snr)
        return snr.clamp(max=self.min_snr_gamma) / (snr if self.prediction == "epsilon" else snr + 1)

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
        target = noise if self.prediction == "epsilon" else alpha * noise - sigma * maps
        output = network(x, t.to(maps.dtype) / self._last, cond, unconditional)
        # In the precision of the maps: bf16 has too few digits for the square of a small difference.
        error = (output.to(maps.dtype) - target).square().flatten(1).mean(dim=1)
        return weight.flatten() * error

    def denoise(self, network: Network, x: Tensor, t: float, cond: Tensor, *, guidance: float = 1.0) -> Denoised:
        """Split `x` (B, C, H, W) at timestep `t` into data and noise (see `Process.denoise`)."""
        time = torch.full((len(x),), t / self._last, dtype=x.dtype, device=x.device)
        output = guided_output(network, x, time, cond, guidance).to(x.dtype)
        alpha, sigma = self.scales(t)
        if self.prediction == "epsilon":
            return Denoised(data=(x - sigma * output) / alpha, noise=output)
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
