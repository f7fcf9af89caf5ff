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
from focus_engine.generative.diffusion import Diffusion, Prediction
from focus_engine.generative.noise import build_schedule

GaussianField = Any  # the class in conftest.py, which tests cannot import
NOBODY = torch.zeros(1, 0)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_a_perfect_prediction_gives_back_map_and_noise(prediction: Prediction, unit_noise: Callable[..., Tensor]):
    process = Diffusion(build_schedule("cosine", 10), prediction)
    maps, noise = unit_noise(3, 1, 4, 4), unit_noise(3, 1, 4, 4, seed=1)
    for t in (0, 4, 9):
        a, s = process.scales(t)
        target = noise if prediction == "epsilon" else a * noise - s * maps
        parts = process.denoise(lambda *_, out=target: out, a * maps + s * noise, t, NOBODY)
        torch.testing.assert_close(parts.data, maps)
        torch.testing.assert_close(parts.noise, noise)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_parts_always_add_up_to_x(prediction: Prediction, unit_noise: Callable[..., Tensor]):
    process = Diffusion(build_schedule("linear", 20), prediction)
    x, output = unit_noise(2, 1, 4, 4), unit_noise(2, 1, 4, 4, seed=1)
    for t in (0, 10, 19):
        a, s = process.scales(t)
        parts = process.denoise(lambda *_: output, x, t, NOBODY)
        torch.testing.assert_close(a * parts.data + s * parts.noise, x)


def test_v_needs_no_signal_where_epsilon_does(unit_noise: Callable[..., Tensor]):
    schedule = build_schedule("linear", 10, zero_terminal_snr=True)
    x, output = unit_noise(1, 1, 4, 4), unit_noise(1, 1, 4, 4, seed=1)
    parts = Diffusion(schedule, "v").denoise(lambda *_: output, x, 9, NOBODY)
    torch.testing.assert_close(parts.data, -output)
    torch.testing.assert_close(parts.noise, x)
    with pytest.raises(InputError, match="needs prediction: v"):
        Diffusion(schedule, "epsilon")


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_loss_at_the_perfect_network_is_the_posterior_variance(
    prediction: Prediction, field: GaussianField, unit_noise: Callable[..., Tensor]
):
    process = Diffusion(build_schedule("linear", 10, 0.01, 0.3), prediction)
    network, count = field.network(process), 400
    maps, noise = field.draw(unit_noise(count, 1, 16, 16)), unit_noise(count, 1, 16, 16, seed=1)
    for t in (0, 5, 9):
        a, s = process.scales(t)
        # Per mode: Var(ε | x) = a² P / (a² P + s²), and v = (ε - s x)/a has 1/a² of it.
        expected = (a**2 * field.power / (a**2 * field.power + s**2)).mean()
        if prediction == "v":
            expected = expected / a**2
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


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_min_snr_bounds_the_weight_of_the_map(prediction: Prediction):
    schedule = build_schedule("linear")
    process = Diffusion(schedule, prediction, min_snr_gamma=5.0)
    # In units of the error of the map, ε weighs SNR and v weighs SNR + 1: the bound shows there.
    unit = schedule.snr if prediction == "epsilon" else schedule.snr + 1
    torch.testing.assert_close(process.weights * unit, schedule.snr.clamp(max=5.0))
    assert (Diffusion(schedule, prediction).weights == 1).all()


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
            "diffusion": {"timesteps": 20, "schedule": "cosine", "prediction": "v", "zero_terminal_snr": True},
            "sampling": {"ddim_timesteps": 10},
        }
    )
    process = build_process(config)
    assert isinstance(process, Diffusion)
    assert (process.method, process.prediction, process.schedule.timesteps) == ("diffusion", "v", 20)
    assert process.schedule.terminal_snr == 0


@pytest.mark.parametrize("settings", [{"prediction": "x0"}, {"min_snr_gamma": 0.0}])
def test_refuses_unknown_settings(settings: dict[str, Any]):
    with pytest.raises(InputError, match=next(iter(settings))):
        Diffusion(build_schedule("linear", 10), **settings)
