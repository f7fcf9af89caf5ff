"""The run folder of an earlier version can still be read, evaluated, sampled from and resumed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from warm_workers import USUAL_DRAWS_VARIABLE

from focus_engine.generative import sampling
from focus_tui.__main__ import run as focus

OLD = Path(__file__).parent / "old_run"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the old run folder in the experiments folder that commands use."""
    shutil.copytree(OLD / "data", tmp_path / "data")
    shutil.copytree(OLD / "experiments", tmp_path / "experiments")
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(tmp_path / "experiments"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "experiments" / "stopped"


class NoiseOfBefore:
    """The noise of that version: a stream of numpy's for each map, drawn on the CPU."""

    def __init__(self, seed: int, first: int, count: int, shape: tuple[int, ...], _: torch.device, **__: bool) -> None:
        self.streams = [np.random.Generator(np.random.Philox(key=[seed, first + i])) for i in range(count)]
        self.shape = shape

    def __call__(self) -> torch.Tensor:
        drawn = [stream.standard_normal(self.shape, dtype=np.float32) for stream in self.streams]
        return torch.from_numpy(np.stack(drawn))


@pytest.fixture
def noise_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let samples differ from those of that version by nothing but rounding."""
    monkeypatch.setattr(sampling, "MapNoise", NoiseOfBefore)


def recorded(name: str) -> object:
    return json.loads((OLD / name).read_text())


def close(found: object, expected: object) -> bool:
    """Return whether two documents hold the same keys and, to rounding, the same numbers."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(close(found.get(key), value) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(expected, float):
        return isinstance(found, float) and found == pytest.approx(expected, rel=1e-3, abs=1e-6)
    return found == expected


def test_its_state_is_reported_as_before(old, capfd):
    assert focus(["status", old.name, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert close(found, recorded("status.json"))
    assert not close(found | {"best_epoch": 3}, recorded("status.json"))  # the comparison can fail


def test_its_p_of_k_is_shown(old, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert focus(["logs", old.name, "--plot"]) == 0
    shown = capfd.readouterr().out
    assert "P(k)  epoch 2  off 40.0 % from validation maps" in shown
    assert "±1σ over the set" in shown
    assert focus(["ls", "--json"]) == 0
    (row,) = json.loads(capfd.readouterr().out)
    assert (row["pk_error_std"], row["pk_error_null"]) == (None, None)
    assert row["pk_error"] == pytest.approx(0.3997, abs=1e-4)


def test_its_epochs_are_printed_as_they_were_written(old, capfd):
    assert focus(["logs", old.name]) == 0
    shown = [line for line in capfd.readouterr().out.splitlines() if line and not line.startswith("--")]
    assert shown == [line for line in (old / "logs" / "train.log").read_text().splitlines() if line]


def test_its_config_still_loads(old, capfd):
    assert focus(["config", "check", str(old / "config.yaml")]) == 0
    assert "warning" not in capfd.readouterr().err


@pytest.mark.usefixtures("noise_of_before")
def test_its_checkpoint_is_evaluated_as_before(old, capfd):
    """Keys and P(k) are those of before; the slab-mean scores are not, whose estimators were biased."""
    assert focus(["evaluate", old.name, "--checkpoint", "last", "--json"]) == 0
    found, expected = json.loads(capfd.readouterr().out), recorded("evaluate.json")
    for name in ("power_spectrum", "pdf", "slab_mean"):
        assert expected[name].keys() <= found[name].keys()
    assert found["pdf"]["w1"] == pytest.approx(expected["pdf"].pop("w1"), rel=0.01)
    for name in ("real_pdf", "real_std", "generated_pdf"):  # in other bins
        expected["pdf"].pop(name)
    for name in ("bias", "bias_std", "scatter", "true_vs_true_bias"):
        expected["slab_mean"].pop(name)
    expected["power_spectrum"].pop("ratio_std")  # another bootstrap
    assert close(found, expected)


@pytest.mark.usefixtures("noise_of_before")
def test_its_checkpoint_draws_the_same_maps(old, tmp_path, capfd):
    output = tmp_path / "again.npz"
    assert focus(["sample", old.name, "-n", "3", "--seed", "5", "--checkpoint", "last", "-o", str(output)]) == 0
    with np.load(output) as found, np.load(OLD / "samples.npz") as expected:
        assert set(expected.files) <= set(found.files)
        for name in expected.files:
            if name not in {"maps", "focus_version"}:
                assert np.array_equal(found[name], expected[name]), name
        assert np.allclose(found["maps"], expected["maps"], rtol=1e-4)
        assert found["prior"] == "white"  # it kept no spectrum
    capfd.readouterr()
    assert focus(["sample", old.name, "-n", "3", "--checkpoint", "last", "--prior", "spectrum"]) == 2
    assert "kept no spectrum of the training maps" in capfd.readouterr().err


def test_its_checkpoint_draws_within_a_budget(old, tmp_path, capfd):
    """Guidance takes two evaluations a call, so that nine are four steps."""
    where = ["--checkpoint", "last", "-n", "2", "-o", str(tmp_path / "few.npz")]
    assert focus(["sample", old.name, "--nfe", "9", "--guidance", "2", "--json", *where]) == 0
    assert json.loads(capfd.readouterr().out)["nfe"] == 8
    with np.load(tmp_path / "few.npz") as found:
        assert (int(found["steps"]), str(found["sampler"]), str(found["spacing"])) == (4, "ab2", "logsnr")
        assert np.isfinite(found["maps"]).all()
    assert focus(["sample", old.name, "--nfe", "1", "--guidance", "2"]) == 2
    assert "nfe 1: use 2 or more" in capfd.readouterr().err


@pytest.mark.process
def test_its_submitted_script_resumes_and_finishes(old, tmp_path, warm_workers):
    """A script that waits in the SLURM queue while FOCUS is upgraded still runs."""
    script = old / "logs" / "job.sh"
    python = str(warm_workers.python(tmp_path / "python"))
    text = (OLD / "job.sh").read_text().replace("@PYTHON@", python).replace("@RUN@", str(old))
    script.write_text(text)
    environment = os.environ | {"SLURM_RESTART_COUNT": "1", "OMP_NUM_THREADS": "1", USUAL_DRAWS_VARIABLE: "1"}
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (old / "logs" / "events.jsonl").read_text().splitlines()]
    epochs = [
        {key: event[key] for key in ("epoch", "train_loss", "val_loss")}
        for event in events
        if event["type"] == "epoch_finished"
    ]
    assert close(epochs, recorded("undisturbed.json"))
    assert events[-1]["state"] == "finished"
