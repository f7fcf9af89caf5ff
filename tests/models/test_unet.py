"""What is the UNet's own: its groups, the gradient of its padding, and attention as an option."""

import pytest
import torch
from random_networks import inputs, random_network
from torch.nn.functional import pad

from focus_engine.config.load import parse_config
from focus_engine.errors import InputError
from focus_engine.models.build import build_network
from focus_engine.models.convolution import _WrapOnePixel
from focus_engine.models.unet import ResidualBlock, SimpleUNet, group_count

KEYS = {"cond_dim": 2, "base_channels": 8, "channel_mults": (1, 2, 2), "time_dim": 8}


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


def test_film_in_one_pass_agrees_with_norm_scale_and_shift():
    block = random_network(ResidualBlock, in_channels=8, out_channels=16, embedding_width=4)
    h = torch.randn(3, 16, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale, shift = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = block.norm_out(h) * (1 + scale)[:, :, None, None] + shift[:, :, None, None]
    torch.testing.assert_close(block._modulated(h, scale, shift), expected)


@pytest.mark.parametrize(
    ("levels", "places"),
    [
        (0, set()),
        (1, {"bottom.1", "bottom.3", "bottom.5"}),
        (2, {"bottom.1", "bottom.3", "bottom.5", "encoder.1", "decoder.0"}),
    ],
)
def test_attention_is_at_the_lowest_levels(levels: int, places: set[str]):
    names = SimpleUNet(**KEYS, attention_levels=levels, attention_heads=2).state_dict()
    found = {tuple(name.split("_attention.")) for name in names if "_attention." in name}
    assert {f"{path}.{rest.split('.')[0]}" for path, rest in found} == places


def test_without_attention_the_weights_are_those_of_earlier_versions():
    """A network with attention that is still the identity draws the same maps."""
    plain = random_network(SimpleUNet, **KEYS)
    more = SimpleUNet(**KEYS, attention_levels=2, attention_heads=2).double()
    missing, unexpected = more.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all("_attention." in name for name in missing)
    torch.testing.assert_close(more(*inputs(2, 1, 8, 8)), plain(*inputs(2, 1, 8, 8)))


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("attention_levels: 3", "model.unet.attention_levels is 3 but model.channel_mults has 2 levels"),
        ("attention_levels: 1, attention_heads: 5", "attention_heads is 5, but 4 x 5 does not divide 48"),
        ("attention_levels: 2, attention_heads: 12", "attention_heads is 12, but 4 x 12 does not divide 24"),
    ],
)
def test_attention_that_does_not_fit_is_refused(own: str, message: str, tmp_path):
    with pytest.raises(InputError, match=message):
        parse_config(f"model: {{base_channels: 24, channel_mults: [1, 2], unet: {{{own}}}}}", tmp_path)


def test_the_keys_reach_the_network(tmp_path):
    text = "model: {base_channels: 16, channel_mults: [1, 2], unet: {attention_levels: 1, attention_heads: 8}}"
    network = build_network(parse_config(text, tmp_path).config.model)
    assert network.bottom_attention[1].attention.heads == 8
