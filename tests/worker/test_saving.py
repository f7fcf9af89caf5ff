"""Checkpoints written by a thread: what is on disk when, which epochs, and what happens when the thread fails."""

import os
import threading
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from workers import Make, epochs_of, ignore, same, write_config

from focus_engine.events.log import read_events
from focus_engine.events.table import AveragesSaved, CheckpointSaved, EpochFinished, Event, StepProgress, Warned
from focus_engine.runs.folder import RunFolder
from focus_engine.seal import inspect_path
from focus_engine.training import loop, pace
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.training.snapshots import Snapshot, SnapshotFolder
from focus_engine.worker import saving
from focus_engine.worker.artist import Artist
from focus_engine.worker.foreground import run_in_foreground

pytestmark = pytest.mark.process

RARE = "checkpoint_minutes: 60.0"
NOISY = f"{RARE}\n  ema_decay: 0.0"
"""The validation loss of raw weights rises and falls, so that the best epoch is not always the last."""
CHECKPOINTS = ("checkpoint_best.pt", "checkpoint_last.pt")
PARTS = ("network", "ema", "optimizer", "step", "best_epoch")
"""What a run of other num_epochs has in common with this one up to the same epoch."""


@pytest.fixture(autouse=True)
def no_figures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:  # which `undo` in a test leaves alone
        patch.setattr(Artist, "draw", lambda *_: None)
        yield


def trained(run: RunFolder, watch: Callable[[Event], Any] = ignore, *, resume: bool = False) -> None:
    assert run_in_foreground(run, resume=resume, device=None, on_event=watch).state == "finished"


def saved_by(run: RunFolder) -> list[tuple[str, int]]:
    return [(event.kind, event.epoch) for event in read_events(run.events) if isinstance(event, CheckpointSaved)]


def warnings_of(run: RunFolder) -> list[str]:
    return [e.message for e in read_events(run.events) if isinstance(e, Warned) and e.code == "checkpoint"]


def write_noisy(run: RunFolder, epochs: int) -> None:
    write_config(run, epochs=epochs, more=NOISY)
    run.config.write_text(run.config.read_text().replace("lr: 1e-3", "lr: 3e-2"))


def noisy(make: Make, name: str, epochs: int) -> RunFolder:
    run = make(name)
    write_noisy(run, epochs)
    return run


def recorded_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[threading.Thread, str]]:
    """Return a list to which each fsync and each replace is added: the thread and the name of the file."""
    calls: list[tuple[threading.Thread, str]] = []
    fsync, replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        fsync(descriptor)
        calls.append((threading.current_thread(), Path(f"/proc/self/fd/{descriptor}").resolve().name))

    def rename(source: Path, target: Path) -> None:
        replace(source, target)
        calls.append((threading.current_thread(), Path(target).name))

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    return calls


