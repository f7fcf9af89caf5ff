r"""Samplers of several evaluations a step: Heun, midpoint, classical Runge-Kutta.

The flow of probability is dx = data da + noise ds for any scales (a, s). Trapezoid sums over a and s make Heun's step:
x_u = x_t + Δa (data_t + data_u)/2 + Δs (noise_t + noise_u)/2. It is of second order on every path, exact for constant
data and noise, and on a straight path (flow, EDM) it averages the velocities at both ends (2206.00364, Algorithm 1).
The midpoint rule takes both at the mean of the angles atan(s/a): on the circle a² + s² = 1 (diffusion) the chord
(Δa, Δs) is along the velocity there, and on a straight path the velocity has that direction everywhere.
`rk4` needs a path that is straight in its time.

Where the network has no output at the data (diffusion), the last step of `heun` is Euler's.
"""

import math
from collections.abc import Iterator

from torch import Tensor

from focus_engine.generative.process import Denoised, Process
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


def midpoint(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield midpoint steps: with data and noise that an Euler step finds at half the way."""
    for index, t, u in task.pairs():
        half = _halfway(task.process, t, u)
        there = task.denoise(task.moved(task.denoise(x, t), half), half)
        x = x + displacement(task, t, u, there)
        yield Step(index, task.steps, t, x, there.data)


def rk4(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield steps of the classical Runge-Kutta method of fourth order."""
    for index, t, u in task.pairs():
        half = (t + u) / 2
        first = displacement(task, t, u, task.denoise(x, t))
        second = displacement(task, t, u, task.denoise(x + first / 2, half))
        third = displacement(task, t, u, task.denoise(x + second / 2, half))
        there = task.denoise(x + third, u)
        x = x + (first + 2 * second + 2 * third + displacement(task, t, u, there)) / 6
        yield Step(index, task.steps, t, x, there.data)


def displacement(task: SamplerTask, t: float, u: float, parts: Denoised) -> Tensor:
    """Return the change of x from `t` to `u` for constant data and noise: on a straight path (u - t) velocity."""
    (a_t, s_t), (a_u, s_u) = task.process.scales(t), task.process.scales(u)
    return (a_u - a_t) * parts.data + (s_u - s_t) * parts.noise


def _halfway(process: Process, t: float, u: float) -> float:
    """Return the time of the mean angle atan(s/a), or the nearest at which the network has an output."""
    angles = (math.atan2(s, a) for a, s in (process.scales(t), process.scales(u)))
    return process.time_at(math.tan(sum(angles) / 2))


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
