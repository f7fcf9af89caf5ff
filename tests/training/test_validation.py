"""The validation loss changes only when the weights do."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from focus_engine.data.batches import Batches
from focus_engine.generative.diffusion import Diffusion
from focus_engine.training.validation import DRAWS, Validation


class Recording:
    """A generative process that records each (map, u, noise) of its loss."""

    method = "diffusion"

    def __init__(self, process: Diffusion) -> None:
        self.process, self.u, self.noise = process, list[Tensor](), list[Tensor]()

    def loss(self, network: Any, maps: Tensor, cond: Tensor, *, u: Tensor, noise: Tensor, **more: Any) -> Tensor:
        self.u.append(u)
        self.noise.append(noise)
        return self.process.loss(network, maps, cond, u=u, noise=noise, **more)


@pytest.fixture
def network(tiny_network: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return tiny_network()


@pytest.fixture
def validation(batches: Callable[..., Batches], diffusion: Diffusion) -> Callable[..., Validation]:
    def make(batch_size: int = 4, seed: int = 0, process: Any = None) -> Validation:
        held_out = batches(batch_size, held_out=True)
        return Validation(held_out, process or diffusion, seed=seed, precision=nullcontext)

    return make


def test_the_same_weights_always_have_the_same_loss(validation: Callable[..., Validation], network: nn.Module):
    measure = validation()
    first = measure.losses(network)
    torch.manual_seed(7)
    torch.randn(5)
    assert measure.losses(network) == first == validation().losses(network)


def test_the_batch_size_changes_rounding_only(validation: Callable[..., Validation], network: nn.Module):
    losses = [validation(size).losses(network)[0] for size in (1, 3, 4)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_another_seed_measures_with_other_noise(validation: Callable[..., Validation], network: nn.Module):
    assert validation(seed=1).losses(network) != validation(seed=0).losses(network)


def test_times_are_the_midpoints_of_equal_strata(
    validation: Callable[..., Validation], network: nn.Module, diffusion: Diffusion
):
    process = Recording(diffusion)
    validation(process=process).losses(network)
    u = torch.cat(process.u)
    assert len(u) == DRAWS
    torch.testing.assert_close(u.sort().values, (torch.arange(DRAWS) + 0.5) / DRAWS)
    noise = torch.cat(process.noise)
    assert len({tuple(one.flatten().tolist()) for one in noise}) == DRAWS
    assert noise.mean().abs() < 0.05
    assert (noise.std() - 1).abs() < 0.05


def test_each_map_meets_early_and_late_times(
    validation: Callable[..., Validation], network: nn.Module, diffusion: Diffusion
):
    process = Recording(diffusion)
    validation(process=process).losses(network)
    times = defaultdict(list)
    for u in process.u:
        for place, value in enumerate(u.tolist()):
            times[place].append(value)
    assert all(min(seen) < 0.2 and max(seen) > 0.8 for seen in times.values())


def test_networks_are_measured_on_the_same_triples(
    validation: Callable[..., Validation], network: nn.Module, tiny_network: type[nn.Module]
):
    other = tiny_network()
    together = validation().losses(network, other)
    assert together == (*validation().losses(network), *validation().losses(other))
    assert together[0] != together[1]


def test_no_gradient_is_kept(validation: Callable[..., Validation], network: nn.Module):
    validation().losses(network)
    assert all(weights.grad is None for weights in network.parameters())


def test_it_can_be_cut_short(validation: Callable[..., Validation], network: nn.Module):
    asked = iter([False, True])
    assert validation().losses(network, cut_short=lambda: next(asked)) is None
