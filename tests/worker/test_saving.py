"""Checkpoints written by a thread: what is on disk when, which epochs, and what happens when the thread fails."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workers import Make, epochs_of, ignore, same

from focus_engine.events.log import read_events
from focus_engine.events.table import CheckpointSaved, EpochFinished, Event, Warned
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.worker import saving
from focus_engine.worker.foreground import run_in_foreground

pytestmark = pytest.mark.process

RARE = "checkpoint_minutes: 60.0"
NOISY = f"{RARE}\n  ema_decay: 0.0"
"""The validation loss of raw weights rises and falls, so that the best epoch is not always the last."""


def trained(run: RunFolder, watch: Callable[[Event], Any] = ignore) -> None:
    assert run_in_foreground(run, resume=False, device=None, on_event=watch).state == "finished"


def saved_by(run: RunFolder) -> list[tuple[str, int]]:
    return [(event.kind, event.epoch) for event in read_events(run.events) if isinstance(event, CheckpointSaved)]


def noisy(make: Make, name: str, epochs: int) -> RunFolder:
    run = make(name, epochs=epochs, more=NOISY)
    run.config.write_text(run.config.read_text().replace("lr: 1e-3", "lr: 3e-2"))
    return run


def test_training_goes_on_while_a_checkpoint_is_written_and_the_best_epoch_is_kept(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    run, gate, real, threads = noisy(make, "run", 6), threading.Event(), saving.save_checkpoint, []

    def save(path: Path, checkpoint: Any) -> int:
        threads.append(threading.current_thread())
        assert gate.wait(60)
        return real(path, checkpoint)

    def watch(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 3:
            gate.set()

    monkeypatch.setattr(saving, "save_checkpoint", save)
    monkeypatch.setattr(saving, "SHARE", 1e-9)  # no epoch but the first and the last is cheap enough to save
    trained(run, watch)
    best = epochs_of(run)[-1].best_epoch
    assert 1 < best < 6
    assert threads[0] is threads[1] is not threading.main_thread()
    assert saved_by(run)[:2] == [("best", 1), ("last", 1)]
    assert saved_by(run)[2:] == [("best", best), ("last", 6)]
    written = load_checkpoint(run.checkpoint_previous)  # from the copy of epoch 1, when epoch 3 was trained
    assert (written.epoch, written.state["step"]) == (1, epochs_of(run)[0].step)
    to_best = noisy(make, "to best", best)
    trained(to_best)
    one, other = load_checkpoint(run.checkpoint_best).state, load_checkpoint(to_best.checkpoint_last).state
    assert all(same(one[part], other[part]) for part in ("network", "ema", "optimizer", "step", "best_epoch"))


def test_a_thread_that_fails_is_reported_and_the_loop_writes_the_next(make: Make, monkeypatch: pytest.MonkeyPatch):
    run, whole = noisy(make, "run", 5), noisy(make, "whole", 5)
    monkeypatch.setattr(saving, "SHARE", 1e9)  # every epoch whose write before has ended

    def watch(event: Event) -> None:
        if isinstance(event, CheckpointSaved) and (event.kind, event.epoch) == ("last", 1):
            run.checkpoint_last.unlink()
            run.checkpoint_last.mkdir()  # in the way of the next
        if isinstance(event, Warned) and event.code == "checkpoint":
            run.checkpoint_last.rmdir()

    trained(run, watch)
    trained(whole)
    said = [event.message for event in read_events(run.events) if isinstance(event, Warned)]
    assert [one for one in said if "could not be written in the background" in one] == said[-1:]
    assert "Is a directory" in said[-1]
    assert saved_by(run)[-1] == ("last", 5)
    for path in (run.checkpoint_last, run.checkpoint_best):
        assert same(load_checkpoint(path).state, load_checkpoint(whole.checkpoints / path.name).state)
