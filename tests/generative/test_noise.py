"""Noise schedules: laws, closed values and the terminal signal-to-noise ratio."""

import math

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


def test_sigmoid_is_its_published_formula():
    """Against a transcription of algorithm 1 of 2212.11972 in plain Python."""

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    def gamma(t: float, start: float = -3, end: float = 3, tau: float = 1.0, clip_min: float = 1e-9) -> float:
        v_start, v_end = sigmoid(start / tau), sigmoid(end / tau)
        output = (v_end - sigmoid((t * (end - start) + start) / tau)) / (v_end - v_start)
        return min(max(output, clip_min), 1.0)

    expected = [gamma((t + 1) / 50) for t in range(50)]
    assert build_schedule("sigmoid", 50).alpha_bar.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_shift_divides_the_snr_of_every_step(name: str, *, zero_terminal_snr: bool):
    plain = build_schedule(name, 50, zero_terminal_snr=zero_terminal_snr)
    shifted = build_schedule(name, 50, zero_terminal_snr=zero_terminal_snr, shift=4.0)
    torch.testing.assert_close(shifted.snr, plain.snr / 16)
    # 2301.11093: maps of 256² get log SNR + 2 ln(64/256).
    some = slice(0, 49)
    torch.testing.assert_close(shifted.snr.log()[some], plain.snr.log()[some] + 2 * math.log(64 / 256))
    assert torch.equal(plain.shifted(1.0).alpha_bar, plain.alpha_bar)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linaer",), "'linaer' is unknown; allowed: linear, cosine, quadratic, sigmoid"),
        (("linear", 0), "timesteps: 0"),
        (("linear", 10, 0.0, 0.1), "beta_start"),
        (("linear", 10, 0.2, 0.1), "beta_start"),
        (("linear", 10, 0.2, 1.0), "beta_end"),
    ],
)
def test_refuses_what_is_no_schedule(arguments: tuple[object, ...], message: str):
    with pytest.raises(InputError, match=message):
        build_schedule(*arguments)


@pytest.mark.parametrize("shift", [0.0, -1.0, math.inf, math.nan])
def test_refuses_a_shift_that_is_no_factor(shift: float):
    with pytest.raises(InputError, match=r"diffusion\.shift"):
        build_schedule("linear", 10, shift=shift)


def test_one_step_cannot_be_rescaled():
    with pytest.raises(InputError, match="needs 2 or more"):
        NoiseSchedule(torch.tensor([0.5], dtype=torch.float64)).with_zero_terminal_snr()
