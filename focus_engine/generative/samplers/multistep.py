r"""Samplers that extrapolate from the evaluation of the step before, at one evaluation a step.

Each step is that of DDIM, x_u = keep x_t + (a_u - a_t keep) data + c z with keep = √(s_u² - c²)/s_t, and c as in
`ancestral`; it is exact for constant data. In place of the estimate at t stands its extrapolation to the middle of the
step, linear in a clock. In log(a/s) this is DPM-Solver++(2M) (Lu et al., 2211.01095, Algorithm 2), and its SDE for
η = 1. That clock is infinite for pure noise and for the data, where steps fall to first order. `soft_log_snr`
has finite ends, so that every step but the first is of second order.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import Tensor

from focus_engine.generative.samplers.ancestral import fresh_scale
from focus_engine.generative.samplers.spacing import log_snr, soft_log_snr
from focus_engine.generative.samplers.task import SamplerTask, Step

Clock = Callable[[float, float], float]
"""A monotone function of the scales (a, s)."""


def dpmpp_2m(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield the steps of DPM-Solver++(2M) from starting noise `x` (B, C, H, W); of its SDE with η above 0."""
    return _multistep(task, x, log_snr)


def ab2(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield the steps of the same method in the clock with finite ends (exponential Adams-Bashforth)."""
    return _multistep(task, x, soft_log_snr)


def abm2(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield the steps of `ab2`, each repeated with the mean data of both ends once the next estimate is known.

    The corrector (Adams-Moulton) costs no evaluation, as in UniPC (2302.04867). No noise is added.
    """
    return _multistep(replace(task, eta=0.0), x, soft_log_snr, corrected=True)


def _multistep(task: SamplerTask, x: Tensor, clock: Clock, *, corrected: bool = False) -> Iterator[Step]:
    at = task.process.scales
    before: tuple[float, Tensor] | None = None
    shift = x.new_zeros(())
    weight = 0.0
    for index, t, u in task.pairs():
        (a_t, s_t), (a_u, s_u) = at(t), at(u)
        here, there, data = clock(a_t, s_t), clock(a_u, s_u), task.denoise(x, t).data
        middle = data
        if before is not None:
            if corrected:
                x = x + weight * ((before[1] + data) / 2 - shift)
            reach = (there - here) / 2 if math.isfinite(there) else 0.0
            middle = data + (data - before[1]) * (reach / (here - before[0]))
        fresh = fresh_scale(task, t, u)
        keep = math.sqrt(max(s_u**2 - fresh**2, 0.0)) / s_t
        weight, shift, before = a_u - a_t * keep, middle, (here, data)
        x = keep * x + weight * middle
        if fresh > 0:
            x = x + fresh * task.fresh_noise()
        yield Step(index, task.steps, t, x, data)
