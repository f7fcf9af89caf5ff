"""Calibration: other maps of the same network then have the spectrum and the pixels of the training maps."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from focus_engine.data.symmetries import Augmentation, apply_symmetries, draw_symmetries
from focus_engine.errors import InputError
from focus_engine.generative.calibration import Calibration, CalibrationError, fit_calibration
from focus_engine.generative.map_noise import MapNoise
from focus_engine.generative.prior import mode_moments

SHAPE = (2, 16, 24)


def noise_of(count: int, seed: int = 3) -> Tensor:
    return MapNoise(seed, 0, count, SHAPE, torch.device("cpu"), paired=True)()


def red(noise: Tensor, slope: float) -> Tensor:
    """Return a Gaussian field of power 1 / (1 + k²)^slope from noise."""
    rows, columns = torch.fft.fftfreq(SHAPE[1], 1 / 24), torch.fft.rfftfreq(SHAPE[2], 1 / 24)
    k = torch.hypot(rows[:, None], columns[None])
    waves: Tensor = torch.fft.irfft2(torch.fft.rfft2(noise) * (1 + k**2) ** (-slope / 2), s=SHAPE[1:])
    return waves


def true_maps(count: int, seed: int) -> Tensor:
    return 0.2 + torch.exp(1.4 * red(noise_of(count, seed), 0.5))


def drawn_maps(noise: Tensor) -> Tensor:
    """Return what a network with too little power, the more the smaller the scale, and the wrong mean draws."""
    return 0.1 + torch.exp(1.35 * red(noise, 0.58))


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    noise = noise_of(1000)
    return fit_calibration(drawn_maps(noise), noise, true_maps(1000, 4))


def test_other_maps_get_the_spectrum_and_the_pixels_of_the_training_maps(fitted: Calibration):
    true, drawn = true_maps(2000, 5), drawn_maps(noise_of(2000, 6))
    made = fitted.apply(drawn)
    power = {name: mode_moments(one)[1].mean(axis=0) for name, one in (("t", true), ("d", drawn), ("m", made))}
    off = {name: np.sqrt(np.mean((power[name] / power["t"] - 1) ** 2)) for name in "dm"}
    assert off["d"] > 0.2
    assert off["m"] < 0.06  # the error of 1,000 maps
    assert abs(float(drawn.mean() / true.mean()) - 1) > 0.1
    assert abs(float(made.mean() / true.mean()) - 1) < 0.01
    shares = torch.tensor([0.001, 0.05, 0.5, 0.95, 0.999])
    some = slice(None, None, 7)
    torch.testing.assert_close(
        made.flatten()[some].quantile(shares), true.flatten()[some].quantile(shares), rtol=0.04, atol=0
    )


def test_the_power_of_the_noise_is_no_error_of_the_gain():
    noise = noise_of(64)  # whose power is off by a fifth in bins of few modes
    waves = torch.fft.rfft2(noise_of(64, 5))
    exact = torch.fft.irfft2(waves / waves.abs() * (SHAPE[1] * SHAPE[2]) ** 0.5, s=SHAPE[1:])  # power 1 in each map
    found = fit_calibration(0.9 * red(noise, 0.5), noise, red(exact, 0.5))
    np.testing.assert_allclose(found.gain, 1 / 0.9, rtol=5e-3)


def test_a_perfect_network_is_left_alone_within_the_error():
    noise = noise_of(1000)
    found = fit_calibration(true_maps(1000, 3), noise, true_maps(1000, 8))
    gain = np.array(found.gain)
    assert np.abs(gain - 1).max() < 0.05
    assert (gain == 1).mean() > 0.3  # ratios within their error
    drawn = true_maps(500, 9)
    assert float((found.apply(drawn) - drawn).std() / drawn.std()) < 0.04


def test_each_map_is_calibrated_by_itself_and_with_its_symmetries(fitted: Calibration):
    drawn = drawn_maps(noise_of(6, 7))
    torch.testing.assert_close(fitted.apply(drawn)[2:3], fitted.apply(drawn[2:3]))
    turned = draw_symmetries(6, *SHAPE[1:], Augmentation(), torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        apply_symmetries(fitted.apply(drawn), turned), fitted.apply(apply_symmetries(drawn, turned)), atol=2e-5, rtol=0
    )


def test_pixels_keep_their_order_and_the_outermost_are_shifted(fitted: Calibration):
    line = torch.linspace(-5, 40, SHAPE[1] * SHAPE[2] * 2).reshape(1, *SHAPE)
    same = Calibration(SHAPE[1:], ((1.0,) * len(fitted.gain[0]),) * 2, fitted.drawn, fitted.true)
    made = same.apply(line)
    assert bool((made[0, 0].flatten().diff() > 0).all())
    torch.testing.assert_close(made[0, 0, 0, 0] - line[0, 0, 0, 0], torch.tensor(same.true[0][0] - same.drawn[0][0]))


def test_networks_that_are_far_off_are_refused():
    noise = noise_of(64)
    with pytest.raises(CalibrationError, match="off by a factor"):
        fit_calibration(noise, noise, 3 * noise_of(64, 4))
    with pytest.raises(CalibrationError, match="not finite"):
        fit_calibration(noise * torch.inf, noise, noise)


def test_it_is_kept_as_plain_values(fitted: Calibration):
    assert Calibration.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


@pytest.mark.parametrize(
    "damage",
    [
        {"gain": []},
        {"gain": [[float("nan")]] * 2},
        {"drawn": [[], []], "true": [[], []]},
        {"drawn": [[1.0, 0.0], [0.0, 1.0]], "true": [[0.0, 1.0]] * 2},
        {"size": [16]},
    ],
)
def test_damaged_values_are_refused(fitted: Calibration, damage: dict[str, Any]):
    with pytest.raises((ValueError, KeyError, TypeError)):
        Calibration.from_dict(fitted.to_dict() | damage)


def test_a_calibration_of_other_maps_is_refused(fitted: Calibration):
    fitted.check_size(SHAPE)
    for shape in ((1, *SHAPE[1:]), (2, 16, 16)):
        with pytest.raises(InputError, match="is of maps of 2 x 16 x 24"):
            fitted.check_size(shape)


def test_channels_may_keep_other_numbers_of_quantiles(fitted: Calibration):
    found = replace(fitted, drawn=(fitted.drawn[0], (0.0, 1.0)), true=(fitted.true[0], (1.0, 2.0)))
    assert Calibration.from_dict(found.to_dict()) == found
    made = replace(found, gain=((1.0,) * len(found.gain[0]),) * 2).apply(torch.full((1, *SHAPE), 0.5))
    torch.testing.assert_close(made[:, 1], torch.full((1, *SHAPE[1:]), 1.5))


def test_maps_of_equal_pixels_are_possible():
    noise = noise_of(200)
    flat = torch.where(noise > 0, noise, 0.0)
    found = fit_calibration(flat, noise, flat.flip(0))
    assert bool(found.apply(flat).isfinite().all())


def test_pairs_have_opposite_noise_in_any_batch():
    noise = noise_of(6)
    torch.testing.assert_close(noise[1::2], -noise[::2], rtol=0, atol=0)
    later = MapNoise(3, 3, 2, SHAPE, torch.device("cpu"), paired=True)()
    torch.testing.assert_close(later, noise[3:5], rtol=0, atol=0)
    torch.testing.assert_close(noise[2], MapNoise(3, 1, 1, SHAPE, torch.device("cpu"))()[0], rtol=0, atol=0)
