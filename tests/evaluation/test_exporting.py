"""Weights files: exported and sampled from elsewhere bit for bit, and refused in words where they are not sound."""

import json
import random
import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from focus_engine import Experiment
from focus_engine.errors import FocusError, InputError
from focus_engine.evaluation.averages import open_averaged
from focus_engine.evaluation.sampling import choose_params, draw_physical
from focus_engine.evaluation.trained_model import find_checkpoint, open_trained
from focus_engine.progress import drain
from focus_engine.training.checkpoint import sha256_of
from focus_engine.training.weights_file import HEADERS, read_weights
from focus_engine.weights_seal import inspect_weights
from focus_tui.__main__ import run as focus

pytestmark = pytest.mark.xdist_group("averages")  # its tests share a trained model


@pytest.fixture(scope="module")
def weights(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    assert focus(["--root", str(home), "export", "tiny", "--weights", str(path)]) == 0
    return path


def rewritten(path: Path, to: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> Path:
    """Write `path` to `to` with its headers, as values, and its tensors changed."""
    with safetensors.safe_open(path, framework="pt") as file:
        headers = file.metadata()
    known = {key: json.loads(text) for key, text in headers.items() if key in HEADERS.values()}
    tensors = safetensors.torch.load_file(path)
    change(known, tensors)
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in known.items()}
    others = {key: text for key, text in headers.items() if key not in {*HEADERS.values(), "focus_crc32"}}
    safetensors.torch.save_file(tensors, to, others | texts)
    return to


@pytest.mark.parametrize("ema", [None, "0.06"])
def test_maps_from_a_weights_file_are_those_of_the_experiment(
    ema: str | None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    average = [] if ema is None else ["--ema", ema]
    file = tmp_path / "a folder" / "tiny.safetensors"
    drawing = ["-n", "5", "--seed", "7", "--batch-size", "2"]
    here = ["--root", str(home)]
    assert focus([*here, "export", "tiny", "--weights", str(file), *average]) == 0
    assert focus([*here, "sample", "tiny", *drawing, *average, "-o", str(tmp_path / "run.npz")]) == 0
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(tmp_path / "none"))
    monkeypatch.setenv("FOCUS_CACHE", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # nothing is overwritten
        assert focus(["sample", str(file), *drawing]) == 0
    assert len(list(tmp_path.glob("tiny_*_seed7*.npz"))) == len(list(tmp_path.glob("tiny_*_seed7*.png"))) == 2
    made = next(tmp_path.glob("tiny_*_seed7.npz"))
    with np.load(tmp_path / "run.npz") as run, np.load(made) as own:
        assert run.files == own.files
        differ = [name for name in run.files if run[name].tobytes() != own[name].tobytes()]
        assert differ == ["checkpoint"]
        assert own["checkpoint"].tolist() == [file.name, run["checkpoint"][1], sha256_of(file)]


def test_the_header_says_what_the_weights_are_and_where_they_are_from(weights: Path, tiny: Experiment):
    with safetensors.safe_open(weights, framework="pt") as file:
        held = {name: json.loads(file.metadata()[header]) for name, header in HEADERS.items()}
        assert set(file.keys()) == open_trained(weights).network.state_dict().keys()
    best = tiny.run.checkpoint_best
    model = open_trained(best)
    assert held["config"]["method"] == "flow"
    assert held["config"]["model"]["base_channels"] == 4
    assert held["normaliser"] == model.normaliser.to_dict()
    assert held["scaler"] == model.scaler.to_dict()
    assert held["scaler"]["names"] == ["Omega_m", "sigma_8"]
    assert (held["data"]["box_size"], held["data"]["map_shape"]) == (25.0, [1, 8, 8])
    assert held["data"]["split"] == model.data["split"]
    made = held["provenance"]
    assert made["experiment"] == "tiny"
    assert made["data_fingerprint"] == model.data["fingerprint"]
    assert made["checkpoint"] == {"file": best.name, "epoch": model.source["epoch"], "sha256": sha256_of(best)}
    assert {"versions", "git_commit", "exported", "precision", "seed"} <= made.keys()


def test_nothing_is_overwritten_unasked_and_bad_names_are_refused(weights: Path, home: Path, tmp_path: Path, capfd):
    export = ["--root", str(home), "export", "tiny"]
    before = sha256_of(weights)
    for arguments, words in (
        (["--weights", str(weights)], "exists already: --force overwrites it"),
        (["--weights", str(tmp_path / "w.pt")], "--weights w.pt: give a file name that ends in .safetensors"),
        (["--weights", str(tmp_path / "w.safetensors"), "--checkpoint", "none.pt"], "no such checkpoint"),
        (["--csv", str(tmp_path), "--ema", "0.05"], "--ema is about weights: name --weights FILE"),
        (["--weights", str(tmp_path / "w.safetensors"), "--ema", "x"], "--ema 'x'"),
    ):
        assert focus([*export, *arguments]) == 2
        assert words in capfd.readouterr().err
    assert sha256_of(weights) == before
    assert not list(tmp_path.iterdir())
    copy = Path(shutil.copy(weights, tmp_path / "copy.safetensors"))
    assert focus([*export, "--weights", str(copy), "--checkpoint", "last", "--force"]) == 0
    assert json.loads(safetensors.safe_open(copy, "pt").metadata()["focus_provenance"])["checkpoint"]["epoch"] == 3


def test_options_that_choose_weights_are_refused_for_a_file_that_holds_one_set(weights: Path, tmp_path: Path, capfd):
    for option in ("--ema", "--checkpoint"):
        assert focus(["sample", str(weights), option, "best" if option == "--ema" else "last"]) == 2
        assert f"tiny.safetensors holds one set of weights: {option} chooses them" in capfd.readouterr().err
    assert focus(["sample", str(weights), "--device", "cpu", "--gpus", "2"]) == 2
    assert "--gpus 2: there is no GPU here" in capfd.readouterr().err
    assert focus(["sample", str(tmp_path / "none.safetensors")]) == 2
    assert "no such weights file; focus export EXP --weights writes one" in capfd.readouterr().err


def test_a_weights_file_stands_in_for_a_checkpoint_of_its_experiment(weights: Path, tiny: Experiment, tmp_path: Path):
    drawn = [
        tiny.sample(2, checkpoint=one, device="cpu", output=tmp_path / f"{number}.npz").maps
        for number, one in enumerate(("best", str(weights)))
    ]
    np.testing.assert_array_equal(*drawn)
    again = tmp_path / "again.safetensors"
    assert tiny.export_weights(again, checkpoint=str(weights)) == again
    ours, theirs = (open_averaged(tiny.run, one, None).network.state_dict() for one in (again, weights))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_every_truncation_and_foreign_file_is_refused(weights: Path, tiny: Experiment, tmp_path: Path, capfd):
    whole, bad = weights.read_bytes(), tmp_path / "bad.safetensors"
    checkpoint = find_checkpoint(tiny.run, "best").read_bytes()
    plain = safetensors.torch.save({"a": torch.zeros(2)})
    huge = (2**62).to_bytes(8, "little") + whole[8:]
    deep = safetensors.torch.save({"a": torch.zeros(2)}, {"focus_format": "1", "focus_config": "[" * 100_000})
    cuts = [whole[:size] for size in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1)]
    for content in (*cuts, checkpoint, plain, huge, deep, whole + b"more"):
        bad.write_bytes(content)
        with pytest.raises(InputError, match=r"^.*bad\.safetensors: ") as refused:
            open_trained(bad)
        assert "\n" not in str(refused.value)
    assert focus(["sample", str(bad)]) == 2
    assert "Traceback" not in capfd.readouterr().err


def test_any_flipped_bit_is_refused(weights: Path, tmp_path: Path, capfd):
    whole, bad, draw = weights.read_bytes(), tmp_path / "bad.safetensors", random.Random(0)  # noqa: S311
    at = 8 * whole.index(b'"focus_crc32"')
    name = range(at, at + 8 * len('"focus_crc32":"01234567"'))  # where the checksum itself stands
    length = int.from_bytes(whole[:8], "little")
    tensors = draw.sample(range(8 * (8 + length), 8 * len(whole)), 100)
    for bit in (*draw.sample(range(8 * len(whole)), 200), *tensors, *name):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        bad.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.safetensors: ") as refused:
            read_weights(bad)
        assert bit not in tensors or "copy it again, or write it again by focus export" in str(refused.value)
        assert inspect_weights(bad).condition == "damaged"
    older = rewritten(weights, tmp_path / "older.safetensors", lambda *_: None)
    assert read_weights(older).epoch == read_weights(weights).epoch
    bad.write_bytes(older.read_bytes()[:-1])
    capfd.readouterr()
    assert focus(["verify", str(weights), str(older)]) == 0
    assert [line.split()[3] for line in capfd.readouterr().out.splitlines()] == ["proved:", "unproved:"]
    assert focus(["verify", str(bad), "--json"]) == 1
    told = capfd.readouterr()
    assert json.loads(told.out)[0]["condition"] == "damaged"
    assert "1 of 1 files are damaged" in told.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h, _: h.pop("focus_params"), "lacks focus_params"),
        (lambda h, _: h["focus_data"].pop("box_size"), "focus_data in its header cannot be used.*box_size"),
        (lambda h, _: h["focus_data"].update(box_size=float("nan")), "NaN is not a finite number"),
        (lambda h, _: h["focus_data"].update(map_shape=[1, 2**40, 2**40]), "pixels, which the network does not draw"),
        (lambda h, _: h["focus_data"].update(map_shape=[3, 8, 8]), "3 fields and 2 parameters.* has 1 and 2"),
        (lambda h, _: h["focus_data"].update(validation_params=[[0.1]]), "do not fit each other"),
        (lambda h, _: h["focus_normaliser"].update(mean="0"), "focus_normaliser in its header cannot be used"),
        (lambda h, _: h["focus_config"].update(modle={}), "modle"),
        (lambda h, _: h["focus_config"]["model"].update(base_channels=16), r" in the file and 16"),
        (lambda h, _: h["focus_config"]["model"].update(base_channels=2**40), "do not fit the network"),
        (lambda h, _: h["focus_config"]["model"].update({"from": "os.path.Net"}), "--trust"),
        (lambda h, _: h["focus_provenance"]["checkpoint"].pop("epoch"), "lacks the epoch"),
        (lambda _, t: t.pop(sorted(t)[0]), "is missing in the file"),
        (lambda _, t: t.update(more=torch.zeros(2)), "more is 2 in the file and missing in the network"),
    ],
)
def test_what_does_not_fit_is_named(weights: Path, tmp_path: Path, change: Any, words: str):
    with pytest.raises(InputError, match=words):
        open_trained(rewritten(weights, tmp_path / "changed.safetensors", change))


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "changed.safetensors"


@settings(max_examples=30)
@given(st.data())
@example(None)
def test_any_value_in_a_header_gives_maps_or_one_error(weights: Path, scratch: Path, data: st.DataObject | None):
    def change(headers: dict[str, Any], _: dict[str, torch.Tensor]) -> None:
        if data is None:
            return
        holder: Any = headers
        at = data.draw(st.sampled_from(sorted(HEADERS.values())))
        while isinstance(holder[at], dict | list) and holder[at] and data.draw(st.integers(0, 4)):
            holder = holder[at]
            keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
            at = data.draw(st.sampled_from(keys))
        holder[at] = data.draw(JSON)

    refused = nullcontext() if data is None else suppress(FocusError)
    with refused:
        model = open_trained(rewritten(weights, scratch, change), device="cpu")
        drain(draw_physical(model, choose_params(model, 1, None, None), model.plan()))
