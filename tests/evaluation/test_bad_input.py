"""What a command says to options that do not fit a trained model: one message, exit code 2, no file."""

from pathlib import Path

import numpy as np
import pytest

from focus_engine.api import Experiment
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
