"""The moving average: a table of its warm-up, its closed form, and exact resuming."""

from pathlib import Path

import pytest
import torch
from torch import nn

from focus_engine.errors import InputError
from focus_engine.models.ema import ExponentialAverage


@pytest.mark.parametrize(
    ("updates", "kept"), [(0, 0.1), (1, 2 / 11), (2, 0.25), (10, 0.55), (80, 0.9), (82, 0.9), (10_000, 0.9)]
)
def test_warm_up_follows_its_law(updates: int, kept: float):
    average = ExponentialAverage(nn.Linear(1, 1), decay=0.9)
    average.updates = updates
    assert average.next_decay() == pytest.approx(kept)


def test_averages_as_a_plain_sum_does():
    network = nn.Linear(3, 2)
    average = ExponentialAverage(network, decay=0.8)
    expected = network.weight.detach().clone()
    for n in range(30):
        with torch.no_grad():
            network.weight.add_(torch.randn(2, 3))
        average.update(network)
        decay = min(0.8, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * network.weight.detach()
    torch.testing.assert_close(average.module.weight, expected)
    assert average.updates == 30


def test_no_decay_copies_the_network():
    network = nn.Linear(3, 2)
    average = ExponentialAverage(network, decay=0.0)
    with torch.no_grad():
        network.weight.add_(1.0)
    average.update(network)
    assert torch.equal(average.module.weight, network.weight)


def test_stands_apart_from_the_network_it_follows():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = ExponentialAverage(network)
    assert not average.module.training
    assert not any(p.requires_grad for p in average.module.parameters())
    before = average.module[0].weight.clone()
    network(torch.randn(8, 2)).sum().backward()
    torch.optim.SGD(network.parameters(), lr=1.0).step()
    assert torch.equal(average.module[0].weight, before)
    average.update(network)
    assert torch.equal(average.module[1].running_mean, network[1].running_mean)
    assert network.training


def test_resumes_bit_for_bit(tmp_path: Path):
    torch.manual_seed(0)
    network = nn.Linear(4, 4)
    straight, resumed = ExponentialAverage(network, 0.99), ExponentialAverage(network, 0.99)
    steps = [torch.randn(4, 4) for _ in range(10)]

    def train(average: ExponentialAverage, changes: list[torch.Tensor]) -> None:
        for change in changes:
            with torch.no_grad():
                network.weight.add_(change)
            average.update(network)

    train(straight, steps[:5])
    torch.save(straight.state_dict(), tmp_path / "ema.pt")
    middle = network.weight.detach().clone()
    train(straight, steps[5:])
    with torch.no_grad():
        network.weight.copy_(middle)
    resumed.load_state_dict(torch.load(tmp_path / "ema.pt", weights_only=True))
    train(resumed, steps[5:])
    assert torch.equal(straight.module.weight, resumed.module.weight)
    assert straight.updates == resumed.updates == 10


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_refuses_a_decay_outside_its_range(decay: float):
    with pytest.raises(InputError, match="ema_decay"):
        ExponentialAverage(nn.Linear(1, 1), decay)
