r"""Samplers on the circle: midpoint and classical Runge-Kutta, in the angle φ = atan(s/a).

y = x/√(a² + s²) moves along dy/dφ = cos φ noise - sin φ data whatever the path, from noise (φ = π/2) to the data
(φ = 0), without a singular end. For diffusion this is the velocity v of 2202.00512; for EDM it takes out the large
scale of x at much noise, where steps in x and σ go astray. The midpoint rule takes the chord,
Δy = Δcos φ data + Δsin φ noise at half the angle, so that constant data and noise are exact.
"""

import math
from collections.abc import Iterator

from torch import Tensor

from focus_engine.generative.process import Denoised, Process
from focus_engine.generative.samplers.task import SamplerTask, Step


def midpoint(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield midpoint steps from starting noise `x` (B, C, H, W)."""
    process = task.process
    for index, t, u in task.pairs():
        here, there = angle_of(process, t), angle_of(process, u)
        # The network may have no output so near the data: then at the nearest time that it has.
        half = process.time_at(math.tan((here + there) / 2))
        parts = task.denoise(task.moved(task.denoise(x, t), half), half)
        chord = (math.cos(there) - math.cos(here)) * parts.data + (math.sin(there) - math.sin(here)) * parts.noise
        x = radius(process, u) * (x / radius(process, t) + chord)
        yield Step(index, task.steps, t, x, parts.data)


def rk4(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield steps of the classical Runge-Kutta method of fourth order."""
    process = task.process
    y = x / radius(process, task.times[0])
    for index, t, u in task.pairs():
        here, there = angle_of(process, t), angle_of(process, u)
        stride, half = there - here, process.time_at(math.tan((here + there) / 2))
        _, first = evaluate(task, y, t)
        _, second = evaluate(task, y + stride / 2 * first, half)
        _, third = evaluate(task, y + stride / 2 * second, half)
        parts, fourth = evaluate(task, y + stride * third, u)
        y = y + stride / 6 * (first + 2 * second + 2 * third + fourth)
        yield Step(index, task.steps, t, radius(process, u) * y, parts.data)


def angle_of(process: Process, t: float) -> float:
    """Return φ in [0, π/2]."""
    a, s = process.scales(t)
    return math.atan2(s, a)


def radius(process: Process, t: float) -> float:
    """Return √(a² + s²)."""
    return math.hypot(*process.scales(t))


def evaluate(task: SamplerTask, y: Tensor, t: float) -> tuple[Denoised, Tensor]:
    """Return the network's output for `y` at time `t`, and dy/dφ."""
    parts, phi = task.denoise(radius(task.process, t) * y, t), angle_of(task.process, t)
    return parts, math.cos(phi) * parts.noise - math.sin(phi) * parts.data
