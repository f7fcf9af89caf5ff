"""Maps in units of their own spectrum: the same Gaussian field at all parameters, and back without loss."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from focus_engine.data.symmetries import Augmentation, apply_symmetries, draw_symmetries
from focus_engine.errors import InputError
from focus_engine.generative.flow import Flow
from focus_engine.generative.map_noise import MapNoise
from focus_engine.generative.own_spectrum import OwnSpectrum
from focus_engine.generative.prior import SpectralPrior
from focus_engine.generative.sampling import SamplingPlan

SHAPE = (2, 8, 12)
PARAMS = torch.tensor([[-1.5, 0.5], [0.0, 0.0], [1.0, -1.0], [1.5, 1.5], [0.3, 0.2]])
BINS = (0.0, 1.0, 2.0, 4.0, 6.0)


def noise_of(count: int) -> Tensor:
    return MapNoise(3, 0, count, SHAPE, torch.device("cpu"))()


@pytest.fixture(scope="module")
def fit() -> SpectralPrior:
    """Return mean and spectrum of two fields, quadratic in two parameters."""
    rng = np.random.default_rng(1)
    shape = (2, len(BINS), 6)
    red = np.array([4.0, 3.0, 2.0, 0.0, -2.0])
    logs = 0.3 * rng.standard_normal(shape)
    logs[..., 0] += red
    return SpectralPrior(
        size=SHAPE[1:],
        bins=BINS,
        low=(-1.7, -1.7),
        high=(1.7, 1.7),
        degree=2,
        mean=tuple(map(tuple, rng.standard_normal((2, 6)).tolist())),
        log_power=tuple(tuple(map(tuple, one)) for one in logs.tolist()),
        all_mean=(0.0, 0.0),
        all_power=((1.0,) * len(BINS),) * 2,
    )


def test_a_gaussian_field_becomes_the_same_field_at_all_parameters(fit: SpectralPrior):
    noise = noise_of(1).expand(len(PARAMS), -1, -1, -1)
    maps = fit.start(noise.double(), PARAMS, 1.0, 0.0)  # Gaussian, of exactly this mean and spectrum
    seen = OwnSpectrum(fit).standardise(maps, PARAMS)
    torch.testing.assert_close(seen, seen[1:2].expand_as(seen), rtol=0, atol=3e-5)
    # At the mean parameters only the size changes: to unit variance between the pixels of a map.
    shape = (maps - torch.tensor(fit.moments(PARAMS)[0])[:, :, None, None])[1] / seen[1]
    for ratio in shape:
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=2e-3, atol=0)
    drawn = OwnSpectrum(fit).standardise(
        fit.start(noise_of(4000).double(), PARAMS[:1].expand(4000, -1), 1, 0), PARAMS[:1]
    )
    spread = (drawn - drawn.mean(dim=(-2, -1), keepdim=True)).square().mean(dim=(0, 2, 3))
    assert spread.tolist() == pytest.approx([1.0, 1.0], abs=0.05)


def test_restoring_loses_nothing_but_rounding(fit: SpectralPrior):
    maps, own = noise_of(len(PARAMS)), OwnSpectrum.from_dict(OwnSpectrum(fit).to_dict())
    seen = own.standardise(maps, PARAMS)
    assert float((seen - maps).abs().max()) > 0.1
    torch.testing.assert_close(own.restore(seen, PARAMS), maps, rtol=1e-5, atol=1e-5)


def test_a_map_does_not_depend_on_the_maps_beside_it(fit: SpectralPrior):
    maps, own = noise_of(len(PARAMS)), OwnSpectrum(fit)
    alone = torch.cat([own.standardise(maps[i : i + 1], PARAMS[i : i + 1]) for i in range(len(PARAMS))])
    torch.testing.assert_close(own.standardise(maps, PARAMS), alone, rtol=1e-5, atol=1e-6)


class Powers:
    """Standardised maps are a power of a density, and y is its logarithm."""

    def forward(self, maps: Tensor) -> Tensor:
        return torch.log1p(0.2 * maps) / 0.2

    def inverse(self, levels: Tensor) -> Tensor:
        return torch.expm1(0.2 * levels) / 0.2

    def to_list(self) -> list[dict[str, list[float]]]:
        return []


def test_a_lognormal_field_becomes_the_same_density_at_all_parameters(fit: SpectralPrior):
    noise = noise_of(1).expand(len(PARAMS), -1, -1, -1)
    maps = Powers().inverse(0.2 * fit.start(noise.double(), PARAMS, 1.0, 0.0).float())
    fifth = replace(
        fit,
        mean=tuple(tuple(0.2 * one for one in channel) for channel in fit.mean),
        log_power=tuple(tuple((one[0] + 2 * math.log(0.2), *one[1:]) for one in channel) for channel in fit.log_power),
    )
    own = OwnSpectrum(fifth, Powers())
    seen = own.standardise(maps, PARAMS)
    torch.testing.assert_close(seen, seen[1:2].expand_as(seen), rtol=0, atol=1e-3)
    torch.testing.assert_close(own.restore(seen, PARAMS), maps, rtol=1e-4, atol=1e-4)
    powers = OwnSpectrum(fifth).standardise(maps, PARAMS)  # as it would be without the logarithm
    assert float((powers - powers[1:2]).abs().max()) > 0.1


def test_beyond_the_trained_range_the_nearest_point_counts(fit: SpectralPrior):
    maps, own = noise_of(1), OwnSpectrum(fit)
    beyond, edge = torch.tensor([[9.0, 0.4]]), torch.tensor([[1.7, 0.4]])
    assert torch.equal(own.standardise(maps, beyond), own.standardise(maps, edge))


def test_it_commutes_with_the_symmetries_of_the_box(fit: SpectralPrior):
    own = OwnSpectrum(fit)
    maps, rng = noise_of(len(PARAMS)), torch.Generator().manual_seed(0)
    moved = draw_symmetries(len(PARAMS), *SHAPE[1:], Augmentation(), rng)
    one, other = (
        own.standardise(apply_symmetries(maps, moved), PARAMS),
        apply_symmetries(own.standardise(maps, PARAMS), moved),
    )
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_maps_of_another_size_are_refused(fit: SpectralPrior):
    with pytest.raises(
        InputError, match=r"data.standardize: the spectrum is of maps of 2 x 8 x 12 .* not of 1 x 8 x 8"
    ):
        OwnSpectrum(fit).check_size((1, 8, 8))


@pytest.mark.parametrize("batch", [2, 5])
def test_a_network_that_ignores_the_parameters_draws_maps_that_follow_them(
    fit: SpectralPrior, draw_maps: Callable[..., Any], batch: int
):
    """The network is exact for white noise, so that drawn maps have the mean and the spectrum of the fit."""

    def exact(x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:  # noqa: ARG001
        t = time[:, None, None, None]
        return x * (2 * t - 1) / (t**2 + (1 - t) ** 2)

    plan = SamplingPlan("heun", steps=40, batch_size=batch)
    plain = draw_maps(exact, Flow(), PARAMS, SHAPE, plan).maps
    drawn = draw_maps(exact, Flow(), PARAMS, SHAPE, plan, restore=OwnSpectrum(fit).restore).maps
    mean, power = fit.moments(PARAMS)
    modes = torch.fft.rfft2(drawn - torch.tensor(mean, dtype=torch.float32)[:, :, None, None]) / torch.fft.rfft2(plain)
    ratio = modes.abs()[..., 0, 1].square().double().numpy()  # |k| = 1
    assert ratio / ratio[1] == pytest.approx(power[..., 1] / power[1, :, 1], rel=1e-3)
