"""Power-function averages: their closed form, the paper's formulas, and averages rebuilt from snapshots."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from focus_engine.errors import InputError
from focus_engine.models.power_average import LENGTHS, LONGEST, PowerAverages, gamma_of, reconstruct


def averaged(trajectory: np.ndarray, gamma: float) -> np.ndarray:
    """Return the average after each step of `trajectory` (steps, n), from the profile's integrals."""
    edges = np.arange(len(trajectory) + 1) ** (gamma + 1)
    return np.cumsum(np.diff(edges)[:, None] * trajectory, axis=0) / edges[1:, None]


@pytest.mark.parametrize("length", [0.01, 0.05, 0.1, 0.2, 0.28, LONGEST])
def test_gamma_gives_the_length_back(length: float):
    gamma = gamma_of(length)
    assert math.sqrt(gamma + 1) / ((gamma + 2) * math.sqrt(gamma + 3)) == pytest.approx(length)


def test_the_lengths_of_the_paper_have_its_gammas():
    assert [gamma_of(0.05), gamma_of(0.10)] == pytest.approx([16.97, 6.94], abs=5e-3)


@pytest.mark.parametrize("length", [0.0, -0.1, 0.289, math.nan])
def test_a_length_outside_the_family_is_refused(length: float):
    with pytest.raises(InputError, match=r"above 0, at most 0\.288"):
        gamma_of(length)


@pytest.mark.parametrize("power", [0, 1, 2])
def test_weights_that_grow_as_a_power_have_the_closed_form(power: int):
    """The average of t^k is T^k (gamma + 1) / (gamma + k + 1), up to the width of a step."""
    network = nn.Linear(1, 1, bias=False).double()
    averages, steps = PowerAverages(network), 4000
    for step in range(1, steps + 1):
        with torch.no_grad():
            network.weight.fill_(((step - 0.5) / steps) ** power)
        averages.update(network)
    for length, weights in zip(LENGTHS, averages.weights, strict=True):
        gamma = gamma_of(length)
        assert float(weights["weight"]) == pytest.approx((gamma + 1) / (gamma + power + 1), abs=1e-5)


def test_each_step_agrees_with_the_profile():
    torch.manual_seed(0)
    network = nn.Linear(2, 1).double()
    trajectory, averages = torch.randn(30, 2, dtype=torch.float64).cumsum(0).numpy(), PowerAverages(network)
    for step, weights in enumerate(trajectory):
        with torch.no_grad():
            network.weight.copy_(torch.from_numpy(weights)[None])
        averages.update(network)
        for length, kept in zip(LENGTHS, averages.weights, strict=True):
            np.testing.assert_allclose(kept["weight"][0].numpy(), averaged(trajectory, gamma_of(length))[step])


def test_it_resumes_bit_for_bit():
    torch.manual_seed(0)
    network = nn.Linear(4, 4)
    straight, resumed = PowerAverages(network), PowerAverages(network)
    for step in range(9):
        with torch.no_grad():
            network.weight.add_(torch.randn(4, 4))
        straight.update(network)
        if step == 4:
            resumed.load_state_dict(straight.state_dict())
        elif step > 4:
            resumed.update(network)
    assert all(
        torch.equal(one[name], other[name])
        for one, other in zip(straight.weights, resumed.weights, strict=True)
        for name in one
    )
    assert straight.updates == resumed.updates == 9


def rebuilt(trajectory: np.ndarray, snapshots: int, length: float) -> tuple[np.ndarray, float]:
    """Return the average of `length` at the end from evenly spaced snapshots, and the error of its profile."""
    steps = [len(trajectory) * (number + 1) // snapshots for number in range(snapshots) for _ in LENGTHS]
    lengths = list(LENGTHS) * snapshots
    kept = {one: averaged(trajectory, gamma_of(one)) for one in LENGTHS}
    found = reconstruct(steps, lengths, len(trajectory), length)
    assert found.coefficients.sum() == pytest.approx(1)
    parts = zip(found.coefficients, steps, lengths, strict=True)
    return sum(factor * kept[one][step - 1] for factor, step, one in parts), found.error


@pytest.mark.parametrize(
    ("snapshots", "length", "bound"),
    [(32, 0.07, 2e-3), (32, 0.03, 1e-2), (32, 0.2, 1e-2), (8, 0.07, 2e-2), (4, 0.07, 5e-2), (4, 0.12, 5e-2)],
)
def test_a_random_walk_is_averaged_as_if_it_had_been_followed(snapshots: int, length: float, bound: float):
    """The bound is on the rms error over the rms distance of the average from the last weights."""
    steps = np.random.default_rng(0).normal(size=(3200, 400))
    trajectory = np.cumsum(steps, axis=0)
    wanted = averaged(trajectory, gamma_of(length))[-1]
    found, error = rebuilt(trajectory, snapshots, length)
    lag = np.sqrt(np.mean((wanted - trajectory[-1]) ** 2))
    assert np.sqrt(np.mean((found - wanted) ** 2)) < bound * lag
    assert error < 0.05


def test_weights_that_stand_still_are_their_own_average_from_any_snapshots():
    """Without the coefficients' sum of 1, four snapshots would shrink them by 4 %."""
    found, _ = rebuilt(np.full((400, 1), 7.0), 4, 0.15)
    assert found == pytest.approx([7.0])


@pytest.mark.parametrize(("length", "kept"), [(0.05, 0), (0.1, 1)])
def test_a_kept_average_is_itself(length: float, kept: int):
    found = reconstruct([100, 100], LENGTHS, 100, length)
    assert found.coefficients == pytest.approx(np.eye(2)[kept], abs=1e-9)
    assert found.error < 1e-6


def test_many_snapshots_give_the_coefficients_of_the_paper():
    """Without the constraint, algorithm 3 of 2312.02696 as it stands there."""

    def product(t_a, gamma_a, t_b, gamma_b):
        ratio = t_a / t_b
        exponent = np.where(t_a < t_b, gamma_b, -gamma_a)
        return (gamma_a + 1) * (gamma_b + 1) * ratio**exponent / ((gamma_a + gamma_b + 1) * np.maximum(t_a, t_b))

    steps, lengths = np.repeat(np.arange(1, 33), 2), list(LENGTHS) * 32
    times, gammas = steps / 32, np.array([gamma_of(one) for one in lengths])
    matrix = product(times[:, None], gammas[:, None], times[None], gammas[None])
    paper = np.linalg.solve(matrix, product(times, gammas, 1.0, gamma_of(0.07)))
    assert reconstruct(list(steps), lengths, 32, 0.07).coefficients == pytest.approx(paper, abs=1e-4)


def test_a_length_far_from_the_kept_ones_has_a_large_error():
    errors = [reconstruct([50, 50, 100, 100], list(LENGTHS) * 2, 100, length).error for length in (0.07, 0.02, 0.25)]
    assert errors[0] < 0.05 < min(errors[1:])
