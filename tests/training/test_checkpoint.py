"""Checkpoint files: written atomically, and loaded without running code."""

import errno
import os
import random
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from focus_engine.config.schema import Config, plain_config
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.errors import InputError
from focus_engine.evaluation.trained_model import open_trained
from focus_engine.runs.resumable import check_resumable
from focus_engine.training.checkpoint import Checkpoint, keep_as_best, keep_previous, load_checkpoint, save_checkpoint
from focus_engine.training.prepare import restore_state, versions


@pytest.fixture
def checkpoint(bench: Callable[..., Any]) -> Checkpoint:
    one = bench(num_epochs=1)
    one.run()
    data = {"fingerprint": "00", "box_size": 25.0}
    return Checkpoint(
        plain_config(Config()), one.state.to_dict(), {"a": [1.0]}, {"b": 2}, data, {"versions": versions()}
    )


@pytest.fixture
def saved(checkpoint: Checkpoint, checkpoint_path: Path) -> Path:
    save_checkpoint(checkpoint_path, checkpoint)
    return checkpoint_path


def one_line(path: Path) -> str:
    """Return the error message of loading `path`, which must name the file and be one line."""
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_what_was_saved_is_loaded(checkpoint: Checkpoint, saved: Path):
    loaded = load_checkpoint(saved)
    assert loaded.config == checkpoint.config
    assert (loaded.epoch, loaded.data, loaded.provenance) == (1, checkpoint.data, checkpoint.provenance)
    for name, weights in checkpoint.state["network"].items():
        assert torch.equal(loaded.state["network"][name], weights)


def test_saving_returns_the_size_and_leaves_no_temporary(checkpoint: Checkpoint, checkpoint_path: Path):
    assert save_checkpoint(checkpoint_path, checkpoint) == checkpoint_path.stat().st_size
    assert list(checkpoint_path.parent.iterdir()) == [checkpoint_path]


def test_a_missing_file(tmp_path: Path):
    assert "no such checkpoint" in one_line(tmp_path / "checkpoint_best.pt")


def test_a_folder_is_no_checkpoint(tmp_path: Path):
    assert "no such checkpoint" in one_line(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 0.9999])
def test_a_truncated_file(saved: Path, share: float):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    assert "not a whole checkpoint" in one_line(saved)


def test_a_text_file(checkpoint_path: Path):
    checkpoint_path.write_text("loss: 0.1\n" * 100)
    assert "not a whole checkpoint" in one_line(checkpoint_path)


def test_damaged_bytes_are_refused_or_change_numbers_only(saved: Path):
    content, draw = saved.read_bytes(), random.Random(0)  # noqa: S311
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 20)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        saved.write_bytes(damaged)
        try:
            load_checkpoint(saved)
        except InputError as error:
            assert str(saved) in str(error)  # noqa: PT017  (both outcomes are valid)


def test_a_foreign_zip(checkpoint_path: Path):
    with zipfile.ZipFile(checkpoint_path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "cannot be read" in one_line(checkpoint_path)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], torch.zeros(2), {"format": "other"}])
def test_a_torch_file_not_written_by_focus(checkpoint_path: Path, content: Any):
    torch.save(content, checkpoint_path)
    assert "not a checkpoint of FOCUS" in one_line(checkpoint_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2; this FOCUS reads version 1"),
        ({"version": None}, "version None"),
        ({"normaliser": None}, "lacks normaliser"),
        ({"config": "text", "data": 3}, "lacks config, data"),
        ({"state": {}}, "lacks its epoch"),
    ],
)
def test_another_version_or_a_hole(checkpoint: Checkpoint, checkpoint_path: Path, change: dict[str, Any], message: str):
    torch.save({"format": "focus-checkpoint", "version": 1, **vars(checkpoint), **change}, checkpoint_path)
    assert message in one_line(checkpoint_path)


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.proof}'",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_refused_not_run(checkpoint_path: Path, tmp_path: Path, legacy: bool):
    proof = tmp_path / "ran"
    content = {"format": "focus-checkpoint", "version": 1, "config": Hostile(proof)}
    torch.save(content, checkpoint_path, _use_new_zipfile_serialization=not legacy)
    message = one_line(checkpoint_path)
    assert legacy or "could run its code, so it is refused" in message
    assert not proof.exists()
    torch.load(checkpoint_path, weights_only=False)  # control: the file does run its code
    assert proof.exists()