def test_training_goes_on_while_a_checkpoint_is_written_and_the_best_epoch_is_kept(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    run, gate, real, threads = noisy(make, "run", 5), threading.Event(), saving.save_checkpoint, []

    def save(path: Path, checkpoint: Any) -> int:
        threads.append(threading.current_thread())
        assert gate.wait(60)
        return real(path, checkpoint)

    most = 0

    def watch(event: Event) -> None:
        nonlocal most
        most = max(most, len([path for path in run.checkpoints.iterdir() if ".pt" in path.name]))
        if isinstance(event, EpochFinished) and event.epoch == 3:
            gate.set()

    calls = recorded_calls(monkeypatch)
    monkeypatch.setattr(saving, "save_checkpoint", save)
    monkeypatch.setattr(saving, "SHARE", 1e-9)  # no epoch but the first and the last is cheap enough to save
    trained(run, watch)
    best = epochs_of(run)[-1].best_epoch
    monkeypatch.undo()
    assert not run.checkpoint_best.samefile(run.checkpoint_last)
    assert 1 <= most <= 4  # with the one that is being written
    assert 1 < best < 5
    assert threads[0] is threads[1] is not threading.main_thread()
    assert saved_by(run)[:2] == [("best", 1), ("last", 1)]
    assert saved_by(run)[2:] == [("best", best), ("last", 5)]
    written = load_checkpoint(run.checkpoint_previous)  # from the copy of epoch 1, when epoch 3 was trained
    assert (written.epoch, written.state["step"]) == (1, epochs_of(run)[0].step)
    to_best = noisy(make, "to best", best)
    trained(to_best)
    one, other = load_checkpoint(run.checkpoint_best).state, load_checkpoint(to_best.checkpoint_last).state
    assert all(same(one[part], other[part]) for part in PARTS)
    for thread in set(threads):
        of_thread = [name for caller, name in calls if caller is thread]
        for at in [at for at, name in enumerate(of_thread) if name in CHECKPOINTS]:
            before = list(takewhile(lambda name: name not in CHECKPOINTS, reversed(of_thread[:at])))
            assert before[0].startswith(f".{of_thread[at]}.")
            assert "events.jsonl" in before[1:]
            assert of_thread[at + 1] == "checkpoints"
    main = threading.main_thread()
    assert calls[-2:] == [(main, "logs"), (main, "events.jsonl")]  # after the last event


def test_a_thread_that_fails_is_reported_and_a_damaged_checkpoint_is_passed_over(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    last = 8  # on a busy machine the first write outlasts some epochs, and two must follow
    run, whole = noisy(make, "run", last), noisy(make, "whole", last + 1)
    monkeypatch.setattr(saving, "SHARE", 1e9)  # every epoch whose write before has ended

    def watch(event: Event) -> None:
        if isinstance(event, CheckpointSaved) and (event.kind, event.epoch) == ("last", 1):
            run.checkpoint_last.unlink()
            run.checkpoint_last.mkdir()  # in the way of the next
        if isinstance(event, Warned) and event.code == "checkpoint":
            run.checkpoint_last.rmdir()

    trained(run, watch)
    assert warnings_of(run)[-1].endswith("(Is a directory): the next is written in the loop")
    assert len(warnings_of(run)) == 1
    assert saved_by(run)[-1] == ("last", last)

    content = bytearray(run.checkpoint_last.read_bytes())
    content[len(content) // 2] ^= 4
    run.checkpoint_last.write_bytes(content)
    write_noisy(run, last + 1)
    before = load_checkpoint(run.checkpoint_previous).epoch
    trained(run, resume=True)
    trained(whole)
    assert before < last
    assert f"; going on from checkpoint_previous.pt, epoch {before}" in warnings_of(run)[1]
    assert inspect_path(run.checkpoint_previous).condition == "proved"  # the damaged one did not replace it
    for path in (run.checkpoint_last, run.checkpoint_best):
        one, other = load_checkpoint(path).state, load_checkpoint(whole.checkpoints / path.name).state
        assert all(same(one[part], other[part]) for part in PARTS)


def test_a_gpu_that_disappears_ends_the_run_in_words_and_leaves_the_checkpoints_that_were_whole(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    run, lost = noisy(make, "run", 5), threading.Event()

    def gone(*_: Any) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure\nSearch for it")

    def watch(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 3:
            lost.set()

    real_step, real_wait = loop.make_step, saving.HostCopy.wait
    monkeypatch.setattr(saving, "SHARE", 1e-9)  # only the first epoch is saved; a better one waits in memory
    monkeypatch.setattr(loop, "make_step", lambda *given: gone() if lost.is_set() else real_step(*given))
    # The copy of the best epoch is still on its way from the device.
    monkeypatch.setattr(saving.HostCopy, "wait", lambda copy: gone() if lost.is_set() else real_wait(copy))
    outcome = run_in_foreground(run, resume=False, device=None, on_event=watch)
    assert outcome.state == "failed"
    assert outcome.reason.startswith(
        "the GPU no longer answers (CUDA error: unspecified launch failure): see nvidia-smi"
    )
    assert "the last good checkpoint is checkpoint_last.pt (epoch 1)" in outcome.reason
    assert epochs_of(run)[-1].best_epoch > 1
    assert [load_checkpoint(path).epoch for path in (run.checkpoint_last, run.checkpoint_best)] == [1, 1]


def test_training_goes_on_while_a_snapshot_is_written_and_a_checkpoint_that_counts_it_waits(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    run, gate, threads, order = make("run"), threading.Event(), [], list[str]()
    write_config(run, epochs=2, more=f"{RARE}\n  averages: true")
    write, save = SnapshotFolder.write, saving.save_checkpoint
    reported: list[int] = []

    def slow(folder: SnapshotFolder, snapshot: Snapshot, gigabytes: float) -> int:
        threads.append(threading.current_thread().name)
        assert gate.wait(60)
        if snapshot.step == 2:
            raise OSError(5, "Input/output error")
        order.append(f"snapshot {snapshot.step}")
        return write(folder, snapshot, gigabytes)

    def saves(path: Path, checkpoint: Any) -> int:
        order.append(f"checkpoint {checkpoint.state['step']}")
        return save(path, checkpoint)

    def watch(event: Event) -> None:
        if isinstance(event, StepProgress):
            reported.append(event.step)
            gate.set()

    monkeypatch.setattr(pace, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(SnapshotFolder, "write", slow)
    monkeypatch.setattr(saving, "save_checkpoint", saves)
    trained(run, watch)
    events = read_events(run.events)
    saved = [event for event in events if isinstance(event, AveragesSaved)]
    assert set(threads) == {"focus-snapshot"}
    assert reported[0] == saved[0].step == 1, "training went on before the first snapshot was written"
    assert [event.step for event in saved if not event.path] == [2]
    assert [event.step for event in saved if event.path] == SnapshotFolder(run.averages).steps()
    warned = [event.message for event in events if isinstance(event, Warned) and event.code == "averages"]
    assert warned == ["no snapshots of the averaged weights from step 2 on: Input/output error"]
    for at, what in enumerate(order):
        if what.startswith("checkpoint"):
            step = int(what.split()[1])
            assert {f"snapshot {one.step}" for one in saved if one.path and one.step <= step} <= set(order[:at])
