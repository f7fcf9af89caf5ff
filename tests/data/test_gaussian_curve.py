"""The curve to a Gaussian: quantiles, smoothness, tails, round trips, and what a checkpoint keeps of it."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from gaussian_maps import skewed_universes

from focus_engine.data.gaussian_curve import BINS_PER_DEX, STRETCH, GaussianCurve, LogHistogram, fit_curve
from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.normalise import Normaliser, fit_normaliser
from focus_engine.errors import InputError

WriteSet = Callable[..., tuple[Path, Path]]
HALF_BIN = 0.5 / BINS_PER_DEX


def opened(paths: tuple[Path, Path]) -> MapSet:
    return open_map_set(*paths, box_size=25.0, maps_per_simulation=3)


def curve_of(logs: np.ndarray) -> GaussianCurve:
    histogram = LogHistogram()
    histogram.add(logs)
    curve = fit_curve(histogram, float(logs.mean()), float(logs.std()))
    assert curve is not None
    return curve


def stretched(g: np.ndarray) -> np.ndarray:
    """Return log10 f as a skewed function of a unit Gaussian, with the long tail of dense pixels."""
    return 10.9 + 0.4 * np.where(g > 0, np.sinh(0.6 * g) / 0.6, np.tanh(0.3 * g) / 0.3)


@pytest.fixture(scope="module")
def logs() -> np.ndarray:
    return stretched(np.random.default_rng(0).normal(size=400_000))


@pytest.fixture(scope="module")
def universes() -> np.ndarray:
    """Return densities of 6 simulations, (18, 24, 24), with a long tail and a few zeros."""
    rng = np.random.default_rng(1)
    maps = skewed_universes(rng, np.column_stack((np.linspace(0.7, 1.3, 6), np.linspace(0.6, 1.2, 6))), 3)
    maps[:, 0, :2] = 0
    return maps.astype(np.float32)


def test_it_undoes_a_known_function_of_a_gaussian(logs: np.ndarray):
    curve, g = curve_of(logs), np.linspace(-5, 5, 501)
    z = curve.forward(torch.from_numpy((stretched(g) - logs.mean()).astype(np.float32))).numpy()
    inside = np.abs(g) < 2.5
    assert np.abs(z - g)[inside].max() < 0.04
    assert np.abs(z - g)[np.abs(g) < 4].max() < 0.2
    plain = (stretched(g) - logs.mean()) / logs.std()
    assert np.abs(plain - g)[inside].max() > 0.6  # log10 alone does not


def test_knots_are_the_quantiles_to_half_a_bin_and_as_many_as_the_counts_allow(logs: np.ndarray):
    curve, ordered = curve_of(logs), np.sort(logs)
    share = torch.special.ndtr(torch.tensor(curve.z, dtype=torch.float64)).numpy()
    centres = np.array(curve.u) + logs.mean()
    low, high = (np.searchsorted(ordered, centres + side * (HALF_BIN + 1e-12)) / logs.size for side in (-1, 1))
    assert (low <= share).all()
    assert (share <= high).all()
    assert np.diff(share * logs.size).min() >= 32
    assert min(share[0], 1 - share[-1]) * logs.size == pytest.approx(32, abs=8)
    assert len(curve.u) > 80


def test_training_pixels_become_a_unit_gaussian(write_set: WriteSet, universes: np.ndarray):
    maps = opened(write_set(maps=universes))
    values = {}
    for transform in ("log10", "gaussian"):
        normaliser = fit_normaliser(maps, range(18), transform)
        values[transform] = normaliser.normalise(torch.from_numpy(maps.read(range(18)))).double().flatten()
    moments = {name: [float((one**n).mean()) for n in (1, 2, 3, 4)] for name, one in values.items()}
    assert moments["gaussian"] == pytest.approx([0, 1, 0, 3], abs=0.1)
    assert moments["gaussian"][:2] == pytest.approx([0, 1], abs=0.01)
    assert moments["log10"] != pytest.approx([0, 1, 0, 3], abs=0.3)
    assert torch.equal(values["gaussian"].argsort(stable=True), values["log10"].argsort(stable=True))


def test_statistics_come_from_the_given_maps_alone_whatever_the_chunks(
    write_set: WriteSet, universes: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    whole = fit_normaliser(opened(write_set(maps=universes)), range(12), "gaussian")
    others = universes.copy()
    others[12:] *= 1000
    maps = opened(write_set(maps=others))
    assert fit_normaliser(maps, range(12), "gaussian") == whole
    monkeypatch.setattr("focus_engine.data.maps._CHUNK_PIXELS", 5 * 576)
    parts = fit_normaliser(maps, range(12), "gaussian")
    assert parts.curves[0].z == whole.curves[0].z
    assert parts.curves[0].u == pytest.approx(whole.curves[0].u, abs=1e-9)  # the mean differs by rounding


def test_round_trip_to_float32_rounding(write_set: WriteSet, universes: np.ndarray):
    maps = opened(write_set(maps=universes))
    normaliser = fit_normaliser(maps, range(12), "gaussian")
    physical = torch.from_numpy(maps.read(range(18)))
    again = normaliser.physical(normaliser.normalise(physical))
    assert torch.allclose(again[physical > 0], physical[physical > 0], rtol=5e-6, atol=0)
    assert again[physical == 0].tolist() == pytest.approx([normaliser.floor[0]] * 36, rel=5e-6)
    beyond = torch.logspace(2, 21, 64).reshape(1, 1, 8, 8)
    assert torch.allclose(normaliser.physical(normaliser.normalise(beyond)), beyond, rtol=1e-4, atol=0)
    z = torch.linspace(-8, 8, 4096).reshape(1, 1, 64, 64)
    assert torch.allclose(normaliser.normalise(normaliser.physical(z)), z, atol=1e-5)


def test_what_an_untrained_network_draws_is_finite_and_positive(write_set: WriteSet, universes: np.ndarray):
    normaliser = fit_normaliser(opened(write_set(maps=universes)), range(12), "gaussian")
    maps = normaliser.physical(torch.tensor([-1e30, -1e4, 1e4, float("inf")]).reshape(1, 1, 2, 2))
    assert torch.isfinite(maps).all()
    assert (maps > 0).all()


def test_the_curve_rises_everywhere_and_its_slope_has_no_jump(logs: np.ndarray):
    curve = curve_of(logs)
    u = torch.linspace(curve.u[0] - 1, curve.u[-1] + 1, 20_001)
    assert (curve.forward(u).diff() > 0).all()
    for side in (-1e-5, 1e-5):
        at = (torch.tensor(curve.u, dtype=torch.float64) + side).float().requires_grad_()
        (slope,) = torch.autograd.grad(curve.forward(at).sum(), at)
        assert torch.allclose(slope, torch.tensor(curve.slopes), rtol=0.02)


def test_beyond_the_outermost_knots_it_is_straight_with_a_bounded_slope(logs: np.ndarray):
    gap = np.concatenate((logs, np.linspace(20, 20.01, 200)))  # a few pixels nine dex above the others
    for values in (logs, gap):
        curve, distance = curve_of(values), torch.linspace(0, 3, 7)
        for end, side in ((0, -1), (-1, 1)):
            z = curve.forward(curve.u[end] + side * distance)
            assert torch.allclose(z, curve.z[end] + side * curve.slopes[end] * distance, atol=1e-4)
            assert 1 / STRETCH <= curve.slopes[end] * values.std() <= STRETCH * (1 + 1e-9)


def test_an_atom_has_its_mid_rank(write_set: WriteSet, universes: np.ndarray):
    values = universes.copy()
    values[:, :8] = 0
    maps = opened(write_set(maps=values))
    normaliser = fit_normaliser(maps, range(18), "gaussian")
    z = normaliser.normalise(torch.zeros(1, 1, 1, 1))
    assert float(torch.special.ndtr(z)) == pytest.approx(1 / 6, abs=2e-3)


def test_each_field_has_its_own_curve_in_any_unit(write_set: WriteSet, universes: np.ndarray):
    values = np.stack((universes, universes[::-1] ** np.float32(0.5) * np.float32(1e-7)), axis=1)
    maps = opened(write_set(maps=values))
    both = fit_normaliser(maps, range(18), "gaussian")
    standard = both.normalise(torch.from_numpy(maps.read(range(18))))
    assert torch.allclose(standard[:, 0], standard.flip(0)[:, 1], atol=2e-3)  # the same ranks
    assert torch.allclose(both.physical(standard)[:, 1, 5:], torch.from_numpy(values[:, 1, 5:]), rtol=5e-6)


def test_a_checkpoint_keeps_plain_lists_and_old_ones_load(write_set: WriteSet, universes: np.ndarray):
    maps = opened(write_set(maps=universes))
    normaliser, plain = (fit_normaliser(maps, range(12), one) for one in ("gaussian", "log10"))
    file = io.BytesIO()
    torch.save(normaliser.to_dict(), file)
    file.seek(0)
    assert Normaliser.from_dict(torch.load(file, weights_only=True)) == normaliser
    assert set(plain.to_dict()) == {"transform", "mean", "std", "floor", "n_floored", "n_values"}  # as ever


def test_too_few_or_too_equal_pixels_are_refused(write_set: WriteSet):
    tiny = np.random.default_rng(0).normal(10, 0.3, (18, 2, 2))
    equal = 1e10 * np.random.default_rng(0).uniform(1, 1.00001, (18, 8, 8))
    for values in (10**tiny, equal):
        with pytest.raises(InputError, match=r"too few or too equal to tell their .*; use data\.normalize: log10"):
            fit_normaliser(opened(write_set(maps=values.astype(np.float32))), range(18), "gaussian")
