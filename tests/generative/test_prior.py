"""The start of sampling: exact for a Gaussian field at its parameters, and nothing changed where there is no signal."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from focus_engine.errors import InputError
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.edm import Edm
from focus_engine.generative.flow import Flow
from focus_engine.generative.map_noise import MapNoise
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.prior import SpectralPrior, fit_prior
from focus_engine.generative.process import Network
from focus_engine.generative.sampling import SamplingPlan

SHAPE = (1, 16, 16)
N = 16
PARAMS = torch.tensor([[-1.5, 0.5], [0.0, 0.0], [1.0, -1.0], [1.5, 1.5]])


def wavenumbers() -> Tensor:
    k = torch.fft.fftfreq(N, 1 / N, dtype=torch.float64)
    return (k[:, None] ** 2 + k[None, :] ** 2).sqrt()


def mean_at(cond: Tensor) -> Tensor:
    """Return the true mean of maps at `cond` (n, 2), (n, 1, 1, 1)."""
    return (0.3 + 0.8 * cond[:, 0] - 0.2 * cond[:, 0] * cond[:, 1]).double()[:, None, None, None]


def power_at(cond: Tensor) -> Tensor:
    """Return the true power of each mode (unit white noise has 1), (n, 1, N, N)."""
    k = wavenumbers()
    red = 60 / (1 + k**2) ** 1.5
    red[0, 0] = 5.0  # the mean of a slab scatters less than its largest waves
    return red * torch.exp(0.5 * cond[:, 1] + 0.1 * cond[:, 0] ** 2).double()[:, None, None, None]


def filtered(x: Tensor, response: Tensor) -> Tensor:
    return torch.fft.ifft2(response * torch.fft.fft2(x.double())).real


def maps_at(cond: Tensor, noise: Tensor) -> Tensor:
    return mean_at(cond) + filtered(noise, power_at(cond).sqrt())


def exact_network(process: Diffusion) -> Network:
    """Return the optimal v-prediction for the Gaussian field."""

    def network(x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:  # noqa: ARG001
        a, s = process.scales(round(float(time[0]) * (process.schedule.timesteps - 1)))
        mean, power = mean_at(cond), power_at(cond)
        rest = filtered(x - a * mean, 1 / (a**2 * power + s**2))
        return (a * s * rest - s * (mean + a * filtered(rest, power))).float()

    return network


def unit_noise(count: int, seed: int = 0) -> Tensor:
    return MapNoise(seed, 0, count, SHAPE, torch.device("cpu"))()


@pytest.fixture(scope="module")
def prior() -> SpectralPrior:
    """Return the prior fitted to 600 maps of 300 simulations with parameters spread evenly."""
    rng = torch.Generator().manual_seed(0)
    cond = (torch.rand(300, 2, generator=rng) * 2 - 1).repeat_interleave(2, dim=0) * 3**0.5
    maps = maps_at(cond, unit_noise(600, seed=9)).float()
    return fit_prior(zip(maps.split(32), cond.split(32), strict=True), 300)


@pytest.fixture
def linear() -> Diffusion:
    """Return diffusion whose last step holds signal: α² = 0.006, as much as the seed's schedule has for 180² maps."""
    return Diffusion(build_schedule("linear", 500, 2e-4, 0.02), "v")


