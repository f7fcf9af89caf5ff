"""Classifier-free guidance: weights 0 and 1, NFE, and the exact width it gives to Gaussians."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.guidance import guided_output, nfe_per_call
from focus_engine.generative.noise import NoiseSchedule
from focus_engine.generative.process import Denoised


class Recorder:
    """Predicts `cond` for conditional rows and -1 for others; records the batch sizes."""

    def __init__(self) -> None:
        self.batches = []

    def __call__(self, x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        assert len(x) == len(time) == len(cond)
        self.batches.append(len(x))
        seen = cond[:, :1] if unconditional is None else torch.where(unconditional[:, None], -1.0, cond[:, :1])
        return seen[..., None, None].expand_as(x)


@pytest.mark.parametrize(
    ("weight", "expected", "batch"), [(1.0, 3.0, 2), (0.0, -1.0, 2), (2.0, 7.0, 4), (0.5, 1.0, 4), (1.5, 5.0, 4)]
)
def test_guidance_extrapolates_and_calls_once(weight: float, expected: float, batch: int):
    network = Recorder()
    x, time, cond = torch.zeros(2, 1, 3, 3), torch.zeros(2), torch.full((2, 1), 3.0)
    out = guided_output(network, x, time, cond, weight)
    torch.testing.assert_close(out, torch.full_like(x, expected))
    assert network.batches == [batch]
    assert nfe_per_call(weight) * 2 == batch


@pytest.mark.parametrize("weight", [0.0, 1.0, 1.5, 2.0])
def test_width_of_guided_gaussians(
    weight: float, fine_schedule: Callable[..., NoiseSchedule], unit_noise: Callable[..., Tensor], solve
):
    process = Diffusion(fine_schedule(2048))
    narrow, wide = 0.6, 1.0

    def network(x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:  # noqa: ARG001
        a, s = process.scales(round(float(time[0]) * 2047))
        width = torch.full((len(x),), narrow, dtype=x.dtype)
        if unconditional is not None:
            width = torch.where(unconditional, wide, narrow).to(x.dtype)
        return s * x / (a**2 * width[:, None, None, None] ** 2 + s**2)

    def denoise(x: Tensor, t: float) -> Denoised:
        return process.denoise(network, x, t, torch.zeros(len(x), 0), guidance=weight)

    start = unit_noise(1, 1, 2, 2)
    *_, final = solve("ddim", process, denoise, start, 2048)
    scale = final.x / start
    expected = narrow * (narrow / wide) ** (weight - 1)
    torch.testing.assert_close(scale, torch.full_like(scale, expected), rtol=5e-3, atol=0)
