"""The loss that weighs scales: Parseval, the white error, and the gradient of single modes."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.edm import Edm
from focus_engine.generative.flow import Flow
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.scale_weights import mean_square, mode_weights

SHAPES = [(8, 8), (7, 7), (6, 10)]


def wave(shape: tuple[int, int], ky: int, kx: int) -> Tensor:
    """Return one cosine (1, 1, H, W), float64."""
    y = torch.arange(shape[0], dtype=torch.float64)[:, None] * ky / shape[0]
    x = torch.arange(shape[1], dtype=torch.float64)[None, :] * kx / shape[1]
    return torch.cos(2 * math.pi * (y + x) + 0.3)[None, None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("power", [-2.0, 0.5, 3.0])
def test_each_wave_counts_by_its_weight(shape: tuple[int, int], power: float):
    """A wave is in two modes of one |k|, so its error is the plain one times w(k), and so is its gradient."""
    for ky, kx in ((0, 0), (0, 1), (1, 0), (2, 1), (3, 3)):
        error = wave(shape, ky, kx).requires_grad_()
        k = max(math.hypot(ky / shape[0], kx / shape[1]), 1 / max(shape))
        ky_all, kx_all = torch.meshgrid(*(torch.fft.fftfreq(n, dtype=torch.float64) for n in shape), indexing="ij")
        mean = torch.hypot(ky_all, kx_all).clamp(min=1 / max(shape)).pow(power).mean()
        weight = k**power / mean
        (weighted,), (plain,) = mean_square(error, power), mean_square(error)
        torch.testing.assert_close(weighted, weight * plain)
        (ours,) = torch.autograd.grad(weighted, error)
        torch.testing.assert_close(ours, weight * 2 * error.detach() / error.numel())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_white_error_keeps_its_mean_square(shape: tuple[int, int], unit_noise: Callable[..., Tensor]):
    assert float(mode_weights(*shape, -1.5, like=torch.zeros(1, dtype=torch.float64)).mean()) == pytest.approx(1)
    error = unit_noise(4000, 1, *shape)
    assert float(mean_square(error, 1.0).mean()) == pytest.approx(float(mean_square(error).mean()), rel=0.01)


def test_parseval_holds_for_a_vanishing_power(unit_noise: Callable[..., Tensor]):
    error = unit_noise(5, 2, 6, 10)
    torch.testing.assert_close(mean_square(error, 1e-14), mean_square(error))
    assert torch.equal(mean_square(error), error.square().flatten(1).mean(dim=1))


@pytest.mark.parametrize("process", [Diffusion(build_schedule("cosine", 10), "v", 5.0), Flow(), Edm()])
def test_every_loss_reads_the_power_and_keeps_float32_under_autocast(process, unit_noise: Callable[..., Tensor]):
    maps, noise = unit_noise(3, 1, 8, 8).float(), unit_noise(3, 1, 8, 8, seed=1).float()
    arguments = {"u": torch.tensor([0.2, 0.5, 0.8]), "noise": noise}
    process_of = {"diffusion": lambda p: Diffusion(process.schedule, "v", 5.0, scale_power=p)}
    make = process_of.get(process.method, lambda p: type(process)(scale_power=p))

    def losses(power: float, shift: tuple[int, int] = (0, 0)) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return make(power).loss(
                lambda x, *_: x.roll(shift, (2, 3)).bfloat16(), maps, torch.zeros(3, 0), **arguments
            )

    assert torch.equal(losses(0.0), process.loss(lambda x, *_: x.bfloat16(), maps, torch.zeros(3, 0), **arguments))
    weighted = losses(-1.0)
    assert weighted.dtype == torch.float32
    assert not torch.allclose(weighted, losses(0.0), rtol=1e-2)
