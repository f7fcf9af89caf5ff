r"""The interface of a generative process, common to diffusion, flow matching and EDM.

A generative process mixes a map with unit Gaussian noise, x_t = a(t) map + s(t) noise, and defines the loss from
which a network learns the inverse. The methods differ only in the scales (a, s), the times and the loss. Diffusion
counts t = T-1 ... 0, flow runs t = 0 ... 1, EDM's time is s itself; the training loop and the samplers depend on none.
Maps here are normalised, (B, C, H, W).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Network(Protocol):
    """A trainable function of a noisy map, the time and the condition."""

    def __call__(self, x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        """Predict (B, C, H, W) from `x` (B, C, H, W), `time` (B,) in [0, 1] and `cond` (B, P), standardised.

        Rows where `unconditional` (B,) is True see the learned no-condition token in place of `cond`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Denoised:
    """The network's estimate of the two parts of x_t = a(t) data + s(t) noise."""

    data: Tensor
    """Expected map at zero noise, (B, C, H, W)."""
    noise: Tensor
    """Expected unit noise, (B, C, H, W)."""


Denoiser = Callable[[Tensor, float], Denoised]
"""The sampler's view of a network: `denoise(x, t)` for a batch `x` (B, C, H, W) at one time `t`."""


class Process(Protocol):
    """A generative process: the path between data and noise, and the loss that trains a network to invert it."""

    @property
    def method(self) -> str:
        """The value of `method` in config.yaml: `diffusion`, `flow` or `edm`."""
        ...

    @property
    def prior_scale(self) -> float:
        """Standard deviation of the Gaussian that samplers start from."""
        ...

    @property
    def terminal_snr(self) -> float | None:
        """Signal-to-noise ratio of a unit-variance pixel where samplers start; None where paths start at noise alone.

        A Fourier mode of power P (unit white noise has 1) has P times as much. Modes well above 0 are not noise there,
        and samples that start from noise get them wrong; for red spectra these are the large scales (2305.08891).
        """
        ...

    def check_trainable(self) -> None:
        """Refuse a loss that would leave a time of sampling untrained; runs begun with one may be resumed.

        Raises:
            InputError: there is such a time.
        """
        ...

    def times(self, steps: int) -> tuple[float, ...]:
        """Return the `steps + 1` times from noise to data; the network is evaluated at all but the last.

        Raises:
            InputError: `steps` is not allowed for this generative process.
        """
        ...

    def scales(self, t: float) -> tuple[float, float]:
        """Return the scales (a, s) of data and noise at a time of `times`; usually (1, 0) at the last, the data."""
        ...

    def time_at(self, noise_to_signal: float) -> float:
        """Return the time where s/a is `noise_to_signal`, or the nearest at which the network has an output.

        At 0 this is the last time of `times` if the network can be evaluated there.
        """
        ...

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
        """Return the weighted mean squared error of each map, (B,) float32, with gradients.

        `u` (B,) in [0, 1) are quantiles of the distribution of training times: uniform `u` samples it, equally
        spaced `u` are its strata. `noise` is unit Gaussian, of the shape of `maps`.
        """
        ...

    def denoise(self, network: Network, x: Tensor, t: float, cond: Tensor, *, guidance: float = 1.0) -> Denoised:
        """Split `x` at time `t` into data and noise; `guidance` as in `guidance.guided_output`."""
        ...
