r"""Flow matching along straight paths: the path, the loss and the conversion of the network's output.

x_t = t map + s_t ε with s_t = σ_max - (σ_max - σ_min) t, from t = 0 (noise) to t = 1 (data); the network sees x_t
and t and predicts the velocity dx_t/dt = map - (σ_max - σ_min) ε (Lipman et al., 2210.02747; Liu et al.,
2209.03003). Time is continuous, so any number of steps is allowed.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from focus_engine.errors import InputError
from focus_engine.generative.guidance import guided_output
from focus_engine.generative.process import Denoised, Network

TimeSampling = Literal["uniform", "logit_normal"]


@dataclass(frozen=True)
class Flow:
    """A straight path and the distribution of training times.

    `logit_normal` draws t = 1/(1 + e^-z) with z unit Gaussian. This favours the middle of the path, where the
    velocity is hardest to predict (Esser et al., 2403.03206).

    Raises:
        InputError: the noise scales or the time sampling are not allowed.
    """

    sigma_min: float = 0.0
    sigma_max: float = 1.0
    time_sampling: TimeSampling = "uniform"

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

    @property
    def method(self) -> str:
        """`flow`."""
        return "flow"

    @property
    def prior_scale(self) -> float:
        """σ_max: at t = 0 the path is pure noise."""
        return self.sigma_max

    def times(self, steps: int) -> tuple[float, ...]:
        """Return `steps + 1` evenly spaced times from 0 (noise) to 1 (data).

        Raises:
            InputError: `steps` is below 1.
        """
        if steps < 1:
            raise InputError(f"{steps} sampling steps: use 1 or more")
        return tuple(i / steps for i in range(steps + 1))

    def scales(self, t: float) -> tuple[float, float]:
        """Return (t, σ_max - (σ_max - σ_min) t)."""
        return t, self.sigma_max - (self.sigma_max - self.sigma_min) * t

    def time_at(self, noise_to_signal: float) -> float:
        """Return the time where s/a is `noise_to_signal`; the network has an output at the data too."""
        return min(self.sigma_max / (noise_to_signal + self.sigma_max - self.sigma_min), 1.0)

    def training_times(self, u: Tensor) -> Tensor:
        """Return the training times at the quantiles `u` in [0, 1), of the same shape."""
        return u if self.time_sampling == "uniform" else torch.sigmoid(torch.special.ndtri(u))

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
        return (output.to(maps.dtype) - (maps - spread * noise)).square().flatten(1).mean(dim=1)

    def denoise(self, network: Network, x: Tensor, t: float, cond: Tensor, *, guidance: float = 1.0) -> Denoised:
        """Split `x` (B, C, H, W) at time `t` into data and noise (see `Process.denoise`).

        Solves x = t data + s noise and velocity = data - (σ_max - σ_min) noise.
        """
        time = torch.full((len(x),), t, dtype=x.dtype, device=x.device)
        velocity = guided_output(network, x, time, cond, guidance).to(x.dtype)
        noise = (x - t * velocity) / self.sigma_max
        return Denoised(data=velocity + (self.sigma_max - self.sigma_min) * noise, noise=noise)
