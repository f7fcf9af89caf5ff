"""The fused layers against float64 formulas of the same layers: on a GPU, or in Triton's interpreter on a CPU.

The interpreter needs `pip install triton`, which is not among the tools of development: 190 MB for this one file.
tests/training/test_gpu.py compares whole networks.
"""

import importlib.util
import os

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from focus_engine.models import fused, pixel_passes
from focus_engine.models.unet import SimpleUNet
from focus_engine.training.state import _lay_out_as_weights

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")


@pytest.fixture
def kernels(monkeypatch):
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    if not GPU:
        if os.environ.get("TRITON_INTERPRET") != "1":
            pytest.skip("no GPU, and TRITON_INTERPRET=1 is not set")
        monkeypatch.setattr(pixel_passes, "PROGRAMS", 4)


def wrap(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode="circular")


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.detach().cpu().double() - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    ("below", "channels", "height", "width", "groups", "biased"),
    [(0, 16, 8, 8, 4, True), (16, 8, 8, 12, 3, False), (0, 24, 6, 4, 3, False), (256, 128, 4, 4, 32, False)],
    ids=["bias", "upsampled", "rectangle", "groups across both"],
)
@pytest.mark.usefixtures("kernels")
def test_padded_activation(below, channels, height, width, groups, biased):
    every = below + channels
    exact = {"x": 2 * drawn(2, channels, height, width) + 3, "scale": drawn(2, every), "shift": drawn(2, every)}
    if below:
        exact["low"] = drawn(2, below, height // 2, width // 2)
    if biased:
        exact["bias"] = drawn(channels)
    rounded = {name: one.float().to(DEVICE).requires_grad_() for name, one in exact.items()}
    for one in exact.values():
        one.requires_grad_()
    y = exact["x"] + (exact["bias"][:, None, None] if biased else 0)
    y = torch.cat((F.interpolate(exact["low"], scale_factor=2), y), 1) if below else y
    normed = F.group_norm(y, groups, eps=1e-5) * exact["scale"][..., None, None] + exact["shift"][..., None, None]
    expected = wrap(F.silu(normed))
    found, x, low = fused.padded_activation(**rounded, groups=groups, eps=1e-5)
    weights, more, most = drawn(*expected.shape), drawn(*y.shape)[:, below:], drawn(2, max(1, below), height, width)
    total = (expected * weights).sum() + (exact["x"] * more).sum()
    mine = (found * weights.to(found)).sum() + (x * more.to(found)).sum()
    if below:
        most = most[:, :, : height // 2, : width // 2]
        total, mine = total + (exact["low"] * most).sum(), mine + (low * most.to(found)).sum()
    total.backward()
    mine.backward()
    assert relative_error(found, expected.detach()) < 1e-6
    for name, one in exact.items():
        assert relative_error(rounded[name].grad, one.grad) < 1e-5, name


@pytest.mark.usefixtures("kernels")
def test_wrapped():
    x, weights = drawn(2, 6, 4, 8).float().to(DEVICE).requires_grad_(), drawn(2, 6, 6, 10).float().to(DEVICE)
    found = fused.wrapped(x)
    assert torch.equal(found, wrap(x))
    (gradient,) = torch.autograd.grad(found, x, weights)
    (expected,) = torch.autograd.grad(wrap(x), x, weights)
    assert relative_error(gradient, expected.cpu().double()) < 1e-6


@pytest.mark.parametrize("has_low", [False, True])
@pytest.mark.usefixtures("kernels")
def test_joined(has_low):
    given = [drawn(2, 12, 8, 4), drawn(2, 12, 8, 4), drawn(12), *[drawn(2, 12, 4, 2)] * has_low]
    given = [one.float().to(DEVICE).requires_grad_() for one in given]
    a, b, bias, *low = given
    found = fused.joined(a, b, bias, *low)
    expected = a + b + bias[:, None, None] + sum(F.interpolate(one, scale_factor=2) for one in low)
    weights = drawn(2, 12, 8, 4).to(found)
    assert relative_error(found, expected.detach().cpu().double()) < 1e-6
    for mine, theirs in zip(
        torch.autograd.grad(found, given, weights), torch.autograd.grad(expected, given, weights), strict=True
    ):
        assert relative_error(mine, theirs.cpu().double()) < 1e-6


@pytest.mark.usefixtures("kernels")
def test_the_network_is_the_same_fused_and_not(monkeypatch):
    torch.manual_seed(0)
    network = SimpleUNet(cond_dim=2, base_channels=8, channel_mults=(1, 2), time_dim=8).to(DEVICE)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    inputs = torch.randn(1, 1, 4, 4, device=DEVICE), torch.rand(1, device=DEVICE), torch.randn(1, 2, device=DEVICE)
    with torch.no_grad():
        expected = network(*inputs)
        monkeypatch.setattr(fused, "usable", lambda x: min(x.shape[-2:]) > 1)
        found = network.to(memory_format=torch.channels_last)(*inputs)
    assert relative_error(found, expected.cpu().double()) < (1e-2 if GPU else 1e-5)  # TF32


@pytest.mark.usefixtures("kernels")
def test_a_device_is_tried_in_the_middle_of_sampling():
    with torch.inference_mode():
        fused._try(DEVICE, torch.float32)
        fused._try(DEVICE, torch.bfloat16)


def test_on_a_cpu_nothing_is_fused():
    network = SimpleUNet(cond_dim=2, base_channels=8, channel_mults=(1, 2), time_dim=8)
    with fused.always():
        assert not fused.usable(torch.zeros(1, 8, 4, 4))
    assert not fused.fuses(network, torch.device("cpu"))
    placed = fused.placed(network, torch.device("cpu"), precision="bf16")
    assert all(weights.is_contiguous() for weights in placed.parameters())
    last = fused.placed(network, torch.device("cpu"), precision="float32").bottom[0].conv_in.weight
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # of torch, by its compiler
def test_the_network_is_compiled_in_one_piece():
    network = SimpleUNet(cond_dim=2, base_channels=8, channel_mults=(1,), time_dim=8)
    network.bottom = network.bottom[:1]
    network.bottom_attention = network.bottom_attention[:1]
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    inputs = torch.randn(1, 1, 4, 4), torch.rand(1), torch.randn(1, 2)
    assert torch.equal(compiled(*inputs), network(*inputs))


def test_moments_that_were_saved_in_another_layout_go_on_in_that_of_their_weights():
    weights = torch.nn.Parameter(torch.randn(3, 2, 3, 3).to(memory_format=torch.channels_last))
    weights.grad = torch.randn(3, 2, 3, 3).to(memory_format=torch.channels_last)
    before = torch.optim.AdamW([weights], fused=True)
    before.step()
    saved = before.state_dict()
    saved["state"][0] = {name: value.contiguous() for name, value in saved["state"][0].items()}
    after = torch.optim.AdamW([weights], fused=True)
    after.load_state_dict(saved)
    _lay_out_as_weights(after)
    moment = after.state[weights]["exp_avg"]
    assert moment.stride() == weights.stride()
    assert torch.equal(moment, before.state[weights]["exp_avg"])
    after.step()
