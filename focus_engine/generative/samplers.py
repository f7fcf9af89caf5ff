r"""Samplers: generators of the steps from noise to maps, which use only the scales and times of a process.

DDIM (Song et al., 2010.02502, eq. 12 and 16) steps from t to the next time u of the list,
x_u = a_u data + √(s_u² - c²) noise + c z, with c = η (s_u/s_t) √(1 - a_t²/a_u²): η = 0 is deterministic and
first order, η = 1 is ancestral sampling (DDPM, 2006.11239) with the posterior variance. On a straight path the
same step without noise is Euler's: x_u - x_t = (u - t) velocity. Heun's step (second order) averages the velocities
at both ends. The caller handles progress bars, batches and devices. Allowed methods and η: `config.samplers`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from focus_engine.generative.process import Denoiser, Process


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

SamplerFunction = Callable[[Process, Denoiser, Tensor, FreshNoise, int, float], Iterator[Step]]
"""`run(process, denoise, x, fresh_noise, steps, eta)`, with `x` the starting noise, scaled by the prior."""


def ddim(
    process: Process, denoise: Denoiser, x: Tensor, fresh_noise: FreshNoise, steps: int, eta: float
) -> Iterator[Step]:
    """Yield the steps of DDIM from starting noise `x` (B, C, H, W).

    Raises:
        InputError: `steps` is not allowed for the process.
    """
    times = process.times(steps)
    for index, (t, u) in enumerate(pairwise(times)):
        (a_t, s_t), (a_u, s_u) = process.scales(t), process.scales(u)
        parts = denoise(x, t)
        churn = eta * s_u / s_t * math.sqrt(max(1 - (a_t / a_u) ** 2, 0.0)) if s_t > 0 else 0.0
        x = a_u * parts.data + math.sqrt(max(s_u**2 - churn**2, 0.0)) * parts.noise
        if churn > 0:
            x = x + churn * fresh_noise()
        yield Step(index, steps, t, x, parts.data)


def ddpm(
    process: Process,
    denoise: Denoiser,
    x: Tensor,
    fresh_noise: FreshNoise,
    steps: int,
    eta: float,  # noqa: ARG001  (every sampler has one signature)
) -> Iterator[Step]:
    """Yield the steps of ancestral sampling; with fewer than T steps, those of the subsampled chain.

    Raises:
        InputError: `steps` is not allowed for the process.
    """
    return ddim(process, denoise, x, fresh_noise, steps, 1.0)


def euler(
    process: Process,
    denoise: Denoiser,
    x: Tensor,
    fresh_noise: FreshNoise,
    steps: int,
    eta: float,  # noqa: ARG001  (every sampler has one signature)
) -> Iterator[Step]:
    """Yield Euler steps along the velocity; on a straight path these are DDIM steps without noise.

    Raises:
        InputError: `steps` is not allowed for the process.
    """
    return ddim(process, denoise, x, fresh_noise, steps, 0.0)


def heun(
    process: Process,
    denoise: Denoiser,
    x: Tensor,
    fresh_noise: FreshNoise,  # noqa: ARG001  (every sampler has one signature)
    steps: int,
    eta: float,  # noqa: ARG001  (the same)
) -> Iterator[Step]:
    """Yield Heun steps: an Euler step to the next time, repeated with the mean velocity of both ends.

    Raises:
        InputError: `steps` is not allowed for the process.
    """
    for index, (t, u) in enumerate(pairwise(process.times(steps))):
        (a_t, s_t), (a_u, s_u) = process.scales(t), process.scales(u)
        here = denoise(x, t)
        there = denoise(a_u * here.data + s_u * here.noise, u)
        x = x + (a_u - a_t) / 2 * (here.data + there.data) + (s_u - s_t) / 2 * (here.noise + there.noise)
        yield Step(index, steps, t, x, there.data)


FUNCTIONS: dict[str, SamplerFunction] = {"ddim": ddim, "ddpm": ddpm, "euler": euler, "heun": heun}
"""Sampler functions by the names of `focus_engine.config.samplers.SAMPLERS`."""