def test_mean_and_power_are_recovered_at_any_parameters(prior: SpectralPrior):
    mean, _ = prior.moments(PARAMS)
    assert prior.degree == 2
    # Mode k = 0 has a scatter of √5/16 = 0.14 per map, over 600 maps and a few coefficients: over twenty seeds the
    # mean has these errors.
    error = (mean[:, 0] - mean_at(PARAMS).flatten().numpy()) / (0.018, 0.010, 0.010, 0.033)
    assert np.abs(error).max() < 3
    power = prior._of_modes(prior.moments(PARAMS)[1])[:, 0]
    ratio = power / power_at(PARAMS)[:, 0, :, : N // 2 + 1].numpy()
    assert np.abs(ratio[:, 0, 0] - 1).max() < 0.5  # of a single mode, and its true logarithm is not linear
    ratio[:, 0, 0] = 1
    assert np.abs(ratio - 1).max() < 0.2
    assert abs(ratio.mean() - 1) < 0.02


@pytest.mark.parametrize("method", ["diffusion", "edm"])
def test_the_start_is_the_exact_marginal(prior: SpectralPrior, linear: Diffusion, method: str):
    edm = Edm(sigma_max=12.0)
    a, s = linear.scales(499) if method == "diffusion" else edm.scales(edm.times(3)[0])
    noise = unit_noise(len(PARAMS))
    exact = a * mean_at(PARAMS) + filtered(noise, (a**2 * power_at(PARAMS) + s**2).sqrt())
    start = prior.start(noise, PARAMS, a, s)
    assert start.dtype == torch.float32
    assert float((start - exact).abs().max()) < 0.02 * s
    assert float((s * noise - exact).abs().max()) > 0.1 * s


def test_samples_have_the_mean_and_the_largest_waves_of_the_field(
    prior: SpectralPrior, linear: Diffusion, draw_maps: Callable[..., Any]
):
    noise = unit_noise(len(PARAMS))
    truth = torch.fft.fft2(maps_at(PARAMS, noise) - mean_at(PARAMS))
    largest, k = (wavenumbers() > 0) & (wavenumbers() < 2), (0, 0)
    error = {}
    for start in ("white", "spectrum"):
        plan = SamplingPlan(steps=250, prior=start)
        maps = draw_maps(exact_network(linear), linear, PARAMS, SHAPE, plan, prior=prior).maps.double()
        modes = torch.fft.fft2(maps - mean_at(PARAMS))
        waves = (modes / truth)[..., largest].abs().square().mean(dim=(1, 2)) - 1
        error[start] = waves.numpy(), ((modes - truth)[:, 0, *k].real / N**2).numpy()
    a, s = linear.scales(499)
    mean, power = mean_at(PARAMS).flatten(), power_at(PARAMS)[:, 0]
    # The flow divides what the start lacks by the width of the marginal (module docstring).
    lost = (1 / (a**2 * power[:, largest] + s**2)).mean(dim=1) - 1
    shift = -a * mean * (power[:, *k] / (a**2 * power[:, *k] + s**2)).sqrt()
    assert error["white"][0] == pytest.approx(lost.numpy(), abs=0.03)
    assert error["white"][1] == pytest.approx(shift.numpy(), abs=0.02)
    assert min(float(lost.abs().max()), float(shift.abs().max())) > 0.07
    assert np.abs(error["spectrum"][0]).max() < 0.03
    assert np.abs(error["spectrum"][1]).max() < 0.02


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_fresh_noise_forgets_part_of_a_white_start(
    linear: Diffusion, draw_maps: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, sampler: str
):
    # The network is linear, so that without any noise its samples are the mean over noise.
    monkeypatch.setattr(MapNoise, "__call__", lambda _: torch.zeros(len(PARAMS), *SHAPE))
    drawn = draw_maps(exact_network(linear), linear, PARAMS, SHAPE, SamplingPlan(sampler, steps=500)).maps
    (a, s), mean, power = linear.scales(499), mean_at(PARAMS).flatten(), power_at(PARAMS)[:, 0, 0, 0]
    share = a**2 * power / (a**2 * power + s**2)
    shift = {"ddim": share.sqrt(), "ddpm": share}[sampler] * -mean
    assert drawn.mean(dim=(1, 2, 3)).numpy() == pytest.approx((mean + shift).numpy(), abs=0.01)
    assert float(shift.abs().max()) > 0.04


def test_maps_without_condition_start_from_all_parameters(prior: SpectralPrior, linear: Diffusion):
    a, s = linear.scales(499)
    start = prior.start(unit_noise(4000), None, a, s).double()
    cond = (torch.rand(4000, 2, generator=torch.Generator().manual_seed(5)) * 2 - 1) * 3**0.5
    mean, power = mean_at(cond).flatten(), power_at(cond)
    expected = a**2 * (float(power[:, 0, 0, 0].mean()) / N**2 + float(mean.var())) + s**2 / N**2
    assert float(start.mean()) == pytest.approx(a * float(mean.mean()), abs=0.01)
    assert float(start.mean(dim=(1, 2, 3)).var()) == pytest.approx(expected, rel=0.15)
    one = torch.fft.fft2(start, norm="ortho")[:, 0, 0, 1].abs().square().mean()
    assert float(one) == pytest.approx(a**2 * float(power[:, 0, 0, 1].mean()) + s**2, rel=0.1)


@pytest.mark.parametrize(
    ("process", "sampler"),
    [
        (Flow(), "heun"),
        (Flow(0.01, 1.5), "euler"),
        (Diffusion(build_schedule("linear", 50, 1e-3, 0.1, zero_terminal_snr=True), "v"), "ddpm"),
    ],
)
def test_without_signal_at_the_start_nothing_changes(
    prior: SpectralPrior, draw_maps: Callable[..., Any], process: Diffusion | Flow, sampler: str
):
    def network(x: Tensor, *_: object) -> Tensor:
        return x.tanh()

    plan = SamplingPlan(sampler, steps=5)
    white = draw_maps(network, process, PARAMS, SHAPE, plan).maps
    assert torch.equal(
        draw_maps(network, process, PARAMS, SHAPE, replace(plan, prior="spectrum"), prior=prior).maps, white
    )


def test_a_map_depends_on_seed_and_index_alone(prior: SpectralPrior, linear: Diffusion, draw_maps: Callable[..., Any]):
    plan = SamplingPlan("ddpm", steps=4, prior="spectrum")
    arguments = (exact_network(linear), linear, PARAMS, SHAPE)
    whole = draw_maps(*arguments, plan, prior=prior).maps
    single = draw_maps(*arguments, replace(plan, batch_size=1), prior=prior).maps
    torch.testing.assert_close(single, whole, rtol=1e-4, atol=1e-5)
    late = draw_maps(*arguments[:2], PARAMS[2:], SHAPE, replace(plan, first=2), prior=prior).maps
    torch.testing.assert_close(late, whole[2:], rtol=1e-4, atol=1e-5)


def test_outside_the_trained_range_the_nearest_parameters_inside_are_used(prior: SpectralPrior):
    far, edge = torch.tensor([[9.0, 0.0]]), torch.tensor([[prior.high[0], 0.0]])
    for one, other in zip(prior.moments(far), prior.moments(edge), strict=True):
        assert one == pytest.approx(other)


@pytest.mark.parametrize(("simulations", "degree"), [(3, 0), (15, 1), (29, 1), (30, 2)])
def test_few_simulations_get_polynomials_of_low_degree(simulations: int, degree: int):
    cond = torch.rand(simulations, 2, generator=torch.Generator().manual_seed(1))
    fitted = fit_prior([(maps_at(cond, unit_noise(simulations)).float(), cond)], simulations)
    assert fitted.degree == degree
    mean, power = fitted.moments(cond)
    assert np.isfinite(mean).all()
    assert (power > 0).all()
    assert np.isfinite(power).all()


def test_fields_have_their_own_and_maps_need_not_be_square_or_conditional():
    noise = torch.from_numpy(np.random.default_rng(3).normal(size=(400, 2, 8, 12)).astype(np.float32))
    maps = noise * torch.tensor([1.0, 3.0])[:, None, None] + torch.tensor([0.5, -2.0])[:, None, None]
    fitted = fit_prior([(maps, torch.empty(400, 0))], 400)
    mean, power = fitted.moments(torch.empty(1, 0))
    assert mean[0] == pytest.approx([0.5, -2.0], abs=0.05)
    assert power[0, 0, 1:] == pytest.approx(1, rel=0.15)
    assert power[0, 1, 1:] == pytest.approx(9, rel=0.15)
    start = fitted.start(noise, torch.empty(400, 0), 1.0, 0.0)
    assert torch.allclose(start.std(dim=(0, 2, 3)), torch.tensor([1.0, 3.0]), rtol=0.05)


def test_a_checkpoint_keeps_few_plain_numbers(prior: SpectralPrior):
    file = io.BytesIO()
    torch.save(prior.to_dict(), file)
    file.seek(0)
    assert SpectralPrior.from_dict(torch.load(file, weights_only=True)) == prior
    SpectralPrior.from_dict(prior.to_dict() | {"mean": "text"})  # of a damaged file, which is refused where it is used
    assert len(file.getvalue()) < 10_000


def test_a_spectrum_of_other_maps_or_none_is_refused(
    prior: SpectralPrior, linear: Diffusion, draw_maps: Callable[..., Any]
):
    plan, network = SamplingPlan(steps=2, prior="spectrum"), exact_network(linear)
    with pytest.raises(InputError, match=r"is of maps of 1 x 16 x 16 .* are of 1 x 32 x 32; use white"):
        draw_maps(network, linear, PARAMS, (1, 32, 32), plan, prior=prior)
    with pytest.raises(InputError, match="no spectrum of the training maps"):
        draw_maps(network, linear, PARAMS, SHAPE, plan)
    with pytest.raises(InputError, match=r"'auto' is unknown; allowed: white, spectrum"):
        draw_maps(network, linear, PARAMS, SHAPE, replace(plan, prior="auto"), prior=prior)
