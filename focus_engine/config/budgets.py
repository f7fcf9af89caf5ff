"""The sampler and the number of steps for a budget of NFE (network function evaluations per map), `focus sample --nfe`.

The table holds, for each method, the best sampler from a number of NFE on. Its order comes from exact denoisers of a
Gaussian field and of a distribution with a heavy tail (`scripts/sampler_ranking.py`), and from two trained networks
against their own converged maps (docs/samplers.md).
"""

from collections.abc import Mapping

from focus_engine.config.methods import METHODS
from focus_engine.config.samplers import SAMPLERS, SamplerSpec, choose_sampler
from focus_engine.errors import InputError

DEFAULT_BUDGETS = ((1, "ab2"), (8, "abm2"), (16, "midpoint"))
BUDGETS: Mapping[str, tuple[tuple[int, str], ...]] = {
    **dict.fromkeys(METHODS, DEFAULT_BUDGETS),
    "flow": (*DEFAULT_BUDGETS, (40, "heun")),  # nearer to the truth in P(k) of the log density (docs/samplers.md)
}
"""For each method pairs of the fewest NFE and the sampler from there on, increasing."""


def sampler_within(
    nfe: int, method: str, *, name: str | None = None, per_call: int = 1, most: int | None = None
) -> tuple[SamplerSpec, int]:
    """Return the sampler and the steps that make the most of `nfe` evaluations per map.

    Args:
        nfe: the budget.
        method: of the network.
        name: the sampler, if it is not to be chosen.
        per_call: evaluations per call of the network: 2 with guidance, else 1.
        most: the number of steps that the model does not exceed, if any.

    Raises:
        InputError: the sampler does not fit, chooses its own steps, or needs more than `nfe` for one step.
    """
    calls = nfe // per_call
    spec = choose_sampler(name, method) if name is not None else _best(calls, method)
    if spec.chooses_steps:
        raise InputError(
            f"sampler {spec.name} chooses its steps by its tolerances; use another, or no nfe", keys=("nfe",)
        )
    steps = spec.steps_within(calls, method)
    if steps < 1:
        least = spec.nfe(1, method) * per_call
        twice = " (guidance counts twice)" if per_call > 1 else ""
        raise InputError(f"use {least} or more with sampler {spec.name}{twice}", where=f"nfe {nfe}", keys=("nfe",))
    return spec, min(steps, most or steps)


def _best(calls: int, method: str) -> SamplerSpec:
    rows = BUDGETS[method]
    return SAMPLERS[next((name for least, name in reversed(rows) if calls >= least), rows[0][1])]
