r"""Flow matching along straight paths: the path, the loss and the conversion of the network's output.

x_t = t map + s_t ε with s_t = σ_max - (σ_max - σ_min) t, from t = 0 (noise) to t = 1 (data); the network sees x_t
and t and predicts the velocity dx_t/dt = map - (σ_max - σ_min) ε (Lipman et al., 2210.02747; Liu et al.,
2209.03003). Time is continuous, so any number of steps is allowed.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

from focus_engine.errors import InputError
from focus_engine.generative.guidance import guided_output
from focus_engine.generative.process import Denoised, Network
from focus_engine.generative.scale_weights import mean_square

TimeSampling = Literal["uniform", "logit_normal"]
Time = TypeVar("Time", float, Tensor)


@dataclass(frozen=True)
class Flow:
    """A straight path, the distribution of training times and the spacing of sampling times.

    `logit_normal` draws t = 1/(1 + e^-z) with z Gaussian of mean `time_mean` and width `time_std`. This favours the
    middle of the path, where the velocity is hardest to predict (Esser et al., 2403.03206).

    `shift` multiplies (1 - t)/t, the ratio of noise to map, of all times in training and sampling: t becomes
    t/(t + shift (1 - t)). Maps of N² pixels with `shift` = N/M see the noise on large scales that maps of M² see
    without (2403.03206, eq. 23, with time reversed; the law of `NoiseSchedule.shifted`).
    `scale_power` weighs the Fourier modes of the error (`scale_weights.mean_square`).

    Raises:
        InputError: the noise scales, the time sampling, its width or the shift are not allowed.
    """

    sigma_min: float = 0.0
    sigma_max: float = 1.0
    time_sampling: TimeSampling = "uniform"
    time_mean: float = 0.0
    time_std: float = 1.0
    shift: float = 1.0
    scale_power: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sigma_min < self.sigma_max:
            raise InputError(
                f"flow_matching.sigma_min {self.sigma_min:g} and sigma_max {self.sigma_max:g}: "
                "use 0 <= sigma_min < sigma_max"
            )
        if self.time_sampling not in ("uniform", "logit_normal"):
            raise InputError(
                f"flow_matching.time_sampling: {self.time_sampling!r} is unknown; allowed: uniform, logit_normal"
            )
        for key, value in (("time_std", self.time_std), ("shift", self.shift)):
            if not 0 < value < math.inf:
                raise InputError(f"flow_matching.{key}: {value:g}; use a number above 0")

    @property
    def method(self) -> str:
        """`flow`."""
        return "flow"

    @property
    def prior_scale(self) -> float:
        """σ_max: at t = 0 the path is pure noise."""
        return self.sigma_max

    @property
    def terminal_snr(self) -> None:
        """None: the path starts at noise alone."""
        return None

    def check_trainable(self) -> None:
        """Do nothing: the loss has weight at every time (see `Process.check_trainable`)."""

    def times(self, steps: int) -> tuple[float, ...]:
        """Return `steps + 1` times from 0 (noise) to 1 (data), evenly spaced before the shift.

        Raises:
            InputError: `steps` is below 1.
        """
        if steps < 1:
            raise InputError(f"{steps} sampling steps: use 1 or more")
        return tuple(self._shifted(i / steps) for i in range(steps + 1))

    def scales(self, t: float) -> tuple[float, float]:
        """Return (t, σ_max - (σ_max - σ_min) t)."""
        return t, self.sigma_max - (self.sigma_max - self.sigma_min) * t

    def time_at(self, noise_to_signal: float) -> float:
        """Return the time where s/a is `noise_to_signal`; the network has an output at the data too."""
        return min(self.sigma_max / (noise_to_signal + self.sigma_max - self.sigma_min), 1.0)

    def training_times(self, u: Tensor) -> Tensor:
        """Return the training times at the quantiles `u` in [0, 1), of the same shape."""
        if self.time_sampling == "uniform":
            return self._shifted(u)
        return self._shifted(torch.sigmoid(self.time_mean + self.time_std * torch.special.ndtri(u)))

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
        """Return the mean squared error of the velocity, (B,) (see `Process.loss`)."""
        time = self.training_times(u)
        t = time[:, None, None, None]
        spread = self.sigma_max - self.sigma_min
        x = t * maps + (self.sigma_max - spread * t) * noise
        output = network(x, time, cond, unconditional)
        # In the precision of the maps: bf16 has too few digits for the square of a small difference.
        return mean_square(output.to(maps.dtype) - (maps - spread * noise), self.scale_power)

    def denoise(self, network: Network, x: Tensor, t: float, cond: Tensor, *, guidance: float = 1.0) -> Denoised:
        """Split `x` (B, C, H, W) at time `t` into data and noise (see `Process.denoise`).

        Solves x = t data + s noise and velocity = data - (σ_max - σ_min) noise.
        """
        time = torch.full((len(x),), t, dtype=x.dtype, device=x.device)
        velocity = guided_output(network, x, time, cond, guidance).to(x.dtype)
        noise = (x - t * velocity) / self.sigma_max
        return Denoised(data=velocity + (self.sigma_max - self.sigma_min) * noise, noise=noise)

    def _shifted(self, t: Time) -> Time:
        return t if self.shift == 1 else t / (t + self.shift * (1 - t))
