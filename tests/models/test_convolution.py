"""The convolution on the torus: the same numbers in both memory formats, without a copy between them."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from focus_engine.models.convolution import CircularConv, wrap_one_pixel
from focus_engine.models.unet import SimpleUNet

FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("memory_format", FORMATS)
def test_padding_is_that_of_torch_and_keeps_the_memory_format(memory_format: torch.memory_format):
    x = torch.randn(2, 3, 4, 6).contiguous(memory_format=memory_format)
    padded = wrap_one_pixel(x)
    assert torch.equal(padded, F.pad(x, (1, 1, 1, 1), mode="circular"))
    assert padded.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_values_and_gradients_are_those_of_torch_and_keep_the_memory_format(
    memory_format: torch.memory_format, stride: int, *, active: bool
):
    layer = CircularConv(3, 5, stride).double()
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    inputs = (x, layer.weight, layer.bias)
    found = layer(x, active=active)
    own = F.conv2d(F.pad(F.silu(x) if active else x, (1, 1, 1, 1), mode="circular"), layer.weight, layer.bias, stride)
    torch.testing.assert_close(found, own)
    with torch.no_grad():
        assert torch.equal(layer(x, active=active), found)
    upstream = torch.randn_like(own)  # must stay as it is: others may hold it
    before = upstream.clone()
    gradients = torch.autograd.grad(found, inputs, upstream)
    torch.testing.assert_close(gradients, torch.autograd.grad(own, inputs, upstream))
    assert torch.equal(upstream, before)
    assert gradients[0].is_contiguous(memory_format=memory_format)


def test_under_autocast_values_and_gradients_are_those_of_the_parts():
    layer, x = CircularConv(8, 8), torch.randn(2, 8, 4, 6).to(memory_format=torch.channels_last).requires_grad_()
    inputs = (x, layer.weight, layer.bias)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x, active=True)
        own = F.conv2d(F.pad(F.silu(x), (1, 1, 1, 1), mode="circular"), layer.weight, layer.bias)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, own)
    gradients = torch.autograd.grad(found.float().sum(), inputs)
    assert [one.dtype for one in gradients] == [torch.float32] * 3
    torch.testing.assert_close(gradients, torch.autograd.grad(own.float().sum(), inputs), rtol=0.02, atol=0.02)


def test_a_network_gives_the_same_in_both_memory_formats():
    torch.manual_seed(0)
    network = SimpleUNet(cond_dim=2, base_channels=8, channel_mults=(1, 2), time_dim=16).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, time, cond = torch.randn(3, 1, 8, 8).double(), torch.rand(3).double(), torch.randn(3, 2).double()
    expected = network(x, time, cond)
    network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x, time, cond), expected)
