r"""Samplers of first order: DDIM, DDPM and the SDE of any path.

DDIM (Song et al., 2010.02502, eq. 12 and 16) steps from t to the next time u of the list,
x_u = a_u data + √(s_u² - c²) noise + c z, with c = η (s_u/s_t) √(s_t² - (a_t s_u/a_u)²) for fresh noise z. This is
the paper's formula for a² + s² = 1 and holds for any scales. η = 0 is deterministic; η = 1 is ancestral sampling
(DDPM, 2006.11239) with the posterior variance: the reverse SDE with the marginals of the path.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from focus_engine.generative.samplers.task import SamplerTask, Step


def ddim(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield the steps of DDIM from starting noise `x` (B, C, H, W)."""
    for index, t, u in task.pairs():
        a, s = task.process.scales(u)
        parts, fresh = task.denoise(x, t), fresh_scale(task, t, u)
        x = a * parts.data + math.sqrt(max(s**2 - fresh**2, 0.0)) * parts.noise
        if fresh > 0:
            x = x + fresh * task.fresh_noise()
        yield Step(index, task.steps, t, x, parts.data)


def ddpm(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield the steps of ancestral sampling; with fewer than T steps, those of the subsampled chain."""
    return ddim(replace(task, eta=1.0), x)


def euler(task: SamplerTask, x: Tensor) -> Iterator[Step]:
    """Yield Euler steps along the velocity: on a straight path these are DDIM steps without noise."""
    return ddim(replace(task, eta=0.0), x)


def fresh_scale(task: SamplerTask, t: float, u: float) -> float:
    """Return the standard deviation c of the noise that a step from `t` to `u` replaces."""
    (a_t, s_t), (a_u, s_u) = task.process.scales(t), task.process.scales(u)
    if task.eta == 0 or s_t == 0:
        return 0.0
    return task.eta * s_u / s_t * math.sqrt(max(s_t**2 - (a_t * s_u / a_u) ** 2, 0.0))
