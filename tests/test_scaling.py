"""`benchmarks/scaling.py`: one rank trains, and the prediction follows from bytes and FLOP."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "scaling.py"


@pytest.fixture
def scaling(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("scaling", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_gradients_are_sent_in_a_ring_beside_the_backward_pass(scaling):
    numbers, rows = scaling.predicted()
    assert numbers["gradient_bytes"] == 4 * numbers["parameters"] == pytest.approx(0.57e9, rel=0.02)
    assert numbers["flop"] == pytest.approx(64 * 1.89e12, rel=0.02)
    assert all(0 < row["waiting"] <= row["overlapped"] <= 1 for row in rows)
    second = scaling.RATE  # FLOP of a step of one second
    assert scaling.efficiency(1e9, second, 1e9, 1)["waiting"] == 1
    slow = scaling.efficiency(1e9, second, 1e9, 2)  # half of the gradients out and half back: one second
    assert slow["sending_s"] == 1
    assert slow["waiting"] == pytest.approx(1 / 2)
    assert slow["overlapped"] == pytest.approx(1 / (1 + 1 / 3))


def test_ranks_and_copies_report_their_rates(scaling, monkeypatch, tmp_path):
    threads = torch.get_num_threads()
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("FOCUS_CACHE", str(tmp_path / "cache"))
    try:
        scaling.be_a_rank(2, tmp_path / "rates", quick=True)
        rates = json.loads((tmp_path / "rates").read_text())
        scaling.be_copies(2, tmp_path / "rates", quick=True)
    finally:
        torch.set_num_threads(threads)
    rates |= json.loads((tmp_path / "rates").read_text())
    assert list(rates) == ["training", "validation", "samples", "evaluation"]
    assert min(rates.values()) > 0
    twice = {name: 2 * rate for name, rate in rates.items()}
    row = scaling.row({1: [rates], 2: [twice]}, "samples", 2, gradients=1)
    assert (row["gain"], row["efficiency"]) == (2, 1)
