"""What every sampler gets and yields."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from focus_engine.generative.process import Denoised, Denoiser, Process


@dataclass(frozen=True, slots=True)
class Step:
    """The state after one sampler step."""

    index: int
    """0 ... total - 1."""
    total: int
    t: float
    """Time at which the network was evaluated."""
    x: Tensor
    """The maps after the step, (B, C, H, W); the result after the last step."""
    x0: Tensor
    """The network's estimate of the final maps, (B, C, H, W)."""


FreshNoise = Callable[[], Tensor]
"""Returns new unit noise of the shape of the batch on each call."""


@dataclass(frozen=True, slots=True)
class SamplerTask:
    """Everything that a sampler needs but the starting noise.

    Attributes:
        process: the path between noise and data.
        denoise: the network.
        fresh_noise: noise of stochastic samplers.
        times: of the steps, from noise to data; the network is evaluated at all but the last (see `spaced_times`).
        eta: share of the noise that a stochastic sampler replaces, 0 to 1.
        churn: S_churn of 2206.00364, Algorithm 2.
        rtol: relative tolerance of an adaptive sampler.
        atol: absolute tolerance of an adaptive sampler, in units of the normalised maps.
    """

    process: Process
    denoise: Denoiser
    fresh_noise: FreshNoise
    times: tuple[float, ...]
    eta: float = 0.0
    churn: float = 0.0
    rtol: float = 1e-3
    atol: float = 1e-3

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.times) - 1

    def pairs(self) -> Iterator[tuple[int, float, float]]:
        """Yield index, start and end time of each step."""
        for index, (t, u) in enumerate(pairwise(self.times)):
            yield index, t, u

    def can_evaluate(self, t: float) -> bool:
        """Return whether the network has an output at a time of `times`; only the last may have none."""
        return t != self.times[-1] or self.process.time_at(0.0) == t

    def moved(self, parts: Denoised, u: float) -> Tensor:
        """Return the maps at time `u` for data and noise that stay as they are: the step of DDIM and Euler."""
        a, s = self.process.scales(u)
        return a * parts.data + s * parts.noise


SamplerFunction = Callable[[SamplerTask, Tensor], Iterator[Step]]
"""`run(task, x)`, with `x` (B, C, H, W) the starting noise, scaled by the prior."""
