"""Samplers on the exact denoiser of a Gaussian field: orders, spectra, posteriors, and the registry."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from focus_engine.config.samplers import choose_sampler
from focus_engine.errors import InputError
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.noise import NoiseSchedule, build_schedule
from focus_engine.generative.process import Denoised
from focus_engine.generative.samplers.task import Step

GaussianField = Any  # the class in conftest.py, which tests cannot import


def last(steps: Iterator[Step]) -> Step:
    *_, final = steps
    return final


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
def test_ddim_converges_to_the_probability_flow_at_first_order(
    field: GaussianField,
    fine_schedule: Callable[..., NoiseSchedule],
    unit_noise: Callable[..., Tensor],
    zero_terminal_snr: bool,
    solve: Callable[..., Iterator[Step]],
):
    process = Diffusion(fine_schedule(8192, zero_terminal_snr=zero_terminal_snr), "v")
    noise = unit_noise(2, 1, 16, 16)
    start, target = field.marginal(process, 8191, noise), field.draw(noise)
    errors = []
    for steps in (64, 128, 256, 512):
        result = last(solve("ddim", process, field.denoiser(process), start, steps)).x
        # The flow only rescales each mode, from the exact marginal to the target.
        ratio = torch.fft.fft2(result) / torch.fft.fft2(target)
        errors.append(float((ratio - 1).abs().max()))
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert errors[-1] < 0.02
    assert orders == pytest.approx([1, 1, 1], abs=0.2)


def test_unit_noise_is_not_the_marginal_of_a_red_field_unless_the_terminal_snr_is_zero(
    field: GaussianField,
    fine_schedule: Callable[..., NoiseSchedule],
    unit_noise: Callable[..., Tensor],
    solve: Callable[..., Iterator[Step]],
):
    noise = unit_noise(2, 1, 16, 16)
    mean_error = {}
    for zero in (False, True):
        process = Diffusion(fine_schedule(2048, zero_terminal_snr=zero), "v")
        result = last(solve("ddim", process, field.denoiser(process), noise, 2048)).x
        ratio = torch.fft.fft2(result) / torch.fft.fft2(field.draw(noise))
        mean_error[zero] = float((ratio[..., 0, 0] - 1).abs().max())
        # Starting from unit noise loses a factor 1/√(a²P + s²) of the marginal.
        a, s = process.scales(2047)
        expected = 1 - float((a**2 * field.power[0, 0] + s**2) ** -0.5)
        assert mean_error[zero] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("steps", [1, 7, 40])
def test_eta_one_is_the_ancestral_posterior(
    field: GaussianField, unit_noise: Callable[..., Tensor], steps: int, solve: Callable[..., Iterator[Step]]
):
    process = Diffusion(build_schedule("linear", 40, 1e-3, 0.3))
    denoise = field.denoiser(process)
    noises = [unit_noise(2, 1, 16, 16, seed=seed) for seed in range(1, steps + 1)]
    x = start = unit_noise(2, 1, 16, 16)
    times = process.times(steps)
    sampled = list(solve("ddpm", process, denoise, start, steps, noise=iter(noises).__next__))
    for i, t in enumerate(times[:-1]):
        # Ho et al. (2006.11239), eq. 7, for the chain restricted to these times.
        here = float(process.schedule.alpha_bar[t])
        before = float(process.schedule.alpha_bar[times[i + 1]]) if times[i + 1] >= 0 else 1.0
        alpha = here / before
        mean = (
            math.sqrt(before) * (1 - alpha) / (1 - here) * denoise(x, t).data
            + math.sqrt(alpha) * (1 - before) / (1 - here) * x
        )
        x = mean + math.sqrt((1 - before) / (1 - here) * (1 - alpha)) * noises[i]
        torch.testing.assert_close(sampled[i].x, x, rtol=1e-9, atol=1e-9)


def variance_of_a_linear_chain(field: GaussianField, process: Diffusion, steps: int, eta: float) -> Tensor:
    """Return the variance of each mode after ddim from the exact marginal: each step is x -> gain x + churn z."""
    times = process.times(steps)
    a, s = process.scales(times[0])
    variance = a**2 * field.power + s**2
    for t, u in pairwise(times):
        (a_t, s_t), (a_u, s_u) = process.scales(t), process.scales(u)
        churn = eta * s_u / s_t * math.sqrt(1 - a_t**2 / a_u**2)
        total = a_t**2 * field.power + s_t**2
        gain = (a_u * a_t * field.power + math.sqrt(s_u**2 - churn**2) * s_t) / total
        variance = gain**2 * variance + churn**2
    return variance


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_noisy_samplers_have_the_spectrum_of_their_chain(
    field: GaussianField,
    fine_schedule: Callable[..., NoiseSchedule],
    unit_noise: Callable[..., Tensor],
    eta: float,
    solve: Callable[..., Iterator[Step]],
):
    process = Diffusion(fine_schedule(100))
    shape = (600, 1, 16, 16)
    start = field.marginal(process, 99, unit_noise(*shape))
    generator = torch.Generator().manual_seed(3)
    noises = iter(lambda: torch.randn(shape, generator=generator, dtype=torch.float64), None)
    result = last(solve("ddim", process, field.denoiser(process), start, 100, noise=noises.__next__, eta=eta)).x
    power = torch.fft.fft2(result, norm="ortho").abs().square().mean(dim=(0, 1))
    relative = power / variance_of_a_linear_chain(field, process, 100, eta) - 1
    assert relative.abs().max() < 5 * math.sqrt(2 / 600)
    assert relative.mean().abs() < 5 / math.sqrt(600 * 128)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_that_spectrum_converges_to_the_target_at_first_order(
    field: GaussianField, fine_schedule: Callable[..., NoiseSchedule], eta: float
):
    errors = []
    for steps in (500, 1000, 2000, 4000):
        variance = variance_of_a_linear_chain(field, Diffusion(fine_schedule(steps)), steps, eta)
        errors.append(float((variance / field.power - 1).abs().max()))
    assert [math.log2(coarse / fine) for coarse, fine in pairwise(errors)] == pytest.approx([1, 1, 1], abs=0.15)


def test_steps_say_where_they_are(
    field: GaussianField, unit_noise: Callable[..., Tensor], solve: Callable[..., Iterator[Step]]
):
    process = Diffusion(build_schedule("linear", 1000))
    steps = list(solve("ddim", process, field.denoiser(process), unit_noise(1, 1, 16, 16), 50))
    assert [step.index for step in steps] == list(range(50))
    assert {step.total for step in steps} == {50}
    assert [step.t for step in steps[:3]] == [999, 979, 959]
    assert steps[-1].t == 19
    torch.testing.assert_close(steps[-1].x, steps[-1].x0)


def test_any_number_of_steps_stays_finite(unit_noise: Callable[..., Tensor], solve: Callable[..., Iterator[Step]]):
    process = Diffusion(build_schedule("linear", 13), "v")
    for steps in range(1, 14):
        for eta in (0.0, 0.3, 1.0):
            result = last(
                solve(
                    "ddim",
                    process,
                    lambda x, _: Denoised(x, x),
                    unit_noise(1, 1, 2, 2),
                    steps,
                    noise=lambda: torch.zeros(1),
                    eta=eta,
                )
            )
            assert result.x.isfinite().all()


def test_samplers_are_generators(unit_noise: Callable[..., Tensor], solve: Callable[..., Iterator[Step]]):
    calls = []

    def denoise(x: Tensor, t: float) -> Denoised:
        calls.append(t)
        return Denoised(x, x)

    steps = solve("ddim", Diffusion(build_schedule("linear", 10)), denoise, unit_noise(1, 1, 2, 2), 10)
    assert calls == []
    next(steps)
    assert calls == [9]


@pytest.mark.parametrize(
    ("name", "given", "used"),
    [("ddim", None, 0.0), ("ddim", 0.3, 0.3), ("ddim", 1, 1.0), ("ddpm", None, 1.0), ("ddpm", 1.0, 1.0)],
)
def test_eta_that_fits(name: str, given: float | None, used: float):
    assert choose_sampler(name, "diffusion").check_eta(given) == used


@pytest.mark.parametrize(
    ("name", "eta", "message"),
    [
        ("ddim", 3, "eta 3: use a number from 0"),
        ("ddim", -0.1, "eta -0.1"),
        ("ddim", float("nan"), "eta nan"),
        ("ddpm", 2, "eta 2: use a number"),
        ("ddpm", 0.0, "sampler ddpm always has eta 1; samplers with a free eta: ddim"),
    ],
)
def test_eta_that_does_not(name: str, eta: float, message: str):
    with pytest.raises(InputError, match=message):
        choose_sampler(name, "diffusion").check_eta(eta)


@pytest.mark.parametrize(
    ("name", "method", "message"),
    [("dim", "diffusion", "'dim' is unknown.*ddim, ddpm"), ("ddim", "flow", "ddim does not fit method flow")],
)
def test_samplers_that_do_not_fit(name: str, method: str, message: str):
    with pytest.raises(InputError, match=message):
        choose_sampler(name, method)
