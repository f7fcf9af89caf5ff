"""Units between the logarithm and its Gaussian: half of each, and back without loss."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

from focus_engine.data.levels import MARGIN, Levels, fit_levels
from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.normalise import Transform, fit_normaliser
from focus_engine.errors import InputError

WriteSet = Callable[..., tuple[Path, Path]]
TRANSFORMS: tuple[Transform, ...] = ("log10", "boxcox", "gaussian")


def opened(write_set: WriteSet, logs: np.ndarray) -> MapSet:
    maps = (10.0**logs).astype(np.float32)
    return open_map_set(*write_set(maps=maps), box_size=25.0, maps_per_simulation=3)


@pytest.fixture
def skewed() -> np.ndarray:
    """Return log10 f of two fields whose distributions are an exponential and a uniform one."""
    rng = np.random.default_rng(2)
    return np.stack([11 + 0.3 * rng.exponential(size=(18, 48, 48)), rng.uniform(-3, -2, (18, 48, 48))], axis=1)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_they_are_the_mean_of_the_standardised_logarithm_and_of_its_gaussian(
    write_set: WriteSet, skewed: np.ndarray, transform: Transform
):
    maps, chosen = opened(write_set, skewed), np.arange(15)
    normaliser = fit_normaliser(maps, chosen, transform)
    levels = fit_levels(maps, chosen, normaliser)
    found = levels.forward(normaliser.normalise(torch.from_numpy(maps.read(chosen)))).double().numpy()
    for channel in range(2):
        logs = skewed[:15, channel].ravel()
        ranks = (logs.argsort().argsort() + 0.5) / logs.size
        expected = ((logs - logs.mean()) / logs.std() + norm.ppf(ranks)) / 2
        inside = (ranks > 0.002) & (ranks < 0.998)  # beyond, few pixels are left to compare
        assert found[:, channel].ravel()[inside] == pytest.approx(expected[inside], abs=0.03)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_they_are_inverted_to_rounding_beyond_the_values_of_training_too(
    write_set: WriteSet, skewed: np.ndarray, transform: Transform
):
    maps = opened(write_set, skewed)
    normaliser = fit_normaliser(maps, range(9), transform)
    levels = fit_levels(maps, np.arange(9), normaliser)
    y = normaliser.normalise(torch.from_numpy(maps.read(range(18))))
    ends = [1.2 * end(y, dim=(0, 2, 3), keepdim=True).expand_as(y[:1]) for end in (torch.amax, torch.amin)]
    y = torch.cat([y, *ends])
    back = levels.inverse(levels.forward(y))
    torch.testing.assert_close(back, y, rtol=1e-4, atol=1e-4)
    rising = levels.forward(torch.linspace(-4, 12, 500).reshape(1, 1, -1).repeat(2, 1, 1))
    assert (rising.diff(dim=-1) >= 0).all()


def test_zeros_are_the_floor_of_the_standardised_maps(write_set: WriteSet, skewed: np.ndarray):
    skewed[:, :, :12] = -np.inf
    skewed[17] -= 1.0  # holds the floor, and the curves are not fitted to it
    skewed[17, :, 12] = [[5.0], [-9.0]]
    maps = opened(write_set, skewed)
    normaliser = fit_normaliser(maps, range(18), "boxcox")
    levels = fit_levels(maps, np.arange(17), normaliser)
    y = normaliser.normalise(torch.from_numpy(maps.read(range(17))))
    for channel, floor in enumerate((5.0, -9.0)):
        logs = np.where(np.isinf(skewed[:17, channel]), floor, skewed[:17, channel]).ravel()
        rank = 0.25 / 2  # a quarter of the pixels, at their middle
        expected = ((floor - logs.mean()) / logs.std() + norm.ppf(rank)) / 2
        assert float(levels.forward(y)[0, channel, 0, 0]) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_what_no_training_map_holds_stays_near(write_set: WriteSet, skewed: np.ndarray, transform: Transform):
    maps = opened(write_set, skewed)
    normaliser = fit_normaliser(maps, range(18), transform, power=0.9)
    levels = fit_levels(maps, np.arange(18), normaliser)
    wild = torch.tensor([-1e6, -50.0, 1e6]).reshape(3, 1, 1, 1).expand(3, 2, 1, 1)
    for channel, curve in enumerate(levels.curves):
        ends = torch.tensor([curve.u[0] - MARGIN, curve.u[-1] + MARGIN])
        low, high = (float(one) for one in curve.forward(ends))
        found = levels.forward(wild)[:, channel]
        assert float(found.min()) >= low - 1e-3
        assert float(found.max()) <= high + 1e-3


def test_they_survive_a_checkpoint_and_other_fields_are_refused(write_set: WriteSet, skewed: np.ndarray):
    maps = opened(write_set, skewed)
    normaliser = fit_normaliser(maps, range(18), "boxcox")
    levels = fit_levels(maps, np.arange(18), normaliser)
    kept = json.loads(json.dumps(levels.to_list()))
    assert Levels.from_list(kept, normaliser) == levels
    with pytest.raises(ValueError, match="1 curves of its levels for 2 fields"):
        Levels.from_list(kept[:1], normaliser)


def test_too_few_pixels_say_what_to_use(write_set: WriteSet):
    maps = opened(write_set, np.random.default_rng(3).normal(11, 0.3, (18, 8, 8)))
    with pytest.raises(InputError, match=r"64 training pixels are too few .* use data.normalize: log10 and data.stand"):
        fit_levels(maps, np.arange(1), fit_normaliser(maps, range(12), "log10"))
