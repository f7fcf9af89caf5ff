"""Orders of the samplers, by the exact denoiser of an anisotropic Gaussian field with a mean.

The field has modes of variance 0.09 to 30 in units of the noise. A deterministic sampler rescales each mode, and one
with fresh noise adds a known multiple of each draw, so that errors of mean and spectrum have no scatter.
"""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from focus_engine.errors import InputError
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.edm import Edm
from focus_engine.generative.flow import Flow
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.process import Denoised, Denoiser, Process
from focus_engine.generative.samplers.task import Step

Solve = Callable[..., Iterator[Step]]
MEAN = 0.7
SIZE = 8
FINE = 2**15
"""Timesteps of the diffusions, so many that the step from the first of them to the data has no error to speak of."""
PROCESSES = {
    "v": Diffusion(build_schedule("linear", FINE, 0.1 / FINE, 20 / FINE, zero_terminal_snr=True), "v"),
    "epsilon": Diffusion(build_schedule("linear", FINE, 0.1 / FINE, 20 / FINE)),
    "flow": Flow(),
    "flow to noise": Flow(sigma_min=0.05, sigma_max=2.0),
    "edm": Edm(sigma_max=100.0),
}
K = torch.fft.fftfreq(SIZE, 1 / SIZE, dtype=torch.float64)
POWER = 30 / (1 + 2 * K[:, None] ** 2 + K[None, :] ** 2) ** 1.5
"""Variance of each mode, (8, 8), for the unitary FFT; it differs along x and y."""


def filtered(x: Tensor, response: Tensor) -> Tensor:
    return torch.fft.ifft2(response * torch.fft.fft2(x)).real


def denoiser(process: Process) -> Denoiser:
    def denoise(x: Tensor, t: float) -> Denoised:
        a, s = process.scales(t)
        total = a**2 * POWER + s**2
        rest = x - a * MEAN
        return Denoised(MEAN + filtered(rest, a * POWER / total), filtered(rest, s / total))

    return denoise


def marginal(process: Process, t: float, noise: Tensor) -> Tensor:
    a, s = process.scales(t)
    return a * MEAN + filtered(noise, (a**2 * POWER + s**2).sqrt())


def error(solve: Solve, name: str, process: Process, steps: int, spacing: str, **settings: float) -> float:
    """Return the largest relative error of a mode's amplitude, the mean included."""
    times = process.times(1)
    noise = torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    start, target = marginal(process, times[0], noise), marginal(process, times[-1], noise)
    *_, final = solve(name, process, denoiser(process), start, steps, spacing=spacing, **settings)
    return float((torch.fft.fft2(final.x) / torch.fft.fft2(target) - 1).abs().max())


@pytest.mark.parametrize("process", PROCESSES.values(), ids=list(PROCESSES))
@pytest.mark.parametrize(
    ("name", "order", "spacing"),
    [
        ("euler", 1, "time"),
        ("heun", 2, "logsnr"),
        ("midpoint", 2, "time"),
        ("dpmpp_2m", 2, "logsnr"),
        ("ab2", 2, "logsnr"),
        ("abm2", 2, "logsnr"),
    ],
)
def test_samplers_converge_at_their_order(solve: Solve, process: Process, name: str, order: int, spacing: str):
    coarse, fine = (error(solve, name, process, steps, spacing) for steps in (32, 256))
    assert math.log2(coarse / fine) / 3 > order - 0.3
    assert fine < (0.02 if order == 1 else 2e-4)


@pytest.mark.parametrize("process", [PROCESSES["flow"], PROCESSES["flow to noise"], PROCESSES["edm"]])
def test_rk4_is_of_fourth_order(solve: Solve, process: Process):
    coarse, fine = (error(solve, "rk4", process, steps, "time") for steps in (64, 128))
    assert math.log2(coarse / fine) > 3.7


@pytest.mark.parametrize("name", ["ab2", "abm2"])
def test_twenty_steps_placed_by_log_snr_beat_two_hundred_of_ddim(solve: Solve, name: str):
    process = PROCESSES["v"]
    assert error(solve, name, process, 20, "logsnr") < error(solve, "ddim", process, 200, "time")


def test_adaptive_meets_its_tolerance_or_says_how_far_it_came(solve: Solve):
    process = PROCESSES["flow"]
    loose, tight = (error(solve, "adaptive", process, 500, "time", rtol=r, atol=r) for r in (1e-3, 1e-6))
    assert loose < 0.1
    assert tight < 3e-3 * loose  # of third order: 1e-3, as the tolerance; of second: 1e-2
    with pytest.raises(InputError, match=r"came \d+ % of the way in 4 steps; the error of the last is [\d.e+-]+ times"):
        error(solve, "adaptive", process, 4, "time", rtol=1e-9, atol=1e-9)
    numbers = [step.index for step in solve("adaptive", process, denoiser(process), torch.ones(1, 1, SIZE, SIZE), 100)]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 99


def spectrum_error(solve: Solve, name: str, process: Process, steps: int, **settings: float) -> float:
    """Return the largest relative error of a mode's variance, summed over the start and every fresh draw."""
    times = process.times(1)
    impulse = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    impulse[0, 0] = 1  # unit amplitude in each mode
    rows = steps + 1
    start = torch.zeros(rows, 1, SIZE, SIZE, dtype=torch.float64)
    start[0] = marginal(process, times[0], impulse) - process.scales(times[0])[0] * MEAN
    draws = iter(range(1, rows))

    def noise() -> Tensor:
        drawn = torch.zeros_like(start)
        drawn[next(draws)] = impulse
        return drawn

    def denoise(x: Tensor, t: float) -> Denoised:
        a, s = process.scales(t)
        total = a**2 * POWER + s**2
        return Denoised(filtered(x, a * POWER / total), filtered(x, s / total))

    *_, final = solve(name, process, denoise, start, steps, noise=noise, spacing="logsnr", **settings)
    a, s = process.scales(times[-1])
    variance = torch.fft.fft2(final.x).abs().square().sum(dim=(0, 1))
    return float((variance / (a**2 * POWER + s**2) - 1).abs().max())


@pytest.mark.parametrize("process", PROCESSES.values(), ids=list(PROCESSES))
@pytest.mark.parametrize(
    ("name", "settings", "order"),
    [
        ("sde", {"eta": 1.0}, 1),
        ("sde", {"eta": 0.4}, 1),
        ("ab2", {"eta": 1.0}, 2),
        ("ab2", {"eta": 0.5}, 2),
        ("dpmpp_2m", {"eta": 1.0}, 2),
        ("heun", {"churn": 5.0}, 1),
    ],
)
def test_fresh_noise_keeps_the_spectrum(
    solve: Solve, process: Process, name: str, settings: dict[str, float], order: int
):
    coarse, fine = (spectrum_error(solve, name, process, steps, **settings) for steps in (32, 128))
    assert math.log2(coarse / fine) / 2 > order - 0.3
    assert fine < (0.1 if order == 1 else 0.01)
