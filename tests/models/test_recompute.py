"""Blocks that are recomputed: the same gradients from less memory, with parts, ranks and compiled code."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from focus_engine.models.batch_parts import WHOLE, BatchParts
from focus_engine.models.recompute import RecomputedBlock, recompute, recomputed_blocks
from focus_engine.models.transformer import TorusTransformer
from focus_engine.models.unet import SimpleUNet

SHARED = {"cond_dim": 2, "time_dim": 8}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "unet": lambda: SimpleUNet(**SHARED, base_channels=8, channel_mults=(1, 2), attention_levels=2, attention_heads=2),
    "dit": lambda: TorusTransformer(**SHARED, patch=2, width=16, depth=4, heads=2),
    "swin": lambda: TorusTransformer(**SHARED, patch=2, width=16, depth=4, heads=2, window=2),
}
BATCH = tuple(torch.randn(4, *shape, generator=torch.Generator().manual_seed(1)) for shape in ((1, 8, 8), (), (2,)))


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    for one in network.parameters():  # gates and the head are zero at first: nothing would have a gradient
        nn.init.normal_(one, std=0.2)
    return network


def loss(network: nn.Module, part: slice = slice(None)) -> Tensor:
    x, time, cond = (one[part] for one in BATCH)
    return network(x, time.sigmoid(), cond, cond[:, 0] > 0).square().sum()


def gradients(network: nn.Module, parts: BatchParts = WHOLE) -> list[list[Tensor]]:
    weights = list(network.parameters())
    return parts.map(lambda part: list(torch.autograd.grad(loss(network, part), weights)), len(BATCH[0]))


def kept(network: nn.Module) -> int:
    storages: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        storages[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        loss(network)
    weights = {one.untyped_storage().data_ptr() for one in network.parameters()}
    return sum(size for place, size in storages.items() if place not in weights)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("parts", [WHOLE, BatchParts(2, 2)])
@pytest.mark.parametrize("precision", [nullcontext, lambda: torch.autocast("cpu", torch.bfloat16)])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_the_same_bit_for_bit(
    name: str,
    precision: Callable[[], AbstractContextManager[object]],
    parts: BatchParts,
    memory_format: torch.memory_format,
):
    network = made(name).to(memory_format=memory_format)
    with precision():
        usual = gradients(network, parts)
        assert recompute(network, on=True) >= 4
        again = gradients(network, parts)
    assert any(one.abs().max() > 0 for one in usual[0])
    for ours, theirs in zip(again, usual, strict=True):
        assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("name", NETWORKS)
def test_less_is_kept_for_the_backward_pass(name: str):
    network = made(name)
    usual, names = kept(network), set(network.state_dict())
    recompute(network, on=True)
    assert kept(network) < 0.4 * usual
    assert set(network.state_dict()) == names
    recompute(network, on=False)
    assert kept(network) == usual


def test_blocks_are_evaluated_twice_in_training_and_once_in_sampling():
    network, calls = made("unet"), 0
    recompute(network, on=True)
    copy = deepcopy(network)  # as the average of the weights is
    block = recomputed_blocks(network)[0]
    compute = block.compute

    def counted(*inputs: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return compute(*inputs)

    block.compute = counted
    loss(network).backward()
    assert calls == 2
    with torch.no_grad():
        loss(network)
    loss(copy)
    assert calls == 3


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[None]:
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("one_rank")
def test_ranks_average_the_gradients_of_the_network_itself():
    network = made("unet")
    usual = gradients(network)[0]
    recompute(network, on=True)
    replica = nn.parallel.DistributedDataParallel(network)
    with replica.no_sync():
        loss(replica).backward()
    loss(replica).backward()
    assert all(torch.equal(one.grad, 2 * theirs) for one, theirs in zip(network.parameters(), usual, strict=True))


class Toy(RecomputedBlock):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def compute(self, x: Tensor) -> Tensor:
        return self.layer(x).sin().exp()


def test_compiled_code_recomputes_with_the_same_gradients():
    network, x = nn.Sequential(Toy(), Toy()), torch.randn(4, 3)
    weights = list(network.parameters())
    usual = torch.autograd.grad(network(x).sum(), weights)
    recompute(network, on=True)
    compiled = torch.compile(network.forward, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(torch.autograd.grad(compiled(x).sum(), weights), usual)
    torch.compiler.reset()
