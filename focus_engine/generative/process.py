r"""What diffusion and flow matching share: the one interface that training and sampling are written against.

A process mixes a map with unit Gaussian noise, x_t = a(t) map + s(t) noise, and says how a network learns to
undo it. Its scales (a, s), its times and its loss are all in which the two methods differ: diffusion counts
t = T-1 ... 0, flow runs t = 0 ... 1; the training loop and the samplers read neither.
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
    """The two parts that a network sees in x_t: x_t = a(t) data + s(t) noise."""

    data: Tensor
    """Expected map at zero noise, (B, C, H, W)."""
    noise: Tensor
    """Expected unit noise, (B, C, H, W)."""


Denoiser = Callable[[Tensor, float], Denoised]
"""All that a sampler knows of a network: `denoise(x, t)` for a batch `x` (B, C, H, W) at one time `t`."""


class Process(Protocol):
    """The path between data and noise, and the loss that teaches a network to walk it back."""

    @property
    def method(self) -> str:
        """The value of `method` in config.yaml: `diffusion` or `flow`."""
        ...

    @property
    def prior_scale(self) -> float:
        """Standard deviation of the Gaussian that samplers start from."""
        ...

    def times(self, steps: int) -> tuple[float, ...]:
        """Times from noise to data, `steps + 1` of them: the network is called at all but the last.

        Raises:
            InputError: `steps` is not a number of steps that this process can take.
        """
        ...

    def scales(self, t: float) -> tuple[float, float]:
        """Scales (a, s) of data and noise at any of `times`; the last is the data itself, mostly (1, 0)."""
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
        """Weighted mean squared error of each sample, (B,) float32, with gradients.

        `u` (B,) in [0, 1) is the quantile of the training times: uniform `u` draws times as training should,
        equally spaced `u` are its strata. `noise` is unit Gaussian, of the shape of `maps`.
        """
        ...

    def denoise(self, network: Network, x: Tensor, t: float, cond: Tensor, *, guidance: float = 1.0) -> Denoised:
        """Split `x` at time `t` into data and noise; `guidance` as in `guidance.guided_output`."""
        ...
