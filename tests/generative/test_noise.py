"""Noise schedules: laws, closed values and the terminal signal-to-noise ratio."""

import math

import numpy as np
import pytest
import torch

from focus_engine.errors import InputError
from focus_engine.generative.noise import SCHEDULES, NoiseSchedule, build_schedule


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("timesteps", [2, 50, 1000])
@pytest.mark.parametrize("name", SCHEDULES)
def test_signal_falls_and_variance_is_kept(name: str, timesteps: int, *, zero_terminal_snr: bool):
    schedule = build_schedule(name, timesteps, zero_terminal_snr=zero_terminal_snr)
    assert schedule.timesteps == timesteps
    assert schedule.alpha_bar.dtype == torch.float64
    assert (schedule.snr.diff() < 0).all()
    assert ((schedule.beta > 0) & (schedule.beta <= 1)).all()
    torch.testing.assert_close(schedule.alpha**2 + schedule.sigma**2, torch.ones(timesteps, dtype=torch.float64))
    assert (schedule.terminal_snr == 0) == zero_terminal_snr


def test_linear_and_quadratic_betas_are_what_they_say():
    linear = build_schedule("linear", 5, 0.1, 0.3).beta
    torch.testing.assert_close(linear, torch.tensor([0.1, 0.15, 0.2, 0.25, 0.3], dtype=torch.float64))
    quadratic = build_schedule("quadratic", 3, 0.04, 0.16).beta
    torch.testing.assert_close(quadratic, torch.tensor([0.04, 0.09, 0.16], dtype=torch.float64))


def test_alpha_bar_of_the_published_schedule():
    alpha_bar = build_schedule("linear", 1000, 1e-4, 0.02).alpha_bar
    assert alpha_bar[0] == pytest.approx(1 - 1e-4)
    assert alpha_bar[-1] == pytest.approx(4.0358e-5, rel=1e-4)  # Lin et al. (2305.08891), table 1: √ᾱ = 0.0063


def test_cosine_has_its_closed_form_away_from_the_cut():
    schedule = build_schedule("cosine", 100)
    t = torch.arange(1, 100, dtype=torch.float64) / 100
    ends = torch.cos((torch.cat((torch.zeros(1), t)) + 0.008) / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(schedule.alpha_bar[:99], ends[1:] / ends[0])
    assert schedule.beta[-1] == pytest.approx(0.999)


def test_zero_terminal_snr_keeps_the_first_step_and_the_shape():
    plain = build_schedule("linear")
    rescaled = plain.with_zero_terminal_snr()
    assert rescaled.alpha_bar[0] == pytest.approx(float(plain.alpha_bar[0]))
    assert rescaled.alpha_bar[-1] == 0
    ratio = rescaled.alpha.diff() / plain.alpha.diff()
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))


def test_terminal_snr_of_a_mode_is_that_of_its_power_over_white_noise():
    schedule = build_schedule("linear")
    box, pixels = 25.0, 64
    pixel_area = (box / pixels) ** 2
    white = schedule.terminal_snr_by_mode(np.array([pixel_area]), pixel_area)
    assert white == pytest.approx(schedule.terminal_snr)
    red = schedule.terminal_snr_by_mode(np.array([100.0, 1.0]) * pixel_area, pixel_area)
    assert red == pytest.approx(np.array([100.0, 1.0]) * schedule.terminal_snr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linaer",), "'linaer' is unknown; allowed: linear, cosine, quadratic"),
        (("linear", 0), "timesteps: 0"),
        (("linear", 10, 0.0, 0.1), "beta_start"),
        (("linear", 10, 0.2, 0.1), "beta_start"),
        (("linear", 10, 0.2, 1.0), "beta_end"),
    ],
)
def test_refuses_what_is_no_schedule(arguments: tuple[object, ...], message: str):
    with pytest.raises(InputError, match=message):
        build_schedule(*arguments)


def test_one_step_cannot_be_rescaled():
    with pytest.raises(InputError, match="needs 2 or more"):
        NoiseSchedule(torch.tensor([0.5], dtype=torch.float64)).with_zero_terminal_snr()
