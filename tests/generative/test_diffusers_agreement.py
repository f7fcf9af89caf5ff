"""Samplers, times and preconditioning agree with diffusers to rounding, on a network that is not linear."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from focus_engine.generative.diffusion import Diffusion, Prediction
from focus_engine.generative.edm import Edm
from focus_engine.generative.flow import Flow
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.process import Denoised
from focus_engine.generative.samplers.task import Step

STEPS = 100
SCHEDULE = build_schedule("linear", STEPS, 1e-3, 0.2)


def network(x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:  # noqa: ARG001
    return torch.tanh(x) * (0.5 + time[:, None, None, None])


def peer_of(scheduler: type, steps: int, prediction: Prediction, **options: Any) -> Any:
    """Return the scheduler of diffusers with our schedule in double precision; it begins with one in single."""
    peer = scheduler(
        num_train_timesteps=STEPS,
        beta_start=1e-3,
        beta_end=0.2,
        beta_schedule="linear",
        timestep_spacing="trailing",
        prediction_type={"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}[prediction],
        **options,
    )
    peer.set_timesteps(steps)
    peer.alphas_cumprod = SCHEDULE.alpha_bar
    return peer


@pytest.fixture
def drawn(
    solve: Callable[..., Iterator[Step]], unit_noise: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the maps that a scheduler of diffusers and a sampler of ours draw from the same noise."""

    def draw(name: str, peer: Any, prediction: Prediction, eta: float) -> tuple[Tensor, Tensor]:
        peer_options = {"ddim": {"eta": eta}, "ddpm": {"generator": None}}.get(name, {})
        process, steps = Diffusion(SCHEDULE, prediction), len(peer.timesteps)
        assert peer.timesteps.tolist() == list(process.times(steps)[:-1])
        noises = [unit_noise(2, 1, 4, 4, seed=seed) for seed in range(1, steps + 1)]
        x = start = unit_noise(2, 1, 4, 4)
        for t, noise in zip(peer.timesteps, noises, strict=True):
            output = network(x, torch.full((2,), float(t) / (STEPS - 1), dtype=torch.float64), torch.zeros(2, 0))
            if name == "ddpm":
                monkeypatch.setattr(
                    "diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, given=noise, **__: given
                )
            else:
                peer_options["variance_noise"] = noise
            x = peer.step(output, t, x, **peer_options).prev_sample

        def denoise(x: Tensor, t: float) -> Denoised:
            return process.denoise(network, x, t, torch.zeros(2, 0))

        *_, final = solve(name, process, denoise, start, steps, noise=iter(noises).__next__, eta=eta)
        return final.x, x.double()

    return draw


@pytest.mark.parametrize(
    ("name", "options"), [("linear", {}), ("quadratic", {}), ("cosine", {}), ("linear", {"zero_terminal_snr": True})]
)
def test_schedules(name: str, options: dict[str, bool]):
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    words = {"linear": "linear", "quadratic": "scaled_linear", "cosine": "squaredcos_cap_v2"}
    peer = DDIMScheduler(
        1000, 1e-4, 0.02, beta_schedule=words[name], rescale_betas_zero_snr=options.get("zero_terminal_snr", False)
    )
    ours = build_schedule(name, 1000, 1e-4, 0.02, **options).alpha_bar
    torch.testing.assert_close(ours.float(), peer.alphas_cumprod, rtol=1e-3, atol=1e-6)  # theirs is summed in float32
    if options:
        assert ours[-1] == peer.alphas_cumprod[-1] == 0


@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
@pytest.mark.parametrize("steps", [10, 100])
def test_ddpm(drawn: Callable[..., tuple[Tensor, Tensor]], prediction: Prediction, steps: int):
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    peer = peer_of(DDPMScheduler, steps, prediction, clip_sample=False)
    ours, theirs = drawn("ddpm", peer, prediction, 1.0)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
@pytest.mark.parametrize(("steps", "eta"), [(10, 0.0), (25, 0.7), (100, 1.0)])
def test_ddim(drawn: Callable[..., tuple[Tensor, Tensor]], prediction: Prediction, steps: int, eta: float):
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    peer = peer_of(DDIMScheduler, steps, prediction, clip_sample=False, set_alpha_to_one=True)
    ours, theirs = drawn("ddim", peer, prediction, eta)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("steps", [5, 20, 50])
