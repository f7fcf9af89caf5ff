r"""A sampler that chooses its steps: Bogacki-Shampine 3(2) with step control, on the circle (see `circle`).

The third-order solution is kept; its difference from the embedded second-order one is the error of the step
(Bogacki & Shampine, Appl. Math. Lett. 2, 321, 1989). The last of the four evaluations is the first of the next step.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from focus_engine.errors import InputError
from focus_engine.generative.process import Denoised
from focus_engine.generative.samplers.circle import angle_of, evaluate, radius
from focus_engine.generative.samplers.task import SamplerTask, Step

FIRST_STEP = 0.02
"""Length of the first step, as a share of the path."""
SAFETY = 0.9
"""Share of the step that would just meet the tolerance."""
GROWTH = (0.2, 5.0)
"""Smallest and largest ratio of a step to the one before."""


def adaptive(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield accepted steps from starting noise `x` (B, C, H, W).

    The error of a step is the rms over all pixels of error / (atol + rtol |y|), y being the maps scaled to unit
    variance; 1 is allowed. The number of steps of the task is the most that are tried.

    Raises:
        InputError: the tolerances are not met within the number of steps.
    """
    t, end = task.times[0], task.times[-1]
    start, there = angle_of(task.process, t), angle_of(task.process, end)
    y, here, stride, error = x / radius(task.process, t), start, FIRST_STEP * (there - start), math.nan
    _, slope = evaluate(task, y, t)
    for index in range(task.steps):
        stride = max(stride, there - here)  # both are negative
        u = end if stride == there - here else task.process.time_at(math.tan(here + stride))
        after, parts, slope_after, difference = _attempt(task, y, here, stride, slope, u)
        error = _relative(difference, y, after, task)
        if error <= 1:
            y, slope, here = after, slope_after, here + stride
            # The number of steps is not known before: the last one is numbered as the last allowed.
            number = task.steps - 1 if u == end else min(index, task.steps - 2)
            yield Step(number, task.steps, t, radius(task.process, u) * y, parts.data)
            if u == end:
                return
            t = u
        stride *= _growth(error)
    raise InputError(
        f"sampler adaptive came {100 * (start - here) / (start - there):.0f} % of the way in {task.steps} steps; the "
        f"error of the last is {error:.3g} times what rtol {task.rtol:g} and atol {task.atol:g} allow: "
        "raise --steps (sampling.num_steps), --rtol (sampling.rtol) or --atol (sampling.atol)",
        keys=("rtol", "atol"),
    )


def _attempt(
    task: SamplerTask, y: Tensor, here: float, stride: float, first: Tensor, u: float
) -> tuple[Tensor, Denoised, Tensor, Tensor]:
    """Return y at `u`, the network's output and dy/dφ there, and the estimate of the error of y."""
    half, later = (task.process.time_at(math.tan(here + share * stride)) for share in (1 / 2, 3 / 4))
    _, second = evaluate(task, y + stride / 2 * first, half)
    _, third = evaluate(task, y + 3 / 4 * stride * second, later)
    after = y + stride / 9 * (2 * first + 3 * second + 4 * third)
    parts, fourth = evaluate(task, after, u)
    return after, parts, fourth, stride * (-5 / 72 * first + second / 12 + third / 9 - fourth / 8)


def _relative(difference: Tensor, y: Tensor, after: Tensor, task: SamplerTask) -> float:
    allowed = task.atol + task.rtol * torch.maximum(y.abs(), after.abs())
    return float((difference / allowed).square().mean().sqrt())


def _growth(error: float) -> float:
    """Return the ratio of the next step to this one, for an error that grows with the third power of the step."""
    low, high = GROWTH
    if not error > 0:
        return high if error == 0 else low
    return min(max(SAFETY / math.cbrt(error), low), high)
