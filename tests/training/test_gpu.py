"""Tests that need a GPU, skipped without one; `scripts/gpu_check.sh` runs them."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from focus_engine.api import Experiment
from focus_engine.config.schema import Config
from focus_engine.data.opening import open_maps
from focus_engine.errors import is_out_of_memory
from focus_engine.evaluation.averages import open_averaged
from focus_engine.evaluation.sampling import draw_physical
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.events.table import EpochFinished
from focus_engine.models import fused
from focus_engine.models.build import build_network
from focus_engine.models.graphed import GraphedEvaluation
from focus_engine.progress import drain
from focus_engine.training import pace
from focus_engine.training.checkpoint import load_checkpoint, save_checkpoint
from focus_engine.training.devices import choose_device, choose_precision, precision_context
from focus_engine.training.host_copy import HostCopy
from focus_engine.training.loop import train
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import prepare_data
from focus_engine.training.step import Readings, make_step

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

GPU = torch.device("cuda", 0)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., PreparedRun]:
    """Return a function that makes a small run on a device, from keys of the training block."""
    draw = np.random.default_rng(0)
    np.save(tmp_path / "maps.npy", (10 ** draw.normal(11, 0.3, (60, 32, 32))).astype(np.float32))
    low, high = (0.1, 0.6, 0.25, 0.25, 0.5, 0.5), (0.5, 1.0, 4, 4, 2, 2)
    np.savetxt(tmp_path / "params.txt", draw.uniform(low, high, (20, 6)))

    def make(device: torch.device, saved: Path | None = None, **training: object) -> PreparedRun:
        config = Config.model_validate(
            {
                "data": {
                    "maps_path": str(tmp_path / "maps.npy"),
                    "params_path": str(tmp_path / "params.txt"),
                    "maps_per_simulation": 3,
                },
                "model": {"base_channels": 16, "channel_mults": [1, 2]},
                "training": {"batch_size": 9, "num_epochs": 2, "lr": 1e-3, "precision": "float32", **training},
            }
        )
        maps = drain(open_maps(config, tmp_path))
        checkpoint = None if saved is None else load_checkpoint(saved)
        return prepare_run(config, prepare_data(config, maps, checkpoint), device, saved=checkpoint)

    return make


def epochs_of(run: PreparedRun) -> list[EpochFinished]:
    return [event for event in train(run.training, run.state, lambda: None) if isinstance(event, EpochFinished)]


def test_auto_is_the_gpu_and_bf16_where_it_has_it():
    assert choose_device("auto").type == "cuda"
    assert choose_precision("auto", GPU) == ("bf16" if torch.cuda.is_bf16_supported() else "float32")


def test_the_network_gives_the_same_on_gpu_and_cpu():
    config = Config.model_validate({"model": {"base_channels": 16, "channel_mults": [1, 2]}})
    network = build_network(config.model, seed=0)
    torch.nn.init.normal_(network.head.weight)  # zero before training
    x, time, cond = torch.randn(2, 1, 32, 32), torch.rand(2), torch.randn(2, 6)
    expected = network(x, time, cond)
    expected.square().mean().backward()
    gradient = network.stem.weight.grad.clone()
    network.zero_grad()
    network.to(GPU)
    found = network(x.to(GPU), time.to(GPU), cond.to(GPU))
    found.square().mean().backward()
    # Convolutions multiply in TF32 (10 bits).
    assert (found.cpu() - expected).norm() < 5e-3 * expected.norm()
    assert (network.stem.weight.grad.cpu() - gradient).norm() < 2e-2 * gradient.norm()


@pytest.mark.parametrize(("attention", "size", "mults"), [(0, 32, (1, 2)), (1, 16, (1, 2, 4))])
def test_fused_layers_compute_what_the_layers_do(monkeypatch, attention, size, mults):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    unet = {"base_channels": 48, "channel_mults": mults, "unet": {"attention_levels": attention}}
    network = build_network(Config.model_validate({"model": unet}).model, seed=0).to(GPU)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    x, time, cond = torch.randn(2, 1, size, size, device=GPU), torch.rand(2, device=GPU), torch.randn(2, 6, device=GPU)

    def computed() -> list[torch.Tensor]:
        network.zero_grad()
        found = network(x, time, cond)
        (found * x).sum().backward()
        return [found.detach()] + [one.grad.clone() for one in network.parameters() if one.grad is not None]

    with fused.layer_by_layer():
        expected = computed()
    fused.placed(network, GPU)
    assert network.head.weight.is_contiguous(memory_format=torch.channels_last)
    with fused.always():
        found = computed()
        again = computed()
    assert torch.equal(found[0], again[0])
    assert max((a - b).norm() / b.norm() for a, b in zip(found, expected, strict=True)) < 1e-4


def test_a_replayed_evaluation_is_that_of_the_network(make_run):
    run = make_run(GPU)
    epochs_of(run)
    network, graphed = run.state.ema.module, GraphedEvaluation(run.state.ema.module)
    inputs = torch.randn(4, 1, 32, 32, device=GPU), torch.rand(4, device=GPU), torch.randn(4, 6, device=GPU)
    for precision in ("float32", "bf16"):
        with torch.inference_mode(), precision_context(precision, GPU)(), fused.always():
            expected = network(*inputs)
            first = graphed(*inputs)
            other = graphed(inputs[0] + 1, *inputs[1:])
            assert torch.equal(graphed(*inputs), expected)
        assert torch.equal(first, expected)
        assert not torch.equal(other, expected)
        with torch.no_grad():
            network.stem.weight.mul_(1.1)  # the graph reads the weights where they are
        with torch.inference_mode(), precision_context(precision, GPU)(), fused.always():
            assert torch.equal(graphed(*inputs), network(*inputs))
            assert not torch.equal(graphed(*inputs), expected)
    assert graphed._records


def test_replayed_steps_train_as_launched_ones_do(make_run):
    replayed, launched = make_run(GPU), make_run(GPU, compile=False)
    assert replayed.graphed, replayed.slower
    assert not launched.graphed
    assert [event.train_loss for event in epochs_of(replayed)] == pytest.approx(
        [event.train_loss for event in epochs_of(launched)], rel=5e-3
    )
    moved = [one.detach().clone() for one in replayed.state.network.parameters()]
    for mine, theirs in zip(moved, launched.state.network.parameters(), strict=True):
        assert (mine - theirs).norm() < 0.05 * theirs.norm() + 1e-4


def test_a_state_of_the_cpu_goes_on_on_the_gpu(make_run, tmp_path):
    first = make_run(torch.device("cpu"), num_epochs=1)
    epochs_of(first)
    save_checkpoint(tmp_path / "checkpoint.pt", first.checkpoint())
    assert len(epochs_of(make_run(GPU, saved=tmp_path / "checkpoint.pt"))) == 1


def test_bf16_measures_the_loss_that_float32_measures(make_run):
    run = make_run(GPU)
    epochs_of(run)
    whole = run.training.validation.losses(run.state.network)[0]
    validation = run.training.validation
    validation._precision = precision_context("bf16", GPU)
    assert validation.losses(run.state.network)[0] == pytest.approx(whole, rel=0.02)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_resumed_run_ends_as_the_undisturbed_one(make_run, tmp_path, precision):
    undisturbed = epochs_of(make_run(GPU, precision=precision, num_epochs=3))
    first = make_run(GPU, precision=precision, num_epochs=3)
    loop = train(first.training, first.state, lambda: None)
    next(event for event in loop if isinstance(event, EpochFinished))
    save_checkpoint(tmp_path / "checkpoint.pt", first.checkpoint())
    resumed = epochs_of(make_run(GPU, saved=tmp_path / "checkpoint.pt", precision=precision, num_epochs=3))
    # Sums of cudnn's kernels may change order; on a CPU the two agree bit for bit (tests/worker).
    assert [event.val_loss for event in resumed] == pytest.approx(
        [event.val_loss for event in undisturbed[1:]], rel=1e-3
    )


def test_a_copy_on_the_host_is_of_the_moment_it_was_taken(make_run):
    run, memory = make_run(GPU), HostCopy()
    epochs_of(run)
    for _ in range(2):
        expected = run.state.network.state_dict()["stem.weight"].cpu()
        copy = memory.take(run.state.to_dict())
        with torch.no_grad():
            for weights in run.state.network.parameters():
                weights.add_(1.0)  # queued behind the copy
        memory.wait()
        assert copy["network"]["stem.weight"].is_pinned()
        assert torch.equal(copy["network"]["stem.weight"], expected)


def test_maps_drawn_on_the_gpu_are_those_of_the_cpu(make_run, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    run = make_run(GPU)
    epochs_of(run)
    params = run.data.maps.params[:3]

    def drawn() -> torch.Tensor:
        model = model_in_training(run)
        steps = model.draw(params, model.plan(steps=10, sampler="ddim", eta=1.0))
        return torch.cat([step.finished for step in steps if step.finished is not None])

    on_gpu = drawn()
    again = drawn()
    object.__setattr__(run, "device", torch.device("cpu"))
    run.state.ema.module.to("cpu")
    on_cpu = drawn()
    assert torch.equal(on_gpu, again)
    assert (on_gpu - on_cpu).norm() < 1e-3 * on_cpu.norm()


def test_the_gpu_running_out_of_memory_is_known_for_what_it_is():
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(1 << 46, dtype=torch.uint8, device=GPU)
    assert is_out_of_memory(caught.value)


def test_maps_that_fit_are_held_on_the_gpu(make_run):
    run = make_run(GPU)
    assert run.training.batches.resident
    assert next(iter(run.training.batches.epoch(1))).maps.device == GPU


@pytest.mark.parametrize("compiling", ["auto", False])
def test_a_training_step_does_not_wait_for_the_gpu(make_run, monkeypatch, compiling):
    monkeypatch.setattr(pace, "PROGRESS_SECONDS", math.inf)
    run = make_run(GPU, averages=False, compile=compiling)
    group, readings = [next(iter(run.training.batches.epoch(1)))], Readings(run.training.ranks)
    make_step(run.training, run.state, group, readings)  # makes tables and moments
    with warnings.catch_warnings(action="ignore"):  # of torch, that it does not see all synchronisations
        torch.cuda.set_sync_debug_mode("error")
    try:
        make_step(run.training, run.state, group, readings)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    readings.read(run.state.running, 1)
    assert math.isfinite(readings.norm)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of torch, about its own use
def test_compiled_training_measures_the_loss_of_the_other(make_run):
    run = make_run(GPU, compile=True)
    assert run.compiled, run.slower
    assert epochs_of(run)[-1].train_loss == pytest.approx(
        epochs_of(make_run(GPU, compile=False))[-1].train_loss, rel=1e-2
    )


def test_an_average_is_drawn_on_the_gpu(tmp_path):
    small = {"device": "cuda", "data.simulations": 6, "model.base_channels": 8, "model.channel_mults": [1, 2]}
    quick = {"training.num_epochs": 2, "training.sample_every": 0}
    experiment = Experiment.create("one", root=tmp_path, template="small_flow", settings=small | quick)
    experiment.train()
    model = open_averaged(experiment.run, experiment.run.checkpoint_last, 0.06, device="cuda")
    assert {one.device.type for one in model.network.parameters()} == {"cuda"}
    maps, _ = drain(draw_physical(model, np.array([[0.3, 0.8]], np.float32), model.plan(steps=2)))
    assert np.isfinite(maps).all()