@pytest.mark.parametrize(("algorithm", "eta"), [("dpmsolver++", 0.0), ("sde-dpmsolver++", 1.0)])
def test_dpmpp_2m(
    drawn: Callable[..., tuple[Tensor, Tensor]], prediction: Prediction, steps: int, algorithm: str, eta: float
):
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    peer = peer_of(DPMSolverMultistepScheduler, steps, prediction, algorithm_type=algorithm, final_sigmas_type="zero")
    alpha_bar = SCHEDULE.alpha_bar[peer.timesteps]
    peer.sigmas = torch.cat([((1 - alpha_bar) / alpha_bar).sqrt(), torch.zeros(1, dtype=torch.float64)])
    ours, theirs = drawn("dpmpp_2m", peer, prediction, eta)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def solved(
    solve: Callable[..., Iterator[Step]], name: str, process: Flow | Edm, start: Tensor, steps: int
) -> list[Tensor]:
    """Return the maps after each step of a sampler of ours."""

    def denoise(x: Tensor, t: float) -> Denoised:
        return process.denoise(network, x, t, torch.zeros(2, 0))

    return [step.x for step in solve(name, process, denoise, start, steps)]


def velocity_of_diffusers(x: Tensor, sigma: float) -> Tensor:
    """Return noise - map: diffusers counts the time of a flow from the map to the noise."""
    return -network(x, torch.full((2,), 1 - sigma, dtype=torch.float64), torch.zeros(2, 0))


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler_and_the_shifted_times_of_a_flow(
    solve: Callable[..., Iterator[Step]], unit_noise: Callable[..., Tensor], shift: float
):
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    process, x = Flow(shift=shift), unit_noise(2, 1, 4, 4)
    peer = FlowMatchEulerDiscreteScheduler(shift=shift)
    peer.set_timesteps(sigmas=[1 - i / 7 for i in range(7)])
    assert peer.sigmas.tolist() == pytest.approx([1 - t for t in process.times(7)], abs=1e-6)
    ours = solved(solve, "euler", process, x, 7)
    for t, sigma, expected in zip(peer.timesteps, peer.sigmas.tolist(), ours, strict=False):
        x = peer.step(velocity_of_diffusers(x, sigma), t, x).prev_sample.double()
        torch.testing.assert_close(expected, x, rtol=1e-5, atol=1e-5)


def test_heun_of_a_flow_but_for_its_last_step(solve: Callable[..., Iterator[Step]], unit_noise: Callable[..., Tensor]):
    """The last step of diffusers is Euler's."""
    from diffusers.schedulers.scheduling_flow_match_heun_discrete import FlowMatchHeunDiscreteScheduler

    x, steps = unit_noise(2, 1, 4, 4), 6
    peer = FlowMatchHeunDiscreteScheduler()
    peer.set_timesteps(steps)
    even = [1 - i / steps for i in range(steps + 1)]
    peer.sigmas = torch.tensor([even[0], *(one for one in even[1:-1] for _ in range(2)), 0.0], dtype=torch.float64)
    ours = solved(solve, "heun", Flow(), x, steps)
    for place, sigma in enumerate(peer.sigmas[:-2].tolist()):
        x = peer.step(velocity_of_diffusers(x, sigma), peer.timesteps[place], x).prev_sample.double()
        if place % 2:
            torch.testing.assert_close(ours[place // 2], x, rtol=1e-5, atol=1e-5)
    assert place == 2 * steps - 3


def test_the_preconditioning_the_times_and_euler_of_edm(
    solve: Callable[..., Iterator[Step]], unit_noise: Callable[..., Tensor]
):
    from diffusers.schedulers.scheduling_edm_euler import EDMEulerScheduler

    process = Edm(0.01, 50.0)
    peer = EDMEulerScheduler(sigma_min=0.01, sigma_max=50.0, sigma_data=1.0, rho=7.0)
    peer.set_timesteps(9)
    assert peer.sigmas.tolist() == pytest.approx(process.times(9), rel=1e-5, abs=1e-9)
    x = 50 * unit_noise(2, 1, 4, 4)
    ours = solved(solve, "euler", process, x, 9)
    for t, sigma, expected in zip(peer.timesteps, process.times(9), ours, strict=False):
        time = process._network_time(torch.full((2,), sigma, dtype=torch.float64))
        output = network(peer.scale_model_input(x, t).double(), time, torch.zeros(2, 0))
        x = peer.step(output, t, x).prev_sample.double()
        torch.testing.assert_close(expected, x, rtol=1e-5, atol=1e-5)
