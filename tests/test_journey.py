"""A user's path from simulations to an evaluated model, by commands alone, with a real worker."""

import json
import os
import subprocess
import time

import numpy as np
import pytest

from focus_engine.events.log import read_events
from focus_engine.events.table import CheckpointSaved, RunEnded, StatisticsMeasured
from focus_engine.launch.process import ProcessIdentity
from focus_engine.runs.folder import RunFolder
from focus_tui.__main__ import run as focus
from focus_tui.dashboard.jobs import SamplingJob
from focus_tui.dashboard.widgets.form_result import read_maps

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("journey")]  # they share one trained experiment

SETTINGS = {
    "data.maps_path": "../../universes/maps.npy",
    "data.params_path": "../../universes/params.txt",
    "data.train_split": "0.5",
    "model.base_channels": "4",
    "model.channel_mults": "[1, 2]",
    "model.cond_dim": "2",
    "training.num_epochs": "3",
    "training.batch_size": "32",
    "training.sample_every": "2",
    "sampling.ddim_timesteps": "5",
    "device": "cpu",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Yield an experiment trained for three epochs by the commands of the README."""
    home = tmp_path_factory.mktemp("journey")
    root = home / "experiments"
    simulate = ["data", "simulate", str(home / "universes"), "-n", "8", "--grid", "16", "--map-size", "32"]
    assert focus(simulate) == 0
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    assert focus(["new", "mine", "--root", str(root), *settings]) == 0
    assert focus(["start", "mine", "--root", str(root)]) == 0
    assert focus(["logs", "-f", "mine", "--root", str(root)]) == 0
    run = RunFolder(root / "mine")
    wait_until_gone(run)
    return run


def wait_until_gone(run):
    """Wait for the worker process to exit: it writes its last figures after its last event."""
    deadline = time.monotonic() + 60
    while ProcessIdentity.read(run.worker).life() == "alive":
        assert time.monotonic() < deadline, "the worker ran on for a minute after its last event"
        time.sleep(0.02)


def told(capsys, *arguments):
    """Run a command; return its exit code, stdout and stderr."""
    capsys.readouterr()
    code = focus(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_run_ends_with_its_checkpoints_blocks_and_figures(trained):
    events = read_events(trained.events)
    assert isinstance(events[-1], RunEnded)
    assert (events[-1].state, events[-1].epoch) == ("finished", 3)
    saved = {event.path for event in events if isinstance(event, CheckpointSaved)}
    assert saved == {"checkpoints/checkpoint_last.pt", "checkpoints/checkpoint_best.pt"}
    assert [event.epoch for event in events if isinstance(event, StatisticsMeasured)] == [1, 2, 3]
    assert trained.train_log.read_text(encoding="utf-8").count("Epoch 3/3 [WARMUP]") == 1
    for figure in (trained.training_history, trained.sample_figure(2), trained.power_figure(3)):
        assert figure.read_bytes().startswith(b"\x89PNG")


def test_maps_are_finite_and_positive_after_three_epochs(trained, tmp_path, capsys):
    file = tmp_path / "maps.npz"
    root = str(trained.path.parent)
    given = ["-n", "5", "--params", "Omega_m=0.3,sigma_8=0.8", "--seed", "7", "-o", str(file)]
    code, _, said = told(capsys, "sample", "mine", "--root", root, "--steps", "10", "--eta", "0", *given)
    assert (code, "warning" in said) == (0, False)
    with np.load(file, allow_pickle=False) as drawn:
        assert (drawn["maps"].shape, drawn["maps"].dtype) == ((5, 32, 32), np.float32)
        assert np.isfinite(drawn["maps"]).all()
        assert (drawn["maps"] > 0).all()
        np.testing.assert_allclose(drawn["params"], np.tile([[0.3, 0.8]], (5, 1)), rtol=1e-6)
        assert [str(name) for name in drawn["param_names"]] == ["Omega_m", "sigma_8"]
        assert (float(drawn["box_size"]), int(drawn["seed"]), str(drawn["sampler"])) == (25.0, 7, "midpoint")
        assert drawn["checkpoint"][0] == "checkpoint_best.pt"
        first = drawn["maps"][0].copy()
    assert file.with_suffix(".png").is_file()
    assert told(capsys, "power", str(file), "--json")[0] == 0
    other = tmp_path / "other.npz"
    given = ["-n", "2", "--params", "Omega_m=0.3,sigma_8=0.8", "--seed", "7", "-o", str(other)]
    assert told(capsys, "sample", "mine", "--root", root, "--steps", "10", "--eta", "0", *given)[0] == 0
    with np.load(other, allow_pickle=False) as drawn:  # up to rounding, map i depends on (seed, i) alone
        np.testing.assert_allclose(np.log10(drawn["maps"][0]), np.log10(first), atol=1e-3)


def test_the_dashboard_samples_in_a_process_of_its_own(trained):
    job = SamplingJob.start(trained.path, ["-n", "2", "--steps", "3", "--seed", "11", "--guidance", "2"])
    end = job.wait(120)
    assert end.failed is None
    assert (end.done, end.total) == (6, 6)
    assert "guidance 2 changes" in end.warnings[0]
    assert end.finished.path == trained.samples / "samples_midpoint3_seed11.npz"
    assert (end.finished.n_maps, end.finished.nfe) == (2, 12)
    assert len(end.finished.power.k) == len(end.finished.power.std)
    maps = read_maps(end.finished.path)
    assert maps.maps.shape == (2, 32, 32)
    refused = SamplingJob.start(trained.path, ["--steps", "5000"]).wait(120)
    assert "1000 timesteps" in refused.failed


def test_what_was_written_is_never_overwritten(trained, tmp_path, capsys):
    file = tmp_path / "maps.npz"
    file.write_bytes(b"precious")
    code, _, said = told(capsys, "sample", "mine", "--root", str(trained.path.parent), "-n", "1", "-o", str(file))
    assert (code, "exists already" in said) == (2, True)
    assert file.read_bytes() == b"precious"


def test_the_report_holds_every_statistic_beside_its_true_against_true(trained, capsys):
    code, said, _ = told(capsys, "evaluate", "mine", "--root", str(trained.path.parent), "--json")
    assert code == 0
    report = json.loads(said)
    power = report["power_spectrum"]
    assert len({len(power[key]) for key in ("k", "real_mean", "real_std", "generated_mean", "ratio")}) == 1
    assert power["median_abs_error"] > 0
    assert power["true_vs_true_median_abs_error"] > 0
    assert report["pdf"]["true_vs_true_w1"] > 0
    assert report["slab_mean"]["true_vs_true_bias"] > 0
    assert report["n_simulations"] == 2  # the test simulations: half of the four outside training
    assert json.loads((trained.path / "evaluation.json").read_text())["power_spectrum"] == power


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--params", "Omega_m=0.3"], "sigma_8 missing"),
        (["--params", "Omega_m=0.3,A_SN1=1"], "A_SN1"),
        (["--steps", "1001"], "1000 timesteps"),
        (["--sampler", "sde"], "does not fit method diffusion; use one of: ddim, ddpm"),
        (["--checkpoint", "nowhere.pt"], "no such checkpoint"),
        (["--sampler", "ddpm", "--eta", "0.5"], "eta"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(trained, capsys, arguments, complaint):
    before = sorted(trained.samples.iterdir())
    code, _, said = told(capsys, "sample", "mine", "--root", str(trained.path.parent), *arguments)
    assert code == 2
    assert complaint in said
    assert "Traceback" not in said
    assert sorted(trained.samples.iterdir()) == before


def test_parameters_outside_the_trained_range_are_warned_of(trained, tmp_path, capsys):
    given = ["-n", "1", "--params", "Omega_m=0.9,sigma_8=0.8", "-o", str(tmp_path / "far.npz")]
    code, _, said = told(capsys, "sample", "mine", "--root", str(trained.path.parent), *given)
    assert code == 0
    assert "Omega_m = 0.9 lies outside the trained range" in said


def test_the_run_script_trains_from_another_folder(trained, tmp_path, warm_workers):
    fast = ["--set", "training.num_epochs=1", "--set", "training.sample_every=0"]
    root = str(trained.path.parent)
    assert focus(["new", "scripted", "--from", "mine", "--root", root, *fast]) == 0
    run = RunFolder(trained.path.parent / "scripted")
    environment = {**os.environ, "PYTHON": str(warm_workers.python(tmp_path / "python"))}
    script = [str(run.path / "run_model.sh")]
    done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Epoch 1/1 [WARMUP]" in done.stdout
    assert run.has_checkpoints()
