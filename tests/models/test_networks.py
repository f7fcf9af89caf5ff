"""Properties of every network: periodicity, conditioning, sizes, gradients."""

from collections.abc import Callable

import pytest
import torch
from random_networks import inputs, random_network
from torch import nn

from focus_engine.config.networks import NETWORKS
from focus_engine.errors import InputError
from focus_engine.models.embeddings import sinusoidal_embedding
from focus_engine.models.transformer import TorusTransformer
from focus_engine.models.unet import SimpleUNet

UNET = {"cond_dim": 2, "base_channels": 8, "channel_mults": (1, 2, 2), "time_dim": 8}
TRANSFORMER = {"cond_dim": 2, "time_dim": 8, "patch": 2, "width": 16, "depth": 2, "heads": 2, "mlp_ratio": 2}
CASES = {
    "UNet": (SimpleUNet, UNET),
    "UNet with attention": (SimpleUNet, UNET | {"attention_levels": 1, "attention_heads": 2}),
    "UNet with more attention": (SimpleUNet, UNET | {"attention_levels": 3, "attention_heads": 2}),
    "DiT": (TorusTransformer, TRANSFORMER),
    "Swin": (TorusTransformer, TRANSFORMER | {"window": 2}),
}
"""Networks whose stride is 4, of the DiT 2."""
Make = Callable[..., nn.Module]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[type[nn.Module], dict]:
    return CASES[request.param]


@pytest.fixture
def make(case: tuple[type[nn.Module], dict]) -> Make:
    """Make the network of the case, with random weights."""
    return lambda **keys: random_network(case[0], **{**case[1], **keys})


def test_the_cases_cover_the_table():
    paths = {spec.path for spec in NETWORKS.values()}
    assert paths == {f"{made.__module__}:{made.__name__}" for made, _ in CASES.values()}


@pytest.mark.parametrize("shift", [(4, 0), (0, 8), (-4, 12)])
def test_commutes_with_shifts_by_its_stride(make: Make, shift: tuple[int, int]):
    network = make()
    shift = tuple(one * network.stride // 4 for one in shift)
    x, time, cond = inputs(2, 1, 12, 16)
    with torch.no_grad():
        shifted_in = network(x.roll(shift, (2, 3)), time, cond)
        shifted_out = network(x, time, cond).roll(shift, (2, 3))
    assert shifted_out.std() > 1e-3
    torch.testing.assert_close(shifted_in, shifted_out, rtol=1e-10, atol=1e-11)


def test_does_not_commute_with_smaller_shifts(make: Make):
    network = make()
    x, time, cond = inputs(1, 1, 16, 16)
    with torch.no_grad():
        difference = network(x.roll(1, 2), time, cond) - network(x, time, cond).roll(1, 2)
    assert difference.abs().max() > 1e-6


def test_output_is_zero_before_training(case: tuple[type[nn.Module], dict]):
    network = case[0](**case[1])
    assert network(torch.randn(3, 1, 8, 8), torch.rand(3), torch.randn(3, 2)).abs().max() == 0


def test_the_gradient_reaches_every_parameter(make: Make):
    network = make()
    x, time, cond = inputs(2, 1, 8, 8)
    network(x, time, cond, torch.tensor([True, False])).square().sum().backward()
    assert [name for name, one in network.named_parameters() if one.grad is None or not one.grad.abs().max() > 0] == []


def test_an_untrained_network_learns_in_every_parameter(case: tuple[type[nn.Module], dict]):
    """No zero weight stays zero for want of a gradient behind another."""
    network = case[0](**case[1])
    before = {name: one.detach().clone() for name, one in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    x, time, cond = (value.float() for value in inputs(2, 1, 8, 8))
    for _ in range(6):
        optimizer.zero_grad()
        (network(x, time, cond, torch.tensor([True, False])) - x).square().mean().backward()
        optimizer.step()
    assert [name for name, one in network.named_parameters() if torch.equal(one, before[name])] == []


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 20), (12, 4)])
def test_accepts_any_size_that_its_stride_divides(make: Make, height: int, width: int):
    x, time, cond = inputs(2, 1, height, width)
    assert make()(x, time, cond).shape == (2, 1, height, width)


