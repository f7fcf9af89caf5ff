"""Threads that share a batch compute what one thread computes."""

import threading

import pytest
import torch

from focus_engine.config.blocks.model import ModelBlock
from focus_engine.models.batch_parts import WHOLE, BatchParts, PartedNetwork
from focus_engine.models.build import build_network

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("threads", "most", "maps", "count"),
    [(1, 8, 64, 1), (2, 8, 64, 2), (2, 8, 1, 1), (8, 64, 16, 8), (8, 64, 6, 4), (6, 64, 4, 3), (16, 1, 64, 1)],
)
def test_the_number_of_parts_divides_the_threads(threads: int, most: int, maps: int, count: int):
    assert BatchParts(threads, most).count(maps) == count


def test_large_networks_and_other_devices_have_one_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    with torch.device("meta"):
        large = torch.nn.Linear(2**14, 2**14, bias=False)
    assert BatchParts.of(large, CPU).count(64) == 1
    assert BatchParts.of(large, CPU, trains=False).count(64) == 4
    assert BatchParts.of(torch.nn.Linear(2, 2), CPU).count(64) == 4
    assert BatchParts.of(torch.nn.Linear(2, 2), torch.device("meta")) == WHOLE


@pytest.mark.parametrize("maps", [2, 7, 64])
def test_parts_cover_the_batch_in_order_on_several_threads(maps: int):
    meeting = threading.Barrier(2, timeout=30)  # passes only if two threads are at work at once

    def work(part: slice) -> tuple[list[int], int]:
        meeting.wait()
        return list(range(maps))[part], torch.get_num_threads()

    done = BatchParts(4, 2).map(work, maps)
    assert [place for places, _ in done for place in places] == list(range(maps))
    assert [threads for _, threads in done] == [2, 2]  # what parts do not use, OpenMP does


def test_parts_see_the_modes_of_the_caller():
    def modes(_: slice) -> tuple[bool, bool, bool, torch.dtype]:
        gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        return *gradients, torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    parts = BatchParts(2, 2)
    assert parts.map(modes, 4) == [(False, True, False, torch.bfloat16)] * 2
    with torch.no_grad(), torch.autocast("cpu", torch.float16):
        assert parts.map(modes, 4) == [(False, False, True, torch.float16)] * 2
    with torch.inference_mode():
        assert parts.map(modes, 4) == [(True, False, False, torch.bfloat16)] * 2


def test_an_error_of_a_part_is_raised():
    def work(part: slice) -> None:
        if part.start:
            raise ValueError(part.start)

    with pytest.raises(ValueError, match="2"):
        BatchParts(2, 2).map(work, 4)


def test_a_network_in_parts_predicts_the_same():
    network = build_network(ModelBlock(base_channels=8, channel_mults=(1, 2), cond_dim=2, time_dim=8), seed=0).eval()
    torch.nn.init.normal_(network.head.weight)
    x, time, cond = torch.randn(5, 1, 8, 8), torch.rand(5), torch.randn(5, 2)
    flags = torch.tensor([True, False, True, False, False])
    with torch.no_grad():
        for unconditional in (None, flags):
            whole = network(x, time, cond, unconditional)
            parts = PartedNetwork(network, BatchParts(2, 8))(x, time, cond, unconditional)
            torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
            assert whole.abs().max() > 0.1
