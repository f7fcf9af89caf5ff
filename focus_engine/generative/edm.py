r"""The preconditioned diffusion of Karras et al. (2206.00364, EDM): the path, the loss and the network's output.

x_σ = map + σ ε, and the time is σ itself. The denoised map is D = c_skip x + c_out F(c_in x, c_noise) with the
coefficients of table 1. The loss λ |D - map|² with λ = 1/c_out² is |F - target|², where input and target of the network
F have unit variance at every σ. For maps of unit variance F predicts -v of the diffusion with α = 1/√(1 + σ²) at
α x_σ. So `edm` differs from v-prediction in three points: noise levels are continuous, drawn from a log-normal
distribution in training, and spaced by a power law in sampling.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from focus_engine.errors import InputError
from focus_engine.generative.guidance import guided_output
from focus_engine.generative.process import Denoised, Network
from focus_engine.generative.scale_weights import mean_square

SIGMA_DATA = 1.0
"""Standard deviation of the maps, which are standardised."""
RHO = 7.0
"""Exponent of the sampling times: short steps at little noise (2206.00364, section 3 and appendix D.1)."""


@dataclass(frozen=True)
class Edm:
    """The range of σ, and the distribution of ln σ in training: a Gaussian of mean `p_mean` and width `p_std`.

    The default is as wide as the distribution of the cosine schedule (π/2). That of images, (-1.2, 1.2), has 0.1 % of
    its noise above the largest waves of standardised maps of 32² (σ = 13), this one 5 %; larger maps need more.
    Noise levels beyond [`sigma_min`, `sigma_max`] are moved to the nearer end, so that both ends are trained.
    `scale_power` weighs the Fourier modes of the error (`scale_weights.mean_square`).

    Raises:
        InputError: the range or the distribution is not allowed, or the median training noise is outside the range.
    """

    sigma_min: float = 0.002
    sigma_max: float = 500.0
    p_mean: float = 0.0
    p_std: float = 1.6
    scale_power: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise InputError(
                f"edm.sigma_min {self.sigma_min:g} and sigma_max {self.sigma_max:g}: use 0 < sigma_min < sigma_max"
            )
        if not (0 < self.p_std < math.inf and math.isfinite(self.p_mean)):
            raise InputError(f"edm.p_mean {self.p_mean:g} and p_std {self.p_std:g}: use finite numbers and p_std > 0")
        if not math.log(self.sigma_min) < self.p_mean < math.log(self.sigma_max):
            raise InputError(
                f"edm.p_mean {self.p_mean:g}: the median noise of training, e^p_mean = {math.exp(self.p_mean):g}, is "
                f"not between sigma_min {self.sigma_min:g} and sigma_max {self.sigma_max:g}"
            )

    @property
    def method(self) -> str:
        """`edm`."""
        return "edm"

    @property
    def prior_scale(self) -> float:
        """σ_max: x at the first time is treated as noise of this width (see `terminal_snr`)."""
        return self.sigma_max

    @property
    def terminal_snr(self) -> float:
        """Signal-to-noise ratio of a unit-variance pixel at σ_max."""
        return (SIGMA_DATA / self.sigma_max) ** 2

    def check_trainable(self) -> None:
        """Do nothing: the loss has weight at every time (see `Process.check_trainable`)."""

    def times(self, steps: int) -> tuple[float, ...]:
        """Return `steps` values of σ from σ_max to σ_min, even in σ^(1/7), then 0 (2206.00364, eq. 5).

        One step goes from σ_max to 0.

        Raises:
            InputError: `steps` is below 1.
        """
        if steps < 1:
            raise InputError(f"{steps} sampling steps: use 1 or more")
        high, low = self.sigma_max ** (1 / RHO), self.sigma_min ** (1 / RHO)
        inner = ((high + i / (steps - 1) * (low - high)) ** RHO for i in range(1, steps))
        return (self.sigma_max, *inner, 0.0)

    def scales(self, t: float) -> tuple[float, float]:
        """Return (1, σ); the time is σ."""
        return 1.0, t

    def time_at(self, noise_to_signal: float) -> float:
        """Return the time where s/a is `noise_to_signal`, at most σ_max; the network has an output at σ = 0 too."""
        return min(max(noise_to_signal, 0.0), self.sigma_max)

    def training_sigmas(self, u: Tensor) -> Tensor:
        """Return σ at the quantiles `u` in [0, 1), of the same shape, all in [σ_min, σ_max]."""
        log_sigma: Tensor = self.p_mean + self.p_std * torch.special.ndtri(u)
        return log_sigma.clamp(math.log(self.sigma_min), math.log(self.sigma_max)).exp()

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
        """Return the mean squared error of F, (B,) (see `Process.loss`).

        The target (map - c_skip x)/c_out is (σ map/σ_data - σ_data ε)/√(σ² + σ_data²), written so that nothing cancels.
        """
        sigmas = self.training_sigmas(u)
        sigma = sigmas[:, None, None, None]
        total = (sigma**2 + SIGMA_DATA**2).sqrt()
        output = network((maps + sigma * noise) / total, self._network_time(sigmas), cond, unconditional)
        target = (sigma / SIGMA_DATA * maps - SIGMA_DATA * noise) / total
        # In the precision of the maps: bf16 has too few digits for the square of a small difference.
        return mean_square(output.to(maps.dtype) - target, self.scale_power)

    def denoise(self, network: Network, x: Tensor, t: float, cond: Tensor, *, guidance: float = 1.0) -> Denoised:
        """Split `x` (B, C, H, W) at σ = `t` into data D and noise (x - D)/σ (see `Process.denoise`).

        Both are written so that nothing cancels; the noise has its limit at σ = 0, where samplers of second order ask
        for it.
        """
        sigmas = torch.full((len(x),), t, dtype=x.dtype, device=x.device)
        total = math.hypot(t, SIGMA_DATA)
        output = guided_output(network, x / total, self._network_time(sigmas), cond, guidance).to(x.dtype)
        data = (SIGMA_DATA / total) ** 2 * x + t * SIGMA_DATA / total * output
        return Denoised(data=data, noise=t / total**2 * x - SIGMA_DATA / total * output)

    def _network_time(self, sigma: Tensor) -> Tensor:
        """Return c_noise = ln(σ)/4 mapped linearly from [σ_min, σ_max] to [0, 1]; a smaller σ has 0."""
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return (sigma.clamp(min=self.sigma_min).log() - low) / (high - low)
