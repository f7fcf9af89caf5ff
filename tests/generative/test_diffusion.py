"""Diffusion: the loss at the optimal network, the loss weights, and the conversion of predictions."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from focus_engine.config.schema import Config
from focus_engine.errors import InputError
from focus_engine.generative.build import build_process
from focus_engine.generative.diffusion import PREDICTIONS, Diffusion, Prediction
from focus_engine.generative.noise import NoiseSchedule, build_schedule

GaussianField = Any  # the class in conftest.py, which tests cannot import
NOBODY = torch.zeros(1, 0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_prediction_gives_back_map_and_noise(prediction: Prediction, unit_noise: Callable[..., Tensor]):
    process = Diffusion(build_schedule("cosine", 10), prediction)
    maps, noise = unit_noise(3, 1, 4, 4), unit_noise(3, 1, 4, 4, seed=1)
    for t in (0, 4, 9):
        a, s = process.scales(t)
        target = {"epsilon": noise, "x0": maps, "v": a * noise - s * maps}[prediction]
        parts = process.denoise(lambda *_, out=target: out, a * maps + s * noise, t, NOBODY)
        torch.testing.assert_close(parts.data, maps)
        torch.testing.assert_close(parts.noise, noise)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_parts_always_add_up_to_x(prediction: Prediction, unit_noise: Callable[..., Tensor]):
    process = Diffusion(build_schedule("linear", 20), prediction)
    x, output = unit_noise(2, 1, 4, 4), unit_noise(2, 1, 4, 4, seed=1)
    for t in (0, 10, 19):
        a, s = process.scales(t)
        parts = process.denoise(lambda *_: output, x, t, NOBODY)
        torch.testing.assert_close(a * parts.data + s * parts.noise, x)


@pytest.mark.parametrize(("prediction", "sign"), [("v", -1), ("x0", 1)])
def test_v_and_x0_need_no_signal_where_epsilon_does(
    prediction: Prediction, sign: int, unit_noise: Callable[..., Tensor]
):
    schedule = build_schedule("linear", 10, zero_terminal_snr=True)
    x, output = unit_noise(1, 1, 4, 4), unit_noise(1, 1, 4, 4, seed=1)
    parts = Diffusion(schedule, prediction).denoise(lambda *_: output, x, 9, NOBODY)
    torch.testing.assert_close(parts.data, sign * output)
    torch.testing.assert_close(parts.noise, x)


@pytest.mark.parametrize(
    "schedule",
    [
        build_schedule("linear", 10, zero_terminal_snr=True),
        build_schedule("linear", 100_000),  # the signal underflows
    ],
)
def test_epsilon_is_refused_where_no_signal_is_left(schedule: NoiseSchedule):
    with pytest.raises(InputError, match="no signal left: use prediction: v or x0"):
        Diffusion(schedule, "epsilon")


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_exact_network_gives_the_exact_denoiser_at_every_step(
    prediction: Prediction, field: GaussianField, unit_noise: Callable[..., Tensor]
):
    process = Diffusion(build_schedule("sigmoid", 12, shift=2.0), prediction)
    network, denoise, x = field.network(process), field.denoiser(process), unit_noise(2, 1, 16, 16)
    for t in range(12):
        parts, exact = process.denoise(network, x, t, NOBODY), denoise(x, t)
        torch.testing.assert_close(parts.data, exact.data, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(parts.noise, exact.noise, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_loss_at_the_perfect_network_is_the_posterior_variance(
    prediction: Prediction, field: GaussianField, unit_noise: Callable[..., Tensor]
):
    process = Diffusion(build_schedule("linear", 10, 0.01, 0.3), prediction)
    network, count = field.network(process), 400
    maps, noise = field.draw(unit_noise(count, 1, 16, 16)), unit_noise(count, 1, 16, 16, seed=1)
    for t in (0, 5, 9):
        a, s = process.scales(t)
        # Per mode: Var(ε | x) = a² P / (a² P + s²); v = (ε - s x)/a has 1/a² of it, the map (x - s ε)/a has s²/a².
        expected = (a**2 * field.power / (a**2 * field.power + s**2)).mean()
        expected *= {"epsilon": 1, "v": 1 / a**2, "x0": s**2 / a**2}[prediction]
        u = torch.full((count,), (t + 0.5) / 10, dtype=torch.float64)
        loss = process.loss(network, maps, torch.zeros(count, 0), u=u, noise=noise)
        assert loss.shape == (count,)
        assert loss.mean() == pytest.approx(float(expected), rel=0.02)


def test_u_is_the_quantile_of_the_timestep():
    process = Diffusion(build_schedule("linear", 4))
    seen = []

    def network(x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:  # noqa: ARG001
        seen.append(time)
        return torch.zeros_like(x)

    u = torch.tensor([0.0, 0.2499, 0.25, 0.5, 0.75, 0.99999999, 1.0])
    maps = torch.zeros(7, 1, 4, 4)
    process.loss(network, maps, torch.zeros(7, 0), u=u, noise=maps)
    torch.testing.assert_close(seen[0], torch.tensor([0, 0, 1, 2, 3, 3, 3]) / 3)


def test_loss_passes_conditions_on_and_reaches_the_weights():
    process = Diffusion(build_schedule("linear", 4), "v")
    weight = torch.ones(1, requires_grad=True)
    cond, rows = torch.randn(2, 3), torch.tensor([True, False])

    def network(x: Tensor, time: Tensor, given: Tensor, unconditional: Tensor | None = None) -> Tensor:  # noqa: ARG001
        assert given is cond
        assert unconditional is rows
        return (weight * x).bfloat16()

    maps = torch.randn(2, 1, 4, 4)
    loss = process.loss(network, maps, cond, u=torch.rand(2), noise=torch.randn(2, 1, 4, 4), unconditional=rows)
    assert loss.dtype == torch.float32
    loss.sum().backward()
    assert weight.grad.abs() > 0


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_bounds_the_weight_of_the_map(prediction: Prediction):
    schedule = build_schedule("linear")
    process = Diffusion(schedule, prediction, min_snr_gamma=5.0)
    # In units of the error of the map, ε weighs SNR, v weighs SNR + 1 and x0 1: the bound shows there.
    unit = {"epsilon": schedule.snr, "v": schedule.snr + 1, "x0": torch.ones(1000, dtype=torch.float64)}[prediction]
    torch.testing.assert_close(process.weights * unit, schedule.snr.clamp(max=5.0))
    assert (Diffusion(schedule, prediction).weights == 1).all()


@pytest.mark.parametrize("prediction", ["v", "x0"])
def test_min_snr_trains_the_step_without_signal_by_its_offset(prediction: Prediction):
    schedule = build_schedule("linear", zero_terminal_snr=True)
    with pytest.raises(InputError, match=r"set diffusion\.min_snr_offset to 1"):
        Diffusion(schedule, prediction, min_snr_gamma=5.0).check_trainable()
    Diffusion(schedule, prediction).check_trainable()
    process = Diffusion(schedule, prediction, min_snr_gamma=5.0, min_snr_offset=1.0)
    process.check_trainable()
    weights = process.weights
    assert weights[-1] == 1
    unit = schedule.snr + 1 if prediction == "v" else torch.ones_like(schedule.snr)
    torch.testing.assert_close(weights * unit, (schedule.snr + 1).clamp(max=6.0))


def test_min_snr_weights_the_loss(unit_noise: Callable[..., Tensor]):
    schedule = build_schedule("linear", 10)
    maps, noise = unit_noise(10, 1, 4, 4), unit_noise(10, 1, 4, 4, seed=1)
    arguments = {"u": (torch.arange(10) + 0.5) / 10, "noise": noise}

    def nothing(x: Tensor, *_: object) -> Tensor:
        return torch.zeros_like(x)

    plain = Diffusion(schedule).loss(nothing, maps, NOBODY, **arguments)
    process = Diffusion(schedule, min_snr_gamma=5.0)
    torch.testing.assert_close(process.loss(nothing, maps, NOBODY, **arguments), process.weights * plain)


@pytest.mark.parametrize("total", [1, 2, 7, 50, 97])
def test_times_start_at_the_last_step_and_never_repeat(total: int):
    process = Diffusion(build_schedule("linear", total))
    for steps in range(1, total + 1):
        times = process.times(steps)
        assert len(times) == steps + 1
        assert times[0] == total - 1
        assert times[-1] == -1
        assert all(later < earlier for earlier, later in pairwise(times))
    assert process.times(total) == tuple(range(total - 1, -2, -1))


@pytest.mark.parametrize("steps", [0, -1, 11])
def test_refuses_steps_outside_its_range(steps: int):
    with pytest.raises(InputError, match=f"{steps} sampling steps.*10 timesteps.*1 to 10"):
        Diffusion(build_schedule("linear", 10)).times(steps)


def test_config_makes_the_process():
    config = Config.model_validate(
        {
            "diffusion": {
                "timesteps": 20,
                "schedule": "cosine",
                "prediction": "v",
                "zero_terminal_snr": True,
                "shift": 2.0,
            },
            "sampling": {"ddim_timesteps": 10},
            "training": {"loss_scales": -1.0},
        }
    )
    process = build_process(config)
    assert isinstance(process, Diffusion)
    assert (process.method, process.prediction, process.schedule.timesteps) == ("diffusion", "v", 20)
    assert process.terminal_snr == process.schedule.terminal_snr == 0
    assert process.scale_power == -1
    unshifted = build_schedule("cosine", 20, zero_terminal_snr=True)
    torch.testing.assert_close(process.schedule.snr, unshifted.snr / 4)


@pytest.mark.parametrize("settings", [{"prediction": "map"}, {"min_snr_gamma": 0.0}, {"min_snr_offset": -1.0}])
def test_refuses_unknown_settings(settings: dict[str, Any]):
    with pytest.raises(InputError, match=next(iter(settings))):
        Diffusion(build_schedule("linear", 10), **settings)
