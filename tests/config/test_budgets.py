"""The sampler and its steps within a number of network function evaluations."""

import pytest

from focus_engine.config.budgets import BUDGETS, sampler_within
from focus_engine.config.methods import METHODS
from focus_engine.config.samplers import SAMPLERS, fitting_samplers
from focus_engine.errors import InputError


@pytest.mark.parametrize("method", METHODS)
def test_every_budget_is_used_and_none_exceeded(method):
    for nfe in range(1, 120):
        spec, steps = sampler_within(nfe, method)
        assert spec.name in fitting_samplers(method)
        assert spec.nfe(steps, method) <= nfe < spec.nfe(steps + 1, method)


def test_the_table_begins_at_one_and_names_samplers_that_fit():
    assert set(BUDGETS) == set(METHODS)
    for method, rows in BUDGETS.items():
        least = [number for number, _ in rows]
        assert least == sorted(set(least))
        assert least[0] == 1 == SAMPLERS[rows[0][1]].nfe_per_step
        assert {name for _, name in rows} <= set(fitting_samplers(method))


def test_guidance_counts_twice():
    assert sampler_within(20, "flow", per_call=2) == sampler_within(10, "flow")
    with pytest.raises(InputError, match=r"nfe 1: use 2 or more with sampler ab2 \(guidance counts twice\)"):
        sampler_within(1, "flow", per_call=2)


def test_a_sampler_that_is_named_keeps_its_own_cost():
    assert sampler_within(10, "flow", name="heun")[1] == 5
    assert sampler_within(11, "diffusion", name="heun")[1] == 6  # the last step is Euler's
    assert sampler_within(11, "flow", name="rk4")[1] == 2
    assert sampler_within(1000, "diffusion", name="ddim", most=100)[1] == 100


@pytest.mark.parametrize(
    ("nfe", "method", "name", "words"),
    [
        (3, "flow", "rk4", "nfe 3: use 4 or more with sampler rk4"),
        (50, "flow", "adaptive", "chooses its steps by its tolerances"),
        (50, "diffusion", "rk4", "rk4 does not fit method diffusion; use one of: ddim"),
        (50, "flow", "plms", "'plms' is unknown"),
    ],
)
def test_budgets_that_do_not_fit(nfe, method, name, words):
    with pytest.raises(InputError, match=words):
        sampler_within(nfe, method, name=name)
