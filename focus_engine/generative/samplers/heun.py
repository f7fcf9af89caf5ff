r"""Heun's sampler, with churn.

The flow of probability is dx = data da + noise ds for any scales (a, s). Trapezoid sums over a and s make the step
x_u = x_t + Δa (data_t + data_u)/2 + Δs (noise_t + noise_u)/2. It is of second order on every path, exact for constant
data and noise, and on a straight path (flow, EDM) it averages the velocities at both ends (2206.00364, Algorithm 1).
Where the network has no output at the data (diffusion), the last step is Euler's.
"""

import math
from collections.abc import Iterator

from torch import Tensor

from focus_engine.generative.samplers.task import SamplerTask, Step

CHURNED = (0.05, 50.0)
"""S_tmin and S_tmax of 2206.00364: the range of σ = s/a with churn. S_noise is 1, which keeps the marginals."""


def heun(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield Heun steps from starting noise `x` (B, C, H, W), with churn before each if `task.churn` is above 0."""
    for index, start, u in task.pairs():
        t, x = _churned(task, start, x)
        (a_t, s_t), (a_u, s_u) = task.process.scales(t), task.process.scales(u)
        here = there = task.denoise(x, t)
        if task.can_evaluate(u):
            there = task.denoise(task.moved(here, u), u)
        x = x + (a_u - a_t) / 2 * (here.data + there.data) + (s_u - s_t) / 2 * (here.noise + there.noise)
        yield Step(index, task.steps, t, x, there.data)


def _churned(task: SamplerTask, t: float, x: Tensor) -> tuple[float, Tensor]:
    """Return time and maps with noise added, σ (1 + γ) in place of σ = s/a (2206.00364, Algorithm 2)."""
    a_t, s_t = task.process.scales(t)
    gamma = min(task.churn / task.steps, math.sqrt(2) - 1)
    low, high = CHURNED
    if gamma == 0 or not low * a_t <= s_t <= high * a_t:
        return t, x
    noisier = task.process.time_at(s_t / a_t * (1 + gamma))
    a, s = task.process.scales(noisier)
    added = math.sqrt(max(s**2 - (a / a_t * s_t) ** 2, 0.0))
    return noisier, a / a_t * x + added * task.fresh_noise()