@pytest.mark.parametrize(("height", "width"), [(31, 32), (32, 7)])
def test_refuses_other_sizes_naming_the_stride(make: Make, height: int, width: int):
    x, time, cond = inputs(1, 1, height, width)
    network = make()
    with pytest.raises(InputError, match=f"{height} × {width} pixels.*multiples of {network.stride}, or .* model\\."):
        network(x, time, cond)


def test_several_fields(make: Make):
    x, time, cond = inputs(2, 3, 8, 8)
    network = make(in_channels=3, out_channels=3)
    with torch.no_grad():
        base, other = network(x, time, cond), network(x + torch.tensor([0, 0, 1.0])[:, None, None], time, cond)
    assert base.shape == x.shape
    assert ((other - base).abs().amax((0, 2, 3)) > 1e-6).all()


def test_no_condition_is_a_token_and_not_the_zero_vector(make: Make):
    network = make()
    x, time, cond = inputs(3, 1, 8, 8)
    unconditional = torch.ones(3, dtype=torch.bool)
    with torch.no_grad():
        token = network(x, time, cond, unconditional)
        zero = network(x, time, torch.zeros_like(cond))
        mixed = network(x, time, cond, torch.tensor([True, False, True]))
        torch.testing.assert_close(token, network(x, time, cond + 3, unconditional))
        torch.testing.assert_close(mixed[[0, 2]], token[[0, 2]])
        torch.testing.assert_close(mixed[1], network(x, time, cond, ~unconditional)[1])
    assert (token - zero).abs().max() > 1e-3


def test_the_token_learns_only_from_unconditional_rows(make: Make):
    network = make()
    x, time, cond = inputs(2, 1, 8, 8)
    network(x, time, cond, torch.tensor([False, False])).sum().backward()
    assert network.embedding.no_condition.grad.abs().max() == 0
    network(x, time, cond, torch.tensor([False, True])).sum().backward()
    assert network.embedding.no_condition.grad.abs().max() > 0


def test_time_and_condition_reach_every_map(make: Make):
    network = make()
    x, time, cond = inputs(1, 1, 8, 8)
    base = network(x, time, cond)
    assert (network(x, 1 - time, cond) - base).abs().max() > 1e-3
    assert (network(x, time, cond + 1) - base).abs().max() > 1e-3


def test_works_without_any_condition(make: Make):
    network = make(cond_dim=0)
    x, time, _ = inputs(2, 1, 8, 8)
    assert network(x, time, x.new_zeros(2, 0), torch.tensor([True, False])).shape == x.shape


def test_bf16_autocast_stays_close_to_float32(make: Make):
    network = make().float()
    x, time, cond = (value.float() for value in inputs(4, 1, 16, 16))
    with torch.no_grad():
        exact = network(x, time, cond)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(x, time, cond)
    assert (rounded.float() - exact).std() < 0.05 * exact.std()


def test_bf16_autocast_has_gradients(make: Make):
    network = make().float()
    x, time, cond = (value.float() for value in inputs(2, 1, 8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        loss = network(x, time, cond).float().square().mean()
    loss.backward()
    assert all(one.grad is None or one.grad.isfinite().all() for one in network.parameters())


def test_hidden_matrices_exclude_the_layers_that_it_names(make: Make):
    layers = {name for name, _ in make().named_modules()}
    assert set(make().outer_layers) <= layers


def test_sinusoidal_embedding_spans_its_periods():
    embedded = sinusoidal_embedding(torch.tensor([0.0, 0.001]), 6)
    torch.testing.assert_close(embedded[0], torch.tensor([0.0, 0, 0, 1, 1, 1]))
    expected = torch.tensor([1.0, 1e-2, 1e-4])
    torch.testing.assert_close(embedded[1], torch.cat((expected.sin(), expected.cos())))
