"""Copies of networks for sampling on a CPU."""

import copy

import pytest
import torch
from torch import nn

from focus_engine.models.inference import for_inference
from focus_engine.models.transformer import TorusTransformer
from focus_engine.models.unet import SimpleUNet

NETWORKS = {
    "unet": lambda: SimpleUNet(
        cond_dim=2, base_channels=8, channel_mults=(1, 2), attention_levels=1, attention_heads=2
    ),
    "swin": lambda: TorusTransformer(cond_dim=2, patch=2, width=16, depth=2, heads=2, window=2),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("bf16", [False, True])
def test_a_copy_for_inference_gives_the_same_maps(name: str, *, bf16: bool):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval().requires_grad_(requires_grad=False)
    for weight in network.parameters():  # layers that begin at zero would hide the others
        weight.add_(0.05 * torch.randn_like(weight))
    before = copy.deepcopy(network.state_dict())
    inputs = torch.randn(3, 1, 8, 8), torch.rand(3), torch.randn(3, 2)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        made = for_inference(network)
        found = made(*inputs)
        cast_each_time = copy.deepcopy(network).to(memory_format=torch.channels_last)(*inputs)
        wanted = network(*inputs)
    assert torch.equal(found, cast_each_time)  # the conversion of the weights changes nothing
    assert (found - wanted).float().abs().max() < (0.05 if bf16 else 1e-5) * wanted.float().abs().max()
    kinds = {layer.weight.dtype for layer in made.modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    assert kinds == {torch.bfloat16 if bf16 else torch.float32}
    for key, value in network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[key])
        assert value.stride() == before[key].stride()
