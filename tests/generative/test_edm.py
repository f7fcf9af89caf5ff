"""EDM: the preconditioning against its published table, the exact denoiser, noise levels and Heun's sampler."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from focus_engine.config.schema import Config
from focus_engine.errors import InputError
from focus_engine.generative.build import build_process
from focus_engine.generative.edm import Edm
from focus_engine.generative.process import Network

GaussianField = Any  # the class in conftest.py, which tests cannot import
NOBODY = torch.zeros(1, 0)


def table_1(sigma: float, sigma_data: float = 1.0) -> tuple[float, float, float, float]:
    """Return c_skip, c_out, c_in and λ, transcribed from table 1 of 2206.00364."""
    total = sigma**2 + sigma_data**2
    c_skip = sigma_data**2 / total
    c_out = sigma * sigma_data / math.sqrt(total)
    return c_skip, c_out, 1 / math.sqrt(total), total / (sigma * sigma_data) ** 2


def exact_network(field: GaussianField, process: Edm) -> Network:
    """Return F of the exact denoiser of `field`, by table 1."""
    low, high = math.log(process.sigma_min), math.log(process.sigma_max)

    def network(x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:  # noqa: ARG001
        out = []
        for row, value in zip(x, time.tolist(), strict=True):
            sigma = math.exp(low + value * (high - low))
            c_skip, c_out, c_in, _ = table_1(sigma)
            noisy = row[None] / c_in
            denoised = field.filtered(noisy, field.power / (field.power + sigma**2))
            out.append((denoised - c_skip * noisy) / c_out)
        return torch.cat(out)

    return network


def test_the_network_sees_and_learns_what_the_table_says(unit_noise: Callable[..., Tensor]):
    process, seen = Edm(0.01, 50.0, -0.3, 1.1), []
    maps, noise = unit_noise(3, 1, 4, 4), unit_noise(3, 1, 4, 4, seed=1)
    answer = unit_noise(3, 1, 4, 4, seed=2)

    def network(x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:  # noqa: ARG001
        seen.append((x, time))
        return answer

    u = torch.tensor([0.158655253931, 0.5, 0.977249868052], dtype=torch.float64)  # -1, 0 and 2 standard deviations
    loss = process.loss(network, maps, NOBODY, u=u, noise=noise)
    ((x, time),) = seen
    for row, z in enumerate((-1, 0, 2)):
        sigma = math.exp(-0.3 + 1.1 * z)
        c_skip, c_out, c_in, weight = table_1(sigma)
        noisy = maps[row] + sigma * noise[row]
        torch.testing.assert_close(x[row], c_in * noisy)
        c_noise, least, most = (math.log(level) / 4 for level in (sigma, 0.01, 50.0))
        assert float(time[row]) == pytest.approx((c_noise - least) / (most - least))
        error = c_skip * noisy + c_out * answer[row] - maps[row]
        torch.testing.assert_close(loss[row], weight * error.square().mean())


def test_input_and_target_of_the_network_have_unit_variance_at_every_noise(unit_noise: Callable[..., Tensor]):
    process = Edm()
    maps, noise = unit_noise(400, 1, 16, 16), unit_noise(400, 1, 16, 16, seed=1)

    def network(x: Tensor, *_: object) -> Tensor:
        assert float(x.var()) == pytest.approx(1, rel=0.02)
        return torch.zeros_like(x)

    for u in (0.001, 0.2, 0.5, 0.8, 0.999):
        loss = process.loss(network, maps, NOBODY, u=torch.full((400,), u, dtype=torch.float64), noise=noise)
        assert float(loss.mean()) == pytest.approx(1, rel=0.02)


def test_the_target_is_minus_v_of_the_diffusion_with_as_much_noise(unit_noise: Callable[..., Tensor]):
    maps, noise = unit_noise(1, 1, 4, 4), unit_noise(1, 1, 4, 4, seed=1)
    sigma = math.exp(0.4)
    alpha = 1 / math.sqrt(1 + sigma**2)
    v = alpha * noise - alpha * sigma * maps
    u = torch.tensor([0.5], dtype=torch.float64)
    loss = Edm(p_mean=0.4).loss(lambda *_: -v, maps, NOBODY, u=u, noise=noise)
    torch.testing.assert_close(loss, torch.zeros(1, dtype=torch.float64))


def test_the_exact_network_gives_the_exact_denoiser(field: GaussianField, unit_noise: Callable[..., Tensor]):
    process = Edm()
    network, denoise = exact_network(field, process), field.denoiser(process)
    for t in process.times(7)[:-1]:
        x = t * unit_noise(2, 1, 16, 16)
        parts, exact = process.denoise(network, x, t, NOBODY), denoise(x, t)
        torch.testing.assert_close(parts.data, exact.data, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(parts.noise, exact.noise, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(parts.data + t * parts.noise, x)


def test_without_noise_x_is_the_map_and_the_noise_has_a_limit(unit_noise: Callable[..., Tensor]):
    x, output = unit_noise(2, 1, 4, 4), unit_noise(2, 1, 4, 4, seed=1)
    times = []

    def network(x: Tensor, time: Tensor, *_: object) -> Tensor:  # noqa: ARG001
        times.append(float(time[0]))
        return output

    at_zero = Edm().denoise(network, x, 0.0, NOBODY)
    torch.testing.assert_close(at_zero.data, x)
    near = Edm().denoise(network, x, 1e-9, NOBODY)
    torch.testing.assert_close(at_zero.noise, near.noise)
    assert times == [0.0, 0.0]


def test_heun_is_that_of_karras_but_for_its_last_step(field: GaussianField, unit_noise: Callable[..., Tensor], solve):
    """Against algorithm 1 of 2206.00364 with σ(t) = t and no scaling, before the step to σ = 0."""
    process = Edm(0.02, 40.0)
    denoise = field.denoiser(process)
    start = process.prior_scale * unit_noise(2, 1, 16, 16)
    x = start
    for (t, u), step in zip(pairwise(process.times(9)), solve("heun", process, denoise, start, 9), strict=True):
        slope = (x - denoise(x, t).data) / t
        ahead = x + (u - t) * slope
        if u == 0:
            assert float((step.x - ahead).abs().max()) < t  # the published step is Euler's: less than the last noise
            break
        x = x + (u - t) * (slope + (ahead - denoise(ahead, u).data) / u) / 2
        torch.testing.assert_close(step.x, x)


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("heun", 2)])
def test_samplers_converge_at_their_order(
    sampler, order, field: GaussianField, unit_noise: Callable[..., Tensor], solve
):
    process = Edm(1e-4, 100.0)
    noise = unit_noise(1, 1, 16, 16)
    start = field.marginal(process, process.sigma_max, noise)
    errors = []
    for steps in (64, 128, 256):
        *_, final = solve(sampler, process, field.denoiser(process), start, steps)
        errors.append(float((torch.fft.fft2(final.x) / torch.fft.fft2(field.draw(noise)) - 1).abs().max()))
    assert [math.log2(coarse / fine) for coarse, fine in pairwise(errors)] == pytest.approx([order] * 2, abs=0.3)
    assert errors[-1] < 0.05


def test_times_are_those_of_karras():
    process, rho = Edm(0.002, 80.0), 7
    for steps in (2, 3, 18):
        expected = [
            (80 ** (1 / rho) + i / (steps - 1) * (0.002 ** (1 / rho) - 80 ** (1 / rho))) ** rho for i in range(steps)
        ]
        assert process.times(steps) == pytest.approx((*expected, 0.0))
        assert process.times(steps)[0] == process.prior_scale == 80.0
    assert process.times(1) == (80.0, 0.0)
    with pytest.raises(InputError, match="0 sampling steps"):
        process.times(0)


def test_training_noise_is_log_normal_and_ends_at_the_ends_of_the_range():
    process = Edm(0.1, 10.0, 0.2, 1.5)
    u = torch.tensor([0.0, 0.158655253931, 0.5, 0.841344746069, 1.0], dtype=torch.float64)
    expected = [0.1, math.exp(-1.3), math.exp(0.2), math.exp(1.7), 10.0]
    assert process.training_sigmas(u).tolist() == pytest.approx(expected)


def test_the_default_range_leaves_nothing_of_the_largest_waves_of_256_squared():
    """Measured on standardised log maps of 32² and 64²: the mean mode holds 0.15 to 0.17 of N² times unit noise.

    0.05 is where a run warns. At the least noise, the weakest mode (power 0.013) stands out.
    """
    process = Config(method="edm").edm
    assert build_process(Config(method="edm")) == Edm()
    assert 0.17 * 256**2 * Edm().terminal_snr < 0.05
    assert 0.013 / process.sigma_min**2 > 1000


def test_the_config_makes_it():
    block = {"sigma_min": 0.01, "sigma_max": 80.0, "p_mean": -1.2, "p_std": 1.2}
    config = Config.model_validate({"method": "edm", "edm": block, "training": {"loss_scales": -0.5}})
    assert build_process(config) == Edm(**block, scale_power=-0.5)
    assert config.sampling.method == "midpoint"


BAD = [
    ({"sigma_min": 2.0, "sigma_max": 1.0}, "sigma_min"),
    ({"p_mean": 9.0}, "p_mean 9: the median noise"),
    ({"p_mean": -7.0}, "p_mean -7: the median noise"),
]


@pytest.mark.parametrize(("settings", "message"), [*BAD, ({"sigma_min": 0.0}, "sigma_min"), ({"p_std": 0.0}, "p_std")])
def test_refuses_noise_that_cannot_train(settings: dict[str, float], message: str):
    with pytest.raises(InputError, match=message):
        Edm(**settings)


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_the_config_refuses_it_first(settings: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        Config.model_validate({"method": "edm", "edm": settings})
