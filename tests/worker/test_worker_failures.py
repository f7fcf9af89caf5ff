"""The outcome that a worker records when its input, its numbers, its watcher or its disk fail."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workers import DATA, Make, ignore, outcome_of, told, write_config

from focus_engine.errors import FocusError, InputError
from focus_engine.events.log import read_events
from focus_engine.events.table import CheckpointSaved, Event, RunEnded, Warned
from focus_engine.launch.start import start_run
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.worker import __main__ as worker
from focus_engine.worker import recorder
from focus_engine.worker.foreground import run_in_foreground

pytestmark = pytest.mark.process


def test_changed_data_are_refused_to_whoever_resumes(make: Make, tmp_path: Path, cache: Path):
    source = next((cache / "universes").iterdir())
    maps, params = tmp_path / "maps.npy", tmp_path / "params.txt"
    maps.write_bytes((source / "maps.npy").read_bytes())
    params.write_bytes((source / "params.txt").read_bytes())
    data = f"maps_path: {maps}, params_path: {params}, maps_per_simulation: 15, train_split: 0.6"
    run = make(epochs=1, data=data)
    run_in_foreground(run, resume=False, device=None, on_event=ignore)
    checkpoint = run.checkpoint_last.read_bytes()
    changed = np.load(maps)
    changed[0] *= 2
    np.save(maps, changed)
    write_config(run, epochs=2, data=data)
    with pytest.raises(InputError, match="the data have changed since the checkpoint was written"):
        start_run(run, resume=True)
    assert summarise(run).state == "failed"
    assert outcome_of(run).epoch == 1
    assert run.checkpoint_last.read_bytes() == checkpoint
    assert told(run) == ["finished 1", "failed 1"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"more": "sead: 1"}, "unknown key"),
        ({"data": "maps_path: missing.npy, params_path: missing.txt"}, "missing.npy"),
        ({"data": DATA.replace("map_size: 16", "map_size: 17")}, "use a multiple of 2, or fewer levels"),
    ],
)
def test_wrong_input_fails_with_a_reason(make: Make, capfd: pytest.CaptureFixture[str], keys: Any, message: str):
    run = make(**keys)
    assert worker.main([str(run.path)]) == 2
    assert summarise(run).state == "failed"
    assert message in str(summarise(run).reason)
    assert "checkpoint" not in str(summarise(run).reason)
    shown = capfd.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert not run.has_checkpoints()


def test_a_loss_that_leaves_the_start_of_sampling_untrained_is_refused(make: Make):
    run, words = make(), "prediction: v"
    text = run.config.read_text()
    run.config.write_text(text.replace(words, f"{words}, zero_terminal_snr: true, min_snr_gamma: 5.0"))
    assert worker.main([str(run.path)]) == 2
    assert "set diffusion.min_snr_offset to 1" in str(summarise(run).reason)
    assert not run.checkpoint_last.exists()


def test_a_worker_without_launcher_obeys_the_same_rules(make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert worker.main([str(tmp_path / "nothing")]) == 2
    assert not (tmp_path / "nothing").exists()
    run = make()
    run.make_folders()
    run.checkpoint_best.write_bytes(b"precious")
    assert worker.main([str(run.path)]) == 2
    assert "has checkpoints" in capfd.readouterr().err
    assert run.checkpoint_best.read_bytes() == b"precious"


def test_a_folder_that_cannot_be_written(make: Make, capfd: pytest.CaptureFixture[str]):
    run = make()
    run.logs.write_text("in the way")
    with pytest.raises(FocusError, match="cannot be written") as refused:
        start_run(run)
    assert refused.value.exit_code == 1
    assert worker.main([str(run.path)]) == 1
    assert "cannot be written" in capfd.readouterr().err


def test_nan_fails_in_words(make: Make):
    run = make(epochs=4, more="ema_decay: 0.0")
    run.config.write_text(run.config.read_text().replace("lr: 1e-3", "lr: 1e30"))
    assert worker.main([str(run.path)]) == 1
    reason = str(summarise(run).reason)
    assert summarise(run).state == "failed"
    assert "became" in reason
    assert "lower training.lr" in reason
    assert reason.endswith("; no checkpoint was written yet")


def test_a_watcher_that_fails_leaves_a_stopped_run(make: Make):
    run = make(epochs=1000)

    def watch(event: Event) -> None:
        if isinstance(event, CheckpointSaved):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_in_foreground(run, resume=False, device=None, on_event=watch)
    assert (summarise(run).state, outcome_of(run).epoch) == ("stopped", 1)
    assert "the last good checkpoint is checkpoint_last.pt (epoch 1)" in str(summarise(run).reason)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that takes the first checkpoint, as last and as best, and no other."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2400k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def large(run: RunFolder) -> RunFolder:
    """Return the run with a network whose checkpoints are more than a page of a small disk."""
    run.config.write_text(run.config.read_text().replace("base_channels: 4", "base_channels: 8"))
    return run


def test_a_full_disk_fails_in_words_and_keeps_the_last_checkpoint(
    make: Make, small_disk: Path, capfd: pytest.CaptureFixture[str]
):
    run = large(make(root=small_disk, epochs=5))
    assert worker.main([str(run.path)]) == 1
    outcome = outcome_of(run)
    assert outcome.state == "failed"
    assert outcome.reason.startswith("No space left on device")
    assert "free some space" in outcome.reason
    assert outcome.reason.endswith("the last good checkpoint is checkpoint_last.pt (epoch 1)")
    assert load_checkpoint(run.checkpoint_last).epoch == 1
    assert not run.averages.exists()  # a snapshot takes no disk that checkpoints need
    warned = [event.message for event in read_events(run.events) if isinstance(event, Warned)]
    assert [message for message in warned if "no snapshots of the averaged weights from step 1 on" in message]
    assert told(run) == ["failed 1"]
    assert "Traceback" not in capfd.readouterr().err


def test_a_disk_too_full_for_the_last_word_still_ends_the_worker(
    make: Make, small_disk: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    run = large(make(root=small_disk, epochs=1000))
    real = recorder.append_event

    def append(path: Path, event: Event) -> None:
        if isinstance(event, RunEnded):  # a page of tmpfs that is half full would take it
            raise OSError(28, "No space left on device", str(path))
        real(path, event)

    monkeypatch.setattr(recorder, "append_event", append)
    assert worker.main([str(run.path)]) == 1
    shown = capfd.readouterr().err
    assert "the event log cannot be written: No space left on device" in shown
    assert "failed: No space left on device" in shown
    assert "Traceback" not in shown
