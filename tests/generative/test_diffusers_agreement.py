"""DDIM and DPM-Solver++ agree with diffusers to rounding, on a network that is not linear."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from focus_engine.generative.diffusion import Diffusion, Prediction
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
        prediction_type="epsilon" if prediction == "epsilon" else "v_prediction",
        **options,
    )
    peer.set_timesteps(steps)
    peer.alphas_cumprod = SCHEDULE.alpha_bar
    return peer


@pytest.fixture
def drawn(
    solve: Callable[..., Iterator[Step]], unit_noise: Callable[..., Tensor]
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the maps that a scheduler of diffusers and a sampler of ours draw from the same noise."""

    def draw(name: str, peer: Any, prediction: Prediction, eta: float) -> tuple[Tensor, Tensor]:
        peer_options = {"eta": eta} if name == "ddim" else {}
        process, steps = Diffusion(SCHEDULE, prediction), len(peer.timesteps)
        assert peer.timesteps.tolist() == list(process.times(steps)[:-1])
        noises = [unit_noise(2, 1, 4, 4, seed=seed) for seed in range(1, steps + 1)]
        x = start = unit_noise(2, 1, 4, 4)
        for t, noise in zip(peer.timesteps, noises, strict=True):
            output = network(x, torch.full((2,), float(t) / (STEPS - 1), dtype=torch.float64), torch.zeros(2, 0))
            x = peer.step(output, t, x, variance_noise=noise, **peer_options).prev_sample

        def denoise(x: Tensor, t: float) -> Denoised:
            return process.denoise(network, x, t, torch.zeros(2, 0))

        *_, final = solve(name, process, denoise, start, steps, noise=iter(noises).__next__, eta=eta)
        return final.x, x.double()

    return draw


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
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
