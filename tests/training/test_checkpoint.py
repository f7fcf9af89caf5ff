"""Checkpoint files: written atomically, and loaded without running code."""

import errno
import os
import random
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from focus_engine.config.schema import Config, plain_config
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.errors import InputError
from focus_engine.evaluation.trained_model import open_trained
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.resumable import check_resumable
from focus_engine.seal import inspect, inspect_path
from focus_engine.training.checkpoint import Checkpoint, keep_previous, load_checkpoint, save_checkpoint
from focus_engine.training.host_copy import HostCopy
from focus_engine.training.prepare import restore_state, versions
from focus_engine.worker.saving import last_good_checkpoint


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


def flipped(content: bytes, bit: int) -> bytes:
    """Return `content` with one bit changed."""
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_any_flipped_bit_of_the_last_checkpoint_is_refused_and_the_one_before_is_used(
    checkpoint: Checkpoint, tmp_path: Path
):
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    save_checkpoint(run.checkpoint_previous, checkpoint)
    save_checkpoint(run.checkpoint_last, replace(checkpoint, state=checkpoint.state | {"epoch": 2}))
    content, draw = run.checkpoint_last.read_bytes(), random.Random(0)  # noqa: S311
    for bit in draw.sample(range(8 * len(content)), 200):
        run.checkpoint_last.write_bytes(flipped(content, bit))
        assert one_line(run.checkpoint_last)
        saved, warning = last_good_checkpoint(run)
        assert saved is not None
        assert saved.epoch == 1
        assert str(warning).startswith(f"{run.checkpoint_last}: ")
        assert str(warning).endswith("; going on from checkpoint_previous.pt, epoch 1")
    end = range(8 * (len(content) - 64), 8 * len(content))  # the directory's end, where the seal is
    assert {inspect(BytesIO(flipped(content, bit))).condition for bit in end} == {"damaged"}
    run.checkpoint_last.write_bytes(content)
    saved, warning = last_good_checkpoint(run)
    assert (saved is not None and saved.epoch, warning) == (2, None)


def test_a_checkpoint_without_seal_is_checked_by_the_archive_alone(checkpoint: Checkpoint, checkpoint_path: Path):
    torch.save({"format": "focus-checkpoint", "version": 1, **vars(checkpoint)}, checkpoint_path)  # as FOCUS 0.1 did
    content = checkpoint_path.read_bytes()
    assert inspect_path(checkpoint_path).condition == "unproved"
    assert load_checkpoint(checkpoint_path).epoch == 1
    with zipfile.ZipFile(checkpoint_path) as archive:
        weights = max(archive.infolist(), key=lambda entry: entry.file_size)
    at = weights.header_offset + weights.file_size  # within the data, which follow a header of under 1 kB
    checkpoint_path.write_bytes(flipped(content, 8 * at))
    assert f"damaged: its member {weights.filename} does not have its CRC-32" in one_line(checkpoint_path)


def test_a_copy_of_the_state_makes_the_same_file_and_training_leaves_it_alone(
    bench: Callable[..., Any], checkpoint: Checkpoint, tmp_path: Path
):
    one, memory = bench(num_epochs=2), HostCopy()
    one.run()
    for _ in range(2):  # the second copy overwrites the memory of the first
        held = replace(checkpoint, state=memory.take(one.state.to_dict()))
        files = [tmp_path / "live.pt", tmp_path / "copy.pt"]
        for file, written in zip(files, (replace(checkpoint, state=one.state.to_dict()), held), strict=True):
            save_checkpoint(file, written)
        assert files[0].read_bytes() == files[1].read_bytes()
        with torch.no_grad():
            for weights in one.state.network.parameters():
                weights.add_(1.0)
        save_checkpoint(files[0], held)
        assert files[0].read_bytes() == files[1].read_bytes()


def test_copies_keep_shared_memory_strides_and_empty_tensors():
    base = torch.arange(24.0).reshape(2, 3, 2, 2).to(memory_format=torch.channels_last)
    copy = HostCopy().take({"base": base, "part": base[0], "empty": torch.empty(0), "other": (1, None, [base.int()])})
    assert torch.equal(copy["base"], base)
    assert copy["base"].stride() == base.stride()
    assert copy["part"].untyped_storage().data_ptr() == copy["base"].untyped_storage().data_ptr()
    assert copy["base"].data_ptr() != base.data_ptr()
    assert (copy["empty"].numel(), copy["other"][:2], copy["other"][2][0].dtype) == (0, (1, None), torch.int32)


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
        ({"scaler": {"mean": torch.zeros(1).expand(2**50)}}, "scaler is not plain text and numbers"),
        ({"data": {"names": [torch.zeros(2)]}}, "data is not plain"),
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
