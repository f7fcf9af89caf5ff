"""Properties of the UNet: periodicity, conditioning, sizes, and the gradient of its padding."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from focus_engine.errors import InputError
from focus_engine.models.embeddings import sinusoidal_embedding
from focus_engine.models.unet import SimpleUNet, _WrapOnePixel, group_count


def random_unet(seed: int = 0, **keys: object) -> SimpleUNet:
    """Return a float64 network without zero weights, as after training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SimpleUNet(**{"cond_dim": 2, "base_channels": 8, "channel_mults": (1, 2, 2), "time_dim": 8, **keys})
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return network.double().eval()


def inputs(*shape: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    time = torch.rand(shape[0], generator=generator, dtype=torch.float64)
    cond = torch.randn(shape[0], 2, generator=generator, dtype=torch.float64)
    return x, time, cond


@pytest.mark.parametrize("shift", [(4, 0), (0, 8), (-4, 12)])
def test_commutes_with_shifts_by_its_stride(shift: tuple[int, int]):
    network = random_unet()
    x, time, cond = inputs(2, 1, 12, 16)
    with torch.no_grad():
        shifted_in = network(x.roll(shift, (2, 3)), time, cond)
        shifted_out = network(x, time, cond).roll(shift, (2, 3))
    assert shifted_out.std() > 1e-3
    torch.testing.assert_close(shifted_in, shifted_out, rtol=0, atol=1e-11)


def test_does_not_commute_with_smaller_shifts():
    network = random_unet()
    x, time, cond = inputs(1, 1, 16, 16)
    with torch.no_grad():
        difference = network(x.roll(1, 2), time, cond) - network(x, time, cond).roll(1, 2)
    assert difference.abs().max() > 1e-6


def test_output_is_zero_before_training():
    network = SimpleUNet(cond_dim=2, base_channels=8, channel_mults=(1, 2), time_dim=8)
    assert network(torch.randn(3, 1, 8, 8), torch.rand(3), torch.randn(3, 2)).abs().max() == 0


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 20), (12, 4)])
def test_accepts_any_size_that_its_stride_divides(height: int, width: int):
    x, time, cond = inputs(2, 1, height, width)
    assert random_unet()(x, time, cond).shape == (2, 1, height, width)


@pytest.mark.parametrize(("height", "width"), [(30, 32), (32, 6)])
def test_refuses_other_sizes_naming_the_stride(height: int, width: int):
    x, time, cond = inputs(1, 1, height, width)
    with pytest.raises(InputError, match=f"{height} × {width} pixels.*multiples of 4"):
        random_unet()(x, time, cond)


def test_no_condition_is_a_token_and_not_the_zero_vector():
    network = random_unet()
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


def test_the_token_learns_only_from_unconditional_rows():
    network = random_unet()
    x, time, cond = inputs(2, 1, 8, 8)
    network(x, time, cond, torch.tensor([False, False])).sum().backward()
    assert network.embedding.no_condition.grad.abs().max() == 0
    network(x, time, cond, torch.tensor([False, True])).sum().backward()
    assert network.embedding.no_condition.grad.abs().max() > 0


def test_time_and_condition_reach_every_map():
    network = random_unet()
    x, time, cond = inputs(1, 1, 8, 8)
    base = network(x, time, cond)
    assert (network(x, 1 - time, cond) - base).abs().max() > 1e-3
    assert (network(x, time, cond + 1) - base).abs().max() > 1e-3


def test_works_without_any_condition():
    network = random_unet(cond_dim=0)
    x, time, _ = inputs(2, 1, 8, 8)
    assert network(x, time, x.new_zeros(2, 0), torch.tensor([True, False])).shape == x.shape


def test_bf16_autocast_stays_close_to_float32():
    network = random_unet().float()
    x, time, cond = (value.float() for value in inputs(4, 1, 16, 16))
    with torch.no_grad():
        exact = network(x, time, cond)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(x, time, cond)
    assert (rounded.float() - exact).std() < 0.05 * exact.std()


@pytest.mark.parametrize(
    ("channels", "groups"), [(7, 1), (8, 1), (16, 2), (20, 2), (24, 3), (32, 4), (128, 16), (1024, 32), (1000, 25)]
)
def test_groups_divide_the_channels(channels: int, groups: int):
    assert group_count(channels) == groups


def test_odd_base_channels_work():
    network = SimpleUNet(cond_dim=2, base_channels=10, channel_mults=(1, 3), time_dim=2)
    assert network(torch.randn(1, 1, 4, 4), torch.rand(1), torch.randn(1, 2)).shape == (1, 1, 4, 4)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 2), (1, 2, 1, 1)])
def test_own_padding_agrees_with_torch(shape: tuple[int, ...]):
    x = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(_WrapOnePixel.apply(x), pad(x, (1, 1, 1, 1), mode="circular"))
    assert torch.autograd.gradcheck(_WrapOnePixel.apply, (x,))


def test_sinusoidal_embedding_spans_its_periods():
    embedded = sinusoidal_embedding(torch.tensor([0.0, 0.001]), 6)
    torch.testing.assert_close(embedded[0], torch.tensor([0.0, 0, 0, 1, 1, 1]))
    expected = torch.tensor([1.0, 1e-2, 1e-4])
    torch.testing.assert_close(embedded[1], torch.cat((expected.sin(), expected.cos())))
