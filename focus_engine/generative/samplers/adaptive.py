r"""A sampler that chooses its steps: Bogacki-Shampine 3(2) with step control, on paths that are straight in their time.

The third-order solution is kept; its difference from the embedded second-order one is the error of the step
(Bogacki & Shampine, Appl. Math. Lett. 2, 321, 1989). The last of the four evaluations is the first of the next step.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from focus_engine.errors import InputError
from focus_engine.generative.process import Denoised
from focus_engine.generative.samplers.runge_kutta import displacement
from focus_engine.generative.samplers.task import SamplerTask, Step

FIRST_STEP = 0.02
"""Length of the first step, as a share of the path."""
SAFETY = 0.9
"""Share of the step that would just meet the tolerance."""
GROWTH = (0.2, 5.0)
"""Smallest and largest ratio of a step to the one before."""


def adaptive(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield accepted steps from starting noise `x` (B, C, H, W).

    The error of a step is the rms over all pixels of error / (atol + rtol |x|), and 1 is allowed. The number of steps
    of the task is the most that are tried.

    Raises:
        InputError: the tolerances are not met within the number of steps.
    """
    start, end = task.times[0], task.times[-1]
    t, length, parts, error = start, FIRST_STEP * (end - start), task.denoise(x, start), float("nan")
    for index in range(task.steps):
        u = end if abs(length) >= abs(end - t) else t + length
        after, parts_after, difference = _attempt(task, x, t, u, parts)
        error = _relative(difference, x, after, task)
        length = (u - t) * _growth(error)
        if error <= 1:
            x, t, parts = after, u, parts_after
            finished = t == end
            # The number of steps is not known before: the last one is numbered as the last allowed.
            yield Step(task.steps - 1 if finished else min(index, task.steps - 2), task.steps, t, x, parts.data)
            if finished:
                return
    done = (t - start) / (end - start)
    raise InputError(
        f"sampler adaptive came {100 * done:.0f} % of the way in {task.steps} steps; the error of the last is "
        f"{error:.3g} times what rtol {task.rtol:g} and atol {task.atol:g} allow: raise sampling.num_steps, or them",
        keys=("rtol", "atol"),
    )


def _attempt(task: SamplerTask, x: Tensor, t: float, u: float, parts: Denoised) -> tuple[Tensor, Denoised, Tensor]:
    """Return the maps at `u`, the network's output there and the estimate of their error."""

    def moved(share: float, by: Tensor) -> Tensor:
        time = t + share * (u - t)
        return displacement(task, t, u, task.denoise(x + share * by, time))

    first = displacement(task, t, u, parts)
    second = moved(1 / 2, first)
    third = moved(3 / 4, second)
    after = x + (2 * first + 3 * second + 4 * third) / 9
    parts = task.denoise(after, u)
    fourth = displacement(task, t, u, parts)
    return after, parts, -5 / 72 * first + second / 12 + third / 9 - fourth / 8


def _relative(difference: Tensor, x: Tensor, after: Tensor, task: SamplerTask) -> float:
    allowed = task.atol + task.rtol * torch.maximum(x.abs(), after.abs())
    return float((difference / allowed).square().mean().sqrt())


def _growth(error: float) -> float:
    """Return the ratio of the next step to this one, for an error that grows with the third power of the step."""
    low, high = GROWTH
    if not error > 0:
        return high if error == 0 else low
    return min(max(SAFETY / math.cbrt(error), low), high)
