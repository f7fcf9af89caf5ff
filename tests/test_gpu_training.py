"""The document that `benchmarks/gpu_training.py` writes, at a size that takes seconds on a CPU."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest

from focus_engine.config.schema import Config
from focus_engine.models.build import build_network, count_parameters

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_training.py"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("gpu_training", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_training"] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_training"]


def run(benchmark, monkeypatch, output: Path, *words: str) -> dict:
    size = benchmark.Size(map_size=16, batch_size=4, base_channels=8, matrix=64)
    monkeypatch.setitem(benchmark.SIZES, "tiny", size)
    given = ["gpu_training.py", "--size", "tiny", "--device", "cpu", "--output", str(output), "--only", *words]
    monkeypatch.setattr(sys, "argv", given)
    benchmark.main()
    return json.loads(output.read_text())


def test_it_measures_trains_and_profiles_and_keeps_rows_that_it_does_not_measure(
    benchmark, monkeypatch, tmp_path, capsys
):
    output = tmp_path / "result.json"
    kept = {"variant": "bf16 separate", "step_seconds": 1.0}
    output.write_text(json.dumps({"rows": [kept, {"variant": "float32 separate"}, {"variant": "x", "error": "y"}]}))
    document = run(benchmark, monkeypatch, output, "float32", "separate")
    other, row = document["rows"]
    assert (other, row["variant"]) == (kept, "float32 separate")
    assert row["maps_per_second"] == pytest.approx(4 / row["step_seconds"])
    assert row["share_of_matrix_rate"] == pytest.approx(row["flop_per_second"] / document["matrix_rates"]["tf32"])
    assert len(row["kernels"]) == 10
    assert 0 < sum(kernel["share"] for kernel in row["kernels"]) <= 1
    assert (row["batch_size"], row["accumulate"]) == (4, 1)
    assert (row["waits_per_step"], row["peak_bytes"]) == (None, None)  # measured on CUDA only
    assert "float32 separate" in capsys.readouterr().out


def test_a_batch_that_does_not_fit_is_cut(benchmark, monkeypatch, tmp_path):
    measured = []

    def scarce(_size, variant, _data, config, *_):
        measured.append((config.training.batch_size, config.training.accumulate))
        if config.training.batch_size > 1:
            raise benchmark.torch.OutOfMemoryError("CUDA out of memory")
        return {"variant": variant.name, "error": "measured"}

    monkeypatch.setattr(benchmark, "measure", scarce)
    run(benchmark, monkeypatch, tmp_path / "result.json", "float32", "separate")
    assert measured == [(4, 1), (2, 2), (1, 4)]


def test_the_arithmetic_is_counted(benchmark):
    """Arithmetic of a 3 × 3 convolution and its two gradients, by hand; it dominates the network."""
    size = benchmark.Size(map_size=256, batch_size=64, base_channels=128)
    config = Config.model_validate({"model": {"base_channels": 128}})
    with benchmark.torch.device("meta"):
        network = build_network(config.model)
    side = {"stem": 256, "head": 256}
    by_hand = 0.0
    for name, layer in network.named_modules():
        if isinstance(layer, benchmark.torch.nn.Conv2d):
            level = {"encoder": 0, "down": 1, "bottom": 3, "decoder": 2}.get(name.split(".")[0], 0)
            index = int(name.split(".")[1]) if name.split(".")[0] in {"encoder", "down", "decoder"} else 0
            level = level - index if name.startswith("decoder") else level + index
            pixels = side.get(name, 256 // 2**level) ** 2
            by_hand += 2 * pixels * layer.weight.numel()
    counted = benchmark.flop_per_map(size)
    assert counted == pytest.approx(3 * by_hand, rel=0.01)
    assert count_parameters(network) == pytest.approx(146e6, rel=0.05)
    assert math.isclose(counted, 1.89e12, rel_tol=0.01)
