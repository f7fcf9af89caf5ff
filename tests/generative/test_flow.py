"""Flow matching: the path, the loss at the optimal network, and the samplers on an exactly known velocity."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from focus_engine.config.samplers import choose_sampler
from focus_engine.config.schema import Config
from focus_engine.errors import InputError
from focus_engine.generative.build import build_process
from focus_engine.generative.flow import Flow

GaussianField = Any  # the class in conftest.py, which tests cannot import
NOBODY = torch.zeros(1, 0)
PATHS = [Flow(), Flow(sigma_min=0.1), Flow(sigma_min=0.05, sigma_max=2.0)]


@pytest.mark.parametrize("process", PATHS)
def test_the_path_runs_from_noise_to_data_and_its_slope_is_the_velocity(process, unit_noise: Callable[..., Tensor]):
    assert process.scales(0.0) == (0.0, process.sigma_max)
    assert process.scales(1.0) == (1.0, pytest.approx(process.sigma_min))
    maps, noise = unit_noise(2, 1, 4, 4), unit_noise(2, 1, 4, 4, seed=1)

    def at(t: float) -> Tensor:
        a, s = process.scales(t)
        return a * maps + s * noise

    velocity = maps - (process.sigma_max - process.sigma_min) * noise
    torch.testing.assert_close((at(0.75) - at(0.25)) / 0.5, velocity)


@pytest.mark.parametrize("process", PATHS)
def test_a_perfect_velocity_gives_back_map_and_noise_and_no_loss(process, unit_noise: Callable[..., Tensor]):
    maps, noise = unit_noise(3, 1, 4, 4), unit_noise(3, 1, 4, 4, seed=1)
    velocity = maps - (process.sigma_max - process.sigma_min) * noise
    for t in (0.0, 0.3, 1.0):
        a, s = process.scales(t)
        parts = process.denoise(lambda *_: velocity, a * maps + s * noise, t, NOBODY)
        torch.testing.assert_close(parts.data, maps)
        torch.testing.assert_close(parts.noise, noise)
    u = torch.tensor([0.0, 0.5, 0.99], dtype=torch.float64)
    loss = process.loss(lambda *_: velocity, maps, NOBODY, u=u, noise=noise)
    torch.testing.assert_close(loss, torch.zeros(3, dtype=torch.float64))


def test_the_network_sees_the_map_of_its_time(unit_noise: Callable[..., Tensor]):
    process, seen = Flow(sigma_min=0.2), []
    maps, noise = unit_noise(2, 1, 4, 4), unit_noise(2, 1, 4, 4, seed=1)

    def network(x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:  # noqa: ARG001
        seen.append((x, time))
        return torch.zeros_like(x)

    u = torch.tensor([0.25, 0.75], dtype=torch.float64)
    loss = process.loss(network, maps, NOBODY, u=u, noise=noise)
    (x, time) = seen[0]
    assert time.tolist() == [0.25, 0.75]
    for row, t in enumerate((0.25, 0.75)):
        a, s = process.scales(t)
        torch.testing.assert_close(x[row], a * maps[row] + s * noise[row])
    velocity = maps - 0.8 * noise
    torch.testing.assert_close(loss, velocity.square().flatten(1).mean(dim=1))


@pytest.mark.parametrize("process", PATHS)
@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("heun", 2)])
def test_samplers_converge_to_the_exact_flow_of_a_gaussian_field_at_their_order(
    process, sampler, order, field: GaussianField, unit_noise: Callable[..., Tensor], solve
):
    noise = unit_noise(2, 1, 16, 16)
    start = process.prior_scale * noise
    target = field.marginal(process, 1.0, noise)  # the flow only rescales each mode
    errors = []
    for steps in (64, 128, 256, 512):
        *_, final = solve(sampler, process, field.denoiser(process), start, steps)
        ratio = torch.fft.fft2(final.x) / torch.fft.fft2(target)
        errors.append(float((ratio - 1).abs().max()))
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert errors[-1] < 0.02
    assert orders[-2:] == pytest.approx([order, order], abs=0.3)


def test_samplers_draw_the_power_of_the_field(field: GaussianField, unit_noise: Callable[..., Tensor], solve):
    process = Flow()
    *_, final = solve("heun", process, field.denoiser(process), unit_noise(256, 1, 16, 16), 50)
    power = torch.fft.fft2(final.x, norm="ortho").abs().square().mean(dim=(0, 1))
    ratio = power / field.power
    assert float(ratio.mean()) == pytest.approx(1, abs=0.02)
    assert float(ratio.std()) < 0.12


def test_logit_normal_times_are_those_of_their_quantiles():
    process = Flow(time_sampling="logit_normal")
    u = torch.tensor([0.0, 0.158655, 0.5, 0.841345], dtype=torch.float64)
    expected = [0.0, 1 / (1 + math.e), 0.5, 1 / (1 + 1 / math.e)]
    assert process.training_times(u).tolist() == pytest.approx(expected, abs=1e-5)
    moved = Flow(time_sampling="logit_normal", time_mean=-1.0, time_std=2.0).training_times(u)
    assert torch.logit(moved[1:]).tolist() == pytest.approx([-3.0, -1.0, 1.0], abs=1e-4)
    uniform = Flow().training_times(u)
    assert uniform.tolist() == u.tolist()


@pytest.mark.parametrize("time_sampling", ["uniform", "logit_normal"])
def test_a_shift_multiplies_noise_over_map_in_training_and_sampling(time_sampling):
    plain, shifted = Flow(time_sampling=time_sampling), Flow(time_sampling=time_sampling, shift=3.0)
    assert shifted.times(8)[::8] == (0.0, 1.0)
    noise = [s / t for t, s in map(shifted.scales, shifted.times(8)[1:])]
    assert noise == pytest.approx([3 * s / t for t, s in map(plain.scales, plain.times(8)[1:])])
    u = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    ours, theirs = shifted.training_times(u), 1 - plain.training_times(u)
    # Esser et al. (2403.03206), eq. 23, where t = 1 is noise.
    torch.testing.assert_close(1 - ours, 3.0 * theirs / (1 + (3.0 - 1) * theirs))


def test_times_are_any_number_of_even_steps():
    assert Flow().times(4) == (0.0, 0.25, 0.5, 0.75, 1.0)
    with pytest.raises(InputError, match="0 sampling steps"):
        Flow().times(0)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (0.5, 0.2), (-0.1, 1.0)])
def test_scales_that_make_no_path_are_refused(low, high):
    with pytest.raises(InputError, match="sigma_min"):
        Flow(low, high)


@pytest.mark.parametrize("settings", [{"time_std": 0.0}, {"shift": 0.0}, {"shift": math.inf}])
def test_factors_that_are_not_positive_are_refused(settings):
    with pytest.raises(InputError, match=f"flow_matching.{next(iter(settings))}"):
        Flow(**settings)


def test_an_unknown_sampling_of_times_is_refused():
    with pytest.raises(InputError, match="allowed: uniform, logit_normal"):
        Flow(time_sampling="cosine")


def test_the_config_makes_it():
    config = Config.model_validate(
        {"method": "flow", "flow_matching": {"sigma_min": 0.1, "time_sampling": "logit_normal"}}
    )
    assert build_process(config) == Flow(0.1, 1.0, "logit_normal")
    assert build_process(config).terminal_snr is None
    assert config.sampling.method == "heun"
    times = {"time_sampling": "logit_normal", "time_mean": -0.5, "time_std": 1.5, "shift": 2.0}
    config = Config.model_validate({"method": "flow", "flow_matching": times, "training": {"loss_scales": 1.0}})
    assert build_process(config) == Flow(**times, scale_power=1.0)


def test_the_width_of_uniform_times_is_refused():
    with pytest.raises(ValueError, match=r"time_mean and time_std are for.*logit_normal"):
        Config.model_validate({"method": "flow", "flow_matching": {"time_std": 2.0}})


def test_samplers_of_diffusion_are_named_and_refused():
    with pytest.raises(InputError, match="sampler ddim does not fit method flow; use one of: euler, heun, midpoint"):
        choose_sampler("ddim", "flow")
    with pytest.raises(InputError, match="always has eta 0"):
        choose_sampler("heun", "flow").check_eta(0.5)