def test_a_zip_bomb_is_refused(checkpoint_path: Path):
    with zipfile.ZipFile(checkpoint_path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("archive/data.pkl", "archive/data/0"):
            archive.writestr(name, bytes(1 << 24))
    assert "a checkpoint is not compressed: refused" in one_line(checkpoint_path)


def test_another_model_is_named(bench: Callable[..., Any], checkpoint: Checkpoint, tiny_network: type):
    other = tiny_network()
    other.first = torch.nn.Conv2d(1, 7, 3)
    with pytest.raises(InputError, match=r"another model than config\.yaml describes"):
        restore_state(bench(network=other).state, checkpoint)
    with pytest.raises(InputError, match="another model"):
        restore_state(bench().state, replace(checkpoint, state={"epoch": 1, "network": []}))


@pytest.mark.parametrize(
    ("config", "normaliser", "message"),
    [
        ({"model": {"base_channels": 8, "channel_mults": [1], "cond_dim": 2}}, True, "the weights do not fit"),
        ({"modell": {}}, True, "cannot be read by this FOCUS"),
        ({}, False, "cannot be read by this FOCUS"),
    ],
)
def test_sampling_from_a_checkpoint_that_contradicts_itself(
    bench: Callable[..., Any], checkpoint: Checkpoint, saved: Path, config: Any, normaliser: bool, message: str
):
    batches = bench().training.batches
    parts = {"normaliser": batches._normaliser.to_dict()} if normaliser else {}
    scaler = ParameterScaler(
        names=("a",), mean=(0.0,), std=(1.0,), low=(0.0,), high=(1.0,), scale=("linear",)
    ).to_dict()
    save_checkpoint(saved, replace(checkpoint, config=config, scaler=scaler, **parts))
    with pytest.raises(InputError, match=message) as refused:
        open_trained(saved)
    assert "\n" not in str(refused.value)


def test_best_is_what_last_was(checkpoint: Checkpoint, saved: Path):
    best = saved.with_name("checkpoint_best.pt")
    keep_as_best(saved, best)
    assert saved.samefile(best)  # one copy on disk until the next epoch
    content = best.read_bytes()
    save_checkpoint(saved, replace(checkpoint, state=checkpoint.state | {"epoch": 2}))
    assert best.read_bytes() == content
    assert [load_checkpoint(path).epoch for path in (best, saved)] == [1, 2]
    keep_as_best(saved, best)
    assert load_checkpoint(best).epoch == 2
    assert sorted(path.name for path in saved.parent.iterdir()) == ["checkpoint_best.pt", "checkpoint_last.pt"]


def test_best_is_a_copy_where_there_are_no_links(saved: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    best = saved.with_name("checkpoint_best.pt")
    keep_as_best(saved, best)
    assert best.read_bytes() == saved.read_bytes()
    assert not saved.samefile(best)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 192 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_the_last_good_file(checkpoint: Checkpoint, small_disk: Path):
    path = small_disk / "checkpoint_last.pt"
    save_checkpoint(path, checkpoint)
    large = replace(checkpoint, state=checkpoint.state | {"epoch": 2, "more": torch.zeros(100_000)})
    with pytest.raises(OSError, match="No space left") as refused:
        save_checkpoint(path, large)
    assert refused.value.errno == errno.ENOSPC
    assert load_checkpoint(path).epoch == 1
    assert list(small_disk.iterdir()) == [path]


def test_what_may_change_when_a_run_is_resumed():
    config = Config.model_validate({"training": {"num_epochs": 5}})
    check_resumable(Config.model_validate({"training": {"num_epochs": 9}, "device": "cpu"}), plain_config(config))
    older = plain_config(config)
    del older["training"]["accumulate"], older["notify"]  # written by an earlier FOCUS without these keys
    check_resumable(config, older)
    changed = Config.model_validate({"training": {"num_epochs": 5, "lr": 1e-3}, "model": {"base_channels": 8}})
    with pytest.raises(InputError) as refused:
        check_resumable(changed, plain_config(config))
    assert "model.base_channels: 64 -> 8; training.lr: 0.0001 -> 0.001. Put it back" in str(refused.value)


def test_the_one_before_is_another_file(tmp_path):
    last, previous = tmp_path / "last.pt", tmp_path / "previous.pt"
    with keep_previous(last, previous):
        last.write_text("1")
    assert not previous.exists()
    for number in "23":
        with keep_previous(last, previous):
            last.unlink()
            last.write_text(number)
        assert (last.read_text(), previous.read_text()) == (number, str(int(number) - 1))
        assert not last.samefile(previous)
    with pytest.raises(OSError, match="full"), keep_previous(last, previous):
        raise OSError("full")
    assert (last.read_text(), previous.read_text()) == ("3", "2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]
