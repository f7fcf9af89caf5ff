"""What a command says to options that do not fit a trained model: one message, exit code 2, no file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from focus_engine.api import Experiment
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import load_checkpoint, save_checkpoint
from focus_tui.__main__ import run as focus

pytestmark = pytest.mark.xdist_group("averages")  # its tests share a trained model


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sampler", "euler2"], ["euler2", "allowed", "heun"]),
        (["--sampler", "ddim"], ["ddim", "flow", "heun"]),
        (["--nfe", "10", "--steps", "5"], ["--nfe", "--steps"]),
        (["--nfe", "0"], ["--nfe"]),
        (["--ema", "0.285"], ["an average of length 0.285 cannot be rebuilt", "they allow"]),
        (["--guidance", "2"], ["guidance 2", "cfg_prob"]),
        (
            ["--sampler", "adaptive", "--steps", "3", "--rtol", "1e-9"],
            ["% of the way in 3 steps", "rtol 1e-09"],
        ),
        (["--sampler", "adaptive", "--steps", "3", "--atol", "1e-9"], ["in 3 steps", "atol 1e-09"]),
        (["--rtol", "0"], ["--rtol 0", "> 0"]),
        (["--atol", "1e-4"], ["atol 0.0001", "abm2", "only adaptive"]),
        (["--churn", "-1"], ["--churn -1", ">= 0"]),
        (["--churn", "5"], ["churn 5", "abm2", "only heun"]),
        (["--prior", "pink"], ["pink", "white", "spectrum"]),
        (["--params", "Omega_m=0.3"], ["sigma_8"]),
        (["--checkpoint", "first"], ["first", "best"]),
    ],
    ids=lambda one: " ".join(one[:2]) if one[0].startswith("--") else "",
)
def test_an_option_that_does_not_fit_is_one_message(options, words, home: Path, tmp_path: Path, capfd):
    file = tmp_path / "maps.npz"
    assert focus(["--root", str(home), "sample", "tiny", "-n", "1", "-o", str(file), *options]) == 2
    said = capfd.readouterr().err
    assert all(word in said for word in words), said
    assert "Traceback" not in said
    assert not file.exists()


def test_a_spectrum_of_another_resolution_is_refused_where_it_is_used(home: Path, tmp_path: Path, capfd):
    saved = load_checkpoint(RunFolder(home / "tiny").checkpoint_last)
    prior = saved.data["prior"] | {"size": (16, 16)}
    file, maps = tmp_path / "other.pt", tmp_path / "maps.npz"
    save_checkpoint(file, replace(saved, data=saved.data | {"prior": prior}))
    words = ["--root", str(home), "sample", "tiny", "-n", "1", "-o", str(maps), "--checkpoint", str(file), "--prior"]
    assert focus([*words, "spectrum"]) == 2
    said = capfd.readouterr().err
    assert "spectrum is of maps of 1 x 16 x 16" in said
    assert "use white" in said
    assert not maps.exists()
    assert focus([*words, "white"]) == 0


def test_maps_that_patches_do_not_divide_are_refused_before_training(tmp_path: Path, capfd):
    draw = np.random.default_rng(0)
    np.save(tmp_path / "maps.npy", np.exp(draw.normal(size=(40, 10, 10))).astype(np.float32))
    np.savetxt(tmp_path / "params.txt", draw.uniform((0.1, 0.6), (0.5, 1.0), (40, 2)))
    files = {"data.source": "files", "data.maps_path": "../maps.npy", "data.params_path": "../params.txt"}
    network = {"model.from": "DiT", "model.dit.patch": 4, "data.maps_per_simulation": 1}
    experiment = Experiment.create("one", root=tmp_path, template="small_flow", settings=files | network)
    for command in ("check", "train"):
        assert focus(["--root", str(tmp_path), command, "one"]) == 2
        said = capfd.readouterr().err
        assert "maps of 10 x 10 pixels do not fit a network of stride 4" in said
        assert "Traceback" not in said
    assert not experiment.run.has_checkpoints()
