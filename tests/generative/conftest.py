"""The reference of these tests: a Gaussian random field, for which the optimal network has a closed form."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.noise import NoiseSchedule, build_schedule
from focus_engine.generative.process import Denoised, Denoiser, Network, Process
from focus_engine.generative.samplers.spacing import spaced_times
from focus_engine.generative.samplers.table import FUNCTIONS
from focus_engine.generative.samplers.task import SamplerTask, Step
from focus_engine.generative.sampling import DrawnBatches, sample_steps


@dataclass(frozen=True)
class GaussianField:
    """Maps with independent Fourier modes of variance `power` (N, N), for the unitary FFT; unit noise has 1."""

    power: Tensor

    def filtered(self, x: Tensor, response: Tensor) -> Tensor:
        return torch.fft.ifft2(response * torch.fft.fft2(x)).real

    def draw(self, noise: Tensor) -> Tensor:
        return self.filtered(noise, self.power.sqrt())

    def marginal(self, process: Diffusion, t: int, noise: Tensor) -> Tensor:
        """Return maps of the exact distribution at time `t`, from unit noise."""
        a, s = process.scales(t)
        return self.filtered(noise, (a**2 * self.power + s**2).sqrt())

    def denoiser(self, process: Diffusion) -> Denoiser:
        """Return E[data | x] and E[noise | x], by Wiener filters."""

        def denoise(x: Tensor, t: float) -> Denoised:
            a, s = process.scales(t)
            total = a**2 * self.power + s**2
            return Denoised(self.filtered(x, a * self.power / total), self.filtered(x, s / total))

        return denoise

    def network(self, process: Diffusion) -> Network:
        """Return the exact denoiser as a network of the process."""
        denoise = self.denoiser(process)

        def network(x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:  # noqa: ARG001
            out = []
            for row, value in zip(x, time.tolist(), strict=True):
                t = round(value * (process.schedule.timesteps - 1))
                parts = denoise(row[None], t)
                a, s = process.scales(t)
                v = a * parts.noise - s * parts.data
                out.append({"epsilon": parts.noise, "x0": parts.data, "v": v}[process.prediction])
            return torch.cat(out)

        return network


def _power(size: int, slope: float) -> Tensor:
    """Return a red spectrum of unit pixel variance."""
    k = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
    power = 1 / (1 + (k[:, None] ** 2 + k[None, :] ** 2)) ** (slope / 2)
    return power / power.mean()


@pytest.fixture
def field() -> GaussianField:
    """Return a field of 16 × 16 pixels with P(k) ∝ k⁻³."""
    return GaussianField(_power(16, 3.0))


@pytest.fixture
def fine_schedule() -> Callable[..., NoiseSchedule]:
    """Return the linear schedule at T steps with the total noise of the usual one at 1000."""

    def make(timesteps: int, *, zero_terminal_snr: bool = False) -> NoiseSchedule:
        return build_schedule("linear", timesteps, 0.1 / timesteps, 20 / timesteps, zero_terminal_snr=zero_terminal_snr)

    return make


@pytest.fixture
def unit_noise() -> Callable[..., Tensor]:
    """Return float64 Gaussian noise of a given shape and seed."""

    def make(*shape: int, seed: int = 0) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    return make


@pytest.fixture
def solve() -> Callable[..., Iterator[Step]]:
    """Return the steps of a sampler by its name; one that asks for noise where none is given fails."""

    def run(
        name: str, process: Process, denoise: Denoiser, x: Tensor, steps: int, *, noise=None, spacing="time", **settings
    ) -> Iterator[Step]:
        def no_noise() -> Tensor:
            raise AssertionError("a deterministic sampler asked for noise")

        times = spaced_times(process, steps, spacing)
        return FUNCTIONS[name](SamplerTask(process, denoise, noise or no_noise, times, **settings), x)

    return run


@pytest.fixture
def draw_maps():
    """Return the maps that `sample_steps` draws, collected."""

    def draw(*arguments, **options) -> DrawnBatches:
        drawn = DrawnBatches()
        for progress in sample_steps(*arguments, **options):
            drawn.add(progress)
        return drawn

    return draw
