"""Compiled training: the same numbers and checkpoints, a law for when it pays, and words where it fails."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from focus_engine.api import Experiment
from focus_engine.config.schema import Config
from focus_engine.config.templates import template_config
from focus_engine.data.opening import open_maps
from focus_engine.errors import InputError
from focus_engine.events.log import read_events
from focus_engine.events.table import EpochFinished, Warned
from focus_engine.generative.diffusion import Diffusion
from focus_engine.progress import drain
from focus_engine.training import compiled, faster
from focus_engine.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from focus_engine.training.compiled import SAVED_SHARE, compile_network, compile_wanted, compiling_pays, graph_pays
from focus_engine.training.faster import may_graph
from focus_engine.training.flop import forward_flop, training_flop
from focus_engine.training.loop import train
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import prepare_data

CPU = torch.device("cpu")


class Small(torch.nn.Module):
    """A network of one convolution, which ignores time and parameters."""

    def __init__(self, **_: object) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 1)

    def forward(self, x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[Callable[..., PreparedRun]]:
    """Return a function that makes a run on 20 training maps of 8 x 8 in batches of 8, from keys of the config."""
    draw = np.random.default_rng(0)
    np.save(tmp_path / "maps.npy", (10 ** draw.normal(11, 0.3, (24, 8, 8))).astype(np.float32))
    low, high = (0.1, 0.6, 0.25, 0.25, 0.5, 0.5), (0.5, 1.0, 4, 4, 2, 2)
    np.savetxt(tmp_path / "params.txt", draw.uniform(low, high, (6, 6)))

    def make(saved: Checkpoint | None = None, **keys: object) -> PreparedRun:
        small = {"model.from": f"{__name__}.Small", "model.cond_dim": 2}
        data = {"data.maps_path": "maps.npy", "data.params_path": "params.txt", "data.maps_per_simulation": 4}
        training = {"training.batch_size": 8, "training.num_epochs": 2, "training.precision": "float32"}
        more = {f"training.{key}": value for key, value in keys.items()}
        config = template_config(
            "edm", {"model.cond_dim": 2, "data.source": "files", **small, **data, **training, **more}
        )
        maps = drain(open_maps(config, tmp_path))
        return prepare_run(config, prepare_data(config, maps, saved), CPU, saved=saved)

    yield make
    torch.compiler.reset()


def backend_that_counts(sizes: list[int]) -> Callable[..., Any]:
    """Return a backend of torch.compile that runs the captured graph, and notes the size of each batch."""

    def backend(graph: torch.fx.GraphModule, _inputs: list[torch.Tensor]) -> Callable[..., Any]:
        def run(*inputs: torch.Tensor) -> Any:
            sizes.append(next(one for one in inputs if one.ndim == 4 and one.shape[-1] == 8).shape[0])
            return graph.forward(*inputs)

        return run

    return backend


def backend_that_fails(error: Exception) -> Callable[..., Any]:
    def backend(_graph: torch.fx.GraphModule, _inputs: list[torch.Tensor]) -> Callable[..., Any]:
        raise error

    return backend


def losses_of(run: PreparedRun) -> list[float]:
    return [e.train_loss for e in train(run.training, run.state, lambda: None) if isinstance(e, EpochFinished)]


def test_compiled_training_gives_the_numbers_and_checkpoints_of_the_other(
    make_run: Callable[..., PreparedRun], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    sizes: list[int] = []
    monkeypatch.setattr(compiled, "BACKEND", backend_that_counts(sizes))
    run, eager = (make_run(compile=one, num_epochs=1) for one in (True, False))
    assert (run.compiled, run.slower, eager.compiled) == (True, (), False)
    assert sizes == [8]  # the trial, of which nothing remains
    assert all(one.grad is None for one in run.state.network.parameters())
    assert losses_of(run) == pytest.approx(losses_of(eager), rel=1e-5)
    assert sizes == [8] * (1 + 2)  # the last batch of an epoch, of 4 maps, runs as it is; so does validation
    assert run.state.to_dict()["network"].keys() == eager.state.to_dict()["network"].keys()
    save_checkpoint(tmp_path / "checkpoint.pt", run.checkpoint())
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved.provenance["compiled"] is True
    resumed = make_run(saved, compile=False, num_epochs=2)
    assert not resumed.compiled
    assert len(losses_of(resumed)) == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("No working C++ compiler found"), "No working C\\+\\+ compiler found.*needs a C\\+\\+ compiler"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory while compiling; training goes on uncompiled"),
    ],
)
def test_where_compilation_fails_the_network_stays_and_the_reason_is_given(
    diffusion: Diffusion, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
):
    monkeypatch.setattr(compiled, "BACKEND", backend_that_fails(error))
    network = Small()
    found, reason = compile_network(network, diffusion, nullcontext, CPU, maps=(2, 1, 8, 8), cond_dim=2)
    assert found is network
    assert network.layer.weight.grad is None
    assert re.search(words, reason)


def test_a_run_that_cannot_be_compiled_says_so_and_trains(
    make_run: Callable[..., PreparedRun], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(faster, "compile_network", lambda network, *_, **__: (network, "the reason"))
    run = make_run(compile=True, num_epochs=1)
    assert (run.compiled, run.slower) == (False, ("the reason",))
    assert losses_of(run) == losses_of(make_run(compile=False, num_epochs=1))


def test_checkpointing_of_a_network_without_blocks_is_refused(make_run: Callable[..., PreparedRun]):
    with pytest.raises(InputError, match=r"activation_checkpointing: .*Small has no block.*set it to false"):
        make_run(activation_checkpointing=True)


def test_what_a_graph_cannot_hold_is_launched(make_run: Callable[..., PreparedRun]):
    training, unet = make_run().training, Config().model
    assert may_graph(training, unet, (1, 64, 64), 16)
    assert not may_graph(training, unet, (1, 1024, 1024), 16)
    assert not may_graph(training, make_run().config.model, (1, 64, 64), 16)  # code of the user's own may wait
    assert not may_graph(make_run(accumulate=2).training, unet, (1, 64, 64), 16)  # a replay overwrites gradients
    recomputing = replace(training, settings=training.settings.model_copy(update={"activation_checkpointing": True}))
    assert not may_graph(recomputing, unet, (1, 64, 64), 16)
    assert graph_pays(1e9, 32)
    assert not graph_pays(1.9e12, 64)
    assert not graph_pays(None, 64)


def test_a_run_is_compiled_when_that_pays(make_run: Callable[..., PreparedRun]):
    flop, rate = 1.7e12, compiled.EAGER_RATE  # a hundredth of a second for a map
    for batches in (1, 1000, 10_000):
        saved = SAVED_SHARE * batches * 64 * flop / rate
        assert compiling_pays(flop, 64, batches, math.inf) == (saved > compiled.COMPILE_SECONDS)
    assert not compiling_pays(flop, 64, 10**6, seconds_left=100.0)
    assert not compiling_pays(1.0, 1, 10**6, math.inf)  # a small network waits for launches: it is recorded
    assert not compiling_pays(None, 64, 10**9, math.inf)
    settings = make_run().config.training
    assert settings.compile == "auto"
    assert not compile_wanted(settings, CPU, None, lambda: True)
    assert compile_wanted(settings, torch.device("cuda"), None, lambda: True)
    assert not compile_wanted(settings, torch.device("cuda"), None, lambda: False)
    assert not compile_wanted(settings, torch.device("cuda"), before=False, pays=lambda: True)
    assert compile_wanted(settings, CPU, before=True, pays=lambda: False)  # goes on as it began


def test_flop_are_counted_and_a_network_that_cannot_be_counted_is_no_error():
    model = template_config("small", {}).model
    one, four = (training_flop(model, (1, side, side)) for side in (16, 32))
    assert one is not None
    assert four is not None
    assert four / one == pytest.approx(4, rel=0.01)
    assert 3 * forward_flop(model, (1, 32, 32)) == pytest.approx(four, rel=0.01)
    dit = model.model_copy(update={"from_": "DiT"})
    assert training_flop(dit, (1, 16, 16)) is not None
    assert training_flop(model.model_copy(update={"from_": "builtins.dict"}), (1, 16, 16)) is None


def test_a_machine_without_a_compiler_is_told_and_trains(tmp_path: Path):
    small = {"data.simulations": 6, "model.base_channels": 8, "model.channel_mults": [1, 2], "training.compile": True}
    few = {"training.num_epochs": 1, "training.sample_every": 0}
    experiment = Experiment.create("one", root=tmp_path, template="small_flow", settings=small | few)
    drain(open_maps(experiment.config, experiment.run.path))
    environment = os.environ | {"PATH": "", "CXX": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "focus_tui", "--root", str(tmp_path), "train", "one"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    warnings = [one for one in read_events(experiment.run.events) if isinstance(one, Warned)]
    (warned,) = (one for one in warnings if one.code == "compile")
    assert "No working C++ compiler found" in warned.message
    assert "TORCHDYNAMO_VERBOSE" not in warned.message
    assert "training goes on uncompiled" in warned.message
