"""Arguments of the commands that draw maps: checked before anything is opened."""

from pathlib import Path

import pytest

from focus_engine.errors import InputError
from focus_tui.cli.data import parse_range
from focus_tui.compute.options import DrawOptions, EvaluateOptions, SampleOptions, parse_params


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "--steps 0"),
        ({"steps": -3}, "--steps -3"),
        ({"eta": 3.0}, "--eta 3"),
        ({"eta": -0.1}, "--eta -0.1"),
        ({"eta": float("nan")}, "--eta nan"),
        ({"eta": 0.5, "sampler": "heun"}, "--eta 0.5: sampler heun always has eta 0"),
        ({"eta": 0.0, "sampler": "ddpm"}, "--eta 0: sampler ddpm always has eta 1"),
        ({"sampler": "plms"}, "allowed: ddim, ddpm, euler, heun"),
        ({"nfe": 0}, "--nfe 0"),
        ({"nfe": 10, "steps": 5}, "--nfe and --steps are both given: keep one"),
        ({"spacing": "even"}, "--spacing 'even' is unknown; allowed: time, logsnr"),
        ({"sampler": "sde", "eta": 0.0}, "sampler sde takes eta above 0 to 1"),
        ({"guidance": -1.0}, "--guidance -1"),
        ({"guidance": float("inf")}, "--guidance inf"),
        ({"seed": -1}, "--seed -1"),
        ({"n_maps": 0}, "-n 0"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"gpus": 0}, "--gpus 0"),
        ({"checkpoint": " "}, "--checkpoint"),
    ],
)
def test_wrong_arguments_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        DrawOptions(**options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps": 100, "eta": 0.0},
        {"sampler": "ddim", "eta": 0.5},
        {"sampler": "heun", "eta": 0.0},
        {"sampler": "ddpm", "eta": 1.0},
    ],
)
def test_right_arguments_are_kept(options):
    assert all(getattr(DrawOptions(**options), key) == value for key, value in options.items())


def test_parameters_by_name():
    assert parse_params(None) is None
    assert parse_params("Omega_m=0.3, sigma_8=8e-1") == (("Omega_m", 0.3), ("sigma_8", 0.8))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "NAME=VALUE"),
        ("Omega_m", "NAME=VALUE"),
        ("Omega_m=0.3,", "NAME=VALUE"),
        ("h=0.7", "unknown parameter 'h'; allowed: Omega_m"),
        ("Omega_m=x", "is not a number"),
        ("Omega_m=nan", "finite"),
        ("Omega_m=1,Omega_m=2", "given twice"),
    ],
)
def test_wrong_parameters_are_refused(text, words):
    with pytest.raises(InputError, match=words):
        parse_params(text)


def test_outputs_are_checked(tmp_path):
    assert SampleOptions(output=tmp_path / "a.npz").output == tmp_path / "a.npz"
    (tmp_path / "b.npz").mkdir()
    for path, words in (("a.npy", "ends in .npz"), ("b.npz", "is a folder"), ("none/a.npz", "does not exist")):
        with pytest.raises(InputError, match=words):
            SampleOptions(output=tmp_path / path)
    with pytest.raises(InputError, match="no such file"):
        SampleOptions(params_file=tmp_path / "none.txt")
    with pytest.raises(InputError, match="both given"):
        SampleOptions(params=(("Omega_m", 0.3),), params_file=Path(__file__))
    with pytest.raises(InputError, match="not a folder"):
        EvaluateOptions(output=Path(__file__))


def test_ranges():
    assert parse_range("--x", None) is None
    assert parse_range("--x", "0.3") == (0.3, 0.3)
    assert parse_range("--x", "0.1:0.5") == (0.1, 0.5)
    for text in ("a", "0.5:0.1", ":", "1:", "nan", "0:1"):
        with pytest.raises(InputError, match="--x"):
            parse_range("--x", text)
