"""Random lives of a run, against a model of what must be true: started, stopped, killed, resumed, labelled, removed.

`HYPOTHESIS_PROFILE=nightly` (`make nightly`) goes through a thousand lives; the others through a few short ones.
"""

import contextlib
import functools
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from workers import write_config

from focus_engine.errors import RunConflictError
from focus_engine.events.log import read_events
from focus_engine.events.table import EpochFinished, Event
from focus_engine.launch.run_lock import run_lock
from focus_engine.launch.start import check_can_start, request_stop
from focus_engine.launch.state import summarise
from focus_engine.launch.stop_request import write_stop_request
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import Labels, read_labels
from focus_engine.runs.proofs import verify
from focus_engine.training import pace
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.worker import session
from focus_engine.worker.foreground import run_in_foreground
from focus_tui.__main__ import run as focus

pytestmark = pytest.mark.process
EPOCHS = 3
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
ENDS = ("finished", "stopped", "failed")


def worked(run: RunFolder, at: int, act: Callable[[], object]) -> int:
    """Train `run` in a process of its own, which calls `act` after `at` events; return its wait status."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    code = 70
    try:
        os.setsid()
        pace.PROGRESS_SECONDS = 0.0
        session.Artist.draw = lambda _self, _what: None  # type: ignore[method-assign]
        seen = 0

        def count(event: Event) -> None:  # noqa: ARG001
            nonlocal seen
            seen += 1
            if seen == at:
                act()

        resume = run.has_checkpoints() or run.events.exists()
        code = ENDS.index(run_in_foreground(run, resume=resume, on_event=count).state)
    finally:
        os._exit(code)


def losses(run: RunFolder) -> dict[int, float]:
    """Return the validation loss of each epoch; of one that was trained again, the last."""
    return {one.epoch: one.val_loss for one in read_events(run.events) if isinstance(one, EpochFinished)}


def where(applies: Callable[["Lives"], bool]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator of a rule that does nothing where it does not apply.

    Hypothesis's `precondition` would have it draw other rules there. Whether a run that is killed at an event has
    finished before depends on the speed of the machine, and Hypothesis requires that it does not.
    """

    def decorated(act: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(act)
        def checked(self: "Lives", **drawn: object) -> None:
            if applies(self):
                act(self, **drawn)

        return checked

    return decorated


class Lives(RuleBasedStateMachine):
    """A run and its model.

    Attributes:
        root: experiments folder.
        wanted: the losses of a run that nothing disturbed.
    """

    root: Path
    wanted: dict[int, float]
    begun = trained = 0

    def __init__(self) -> None:
        super().__init__()
        Lives.begun += 1
        self.run = RunFolder(self.root / "x")
        self.state = "removed"
        self.labels = Labels()

    @property
    def exists(self) -> bool:
        return self.state != "removed"

    def focus(self, *arguments: str) -> int:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return focus(["--root", str(self.root), *arguments])

    @initialize()
    def begin(self) -> None:
        if self.run.path.exists():
            assert self.focus("rm", "x", "--yes") == 0
        self.make()

    @rule()
    @where(lambda self: not self.exists)
    def make(self) -> None:
        self.run.path.mkdir()
        write_config(self.run, epochs=EPOCHS, more="checkpoint_minutes: 1.0e-3\n  ema_decay: 0.9")
        self.state, self.labels = "created", Labels()

    @rule(how=st.sampled_from(["on", "epoch", "now", "kill"]), at=st.integers(1, 14))
    @where(lambda self: self.state in {"created", "stopped", "lost"})
    def train(self, how: str, at: int) -> None:
        before = losses(self.run)
        Lives.trained += 1
        acts: dict[str, Callable[[], object]] = {
            "on": lambda: None,
            "epoch": lambda: write_stop_request(self.run, "epoch"),
            "now": lambda: request_stop(self.run, "now"),
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
        }
        status = worked(self.run, at, acts[how])
        killed = os.WIFSIGNALED(status)
        assert not killed or how == "kill"
        state = "lost" if killed else ENDS[os.waitstatus_to_exitcode(status)]
        assert state in {"on": {"finished"}, "kill": {"lost", "finished"}}.get(how, {"stopped", "finished"})
        self.state = state
        assert losses(self.run).items() >= before.items(), "an epoch was lost, or went another way the second time"

    @rule(resume=st.booleans())
    @where(lambda self: self.state == "finished")
    def train_again(self, resume: bool) -> None:
        with pytest.raises(RunConflictError):
            check_can_start(self.run, resume=resume)

    @rule()
    @where(lambda self: self.exists)
    def start_twice(self) -> None:
        with run_lock(self.run), pytest.MonkeyPatch.context() as patch:
            patch.setattr("focus_engine.launch.run_lock.LOCK_SECONDS", 0.0)
            with pytest.raises(RunConflictError), run_lock(self.run):
                pass

    @rule(when=st.sampled_from(["epoch", "now"]))
    @where(lambda self: self.exists)
    def stop_what_does_not_run(self, when: str) -> None:
        assert self.focus("stop", "x", *(["--now"] if when == "now" else [])) == 2

    @rule(tag=st.sampled_from(["a", "b"]), put=st.booleans())
    @where(lambda self: self.exists)
    def label(self, tag: str, put: bool) -> None:
        self.labels = self.labels.with_tags([tag] if put else [], [] if put else [tag])
        assert self.focus("tag", "x", *([tag] if put else ["--remove", tag])) == 0

    @rule(put=st.booleans())
    @where(lambda self: self.exists)
    def archive(self, put: bool) -> None:
        self.labels = Labels(self.labels.tags, self.labels.note, put)
        assert self.focus("archive", "x", *([] if put else ["--undo"])) == 0

    @rule()
    @where(lambda self: self.exists)
    def remove(self) -> None:
        assert self.focus("rm", "x", "--yes") == 0
        self.state = "removed"

    @invariant()
    def the_state_is_that_of_the_model(self) -> None:
        assert self.run.path.exists() == self.exists
        assert summarise(self.run).state == ("created" if not self.exists else self.state)
        if self.exists:
            assert read_labels(self.run) == self.labels

    @invariant()
    def the_log_tells_one_history(self) -> None:
        found, summary = losses(self.run), summarise(self.run)
        assert list(found) == list(range(1, len(found) + 1))
        assert found.items() <= self.wanted.items(), "trained otherwise than undisturbed"
        assert (self.state == "finished") <= (found == self.wanted)
        if found and summary.best_val_loss is not None:
            assert summary.best_val_loss == min(found[number] for number in range(1, (summary.epoch or 0) + 1))

    @invariant()
    def every_checkpoint_is_whole(self) -> None:
        assert all(one.inspection.condition == "proved" for one in verify(self.run))
        if self.run.checkpoint_last.exists():
            assert load_checkpoint(self.run.checkpoint_last).epoch <= len(losses(self.run))
        assert self.state != "finished" or not [*self.run.checkpoints.glob(".*.tmp"), *self.run.logs.glob("*.new")]


def test_lives_of_a_run(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOCUS_CACHE", str(cache))
    whole = RunFolder(tmp_path / "whole")
    whole.path.mkdir()
    write_config(whole, epochs=EPOCHS, more="checkpoint_minutes: 1.0e-3\n  ema_decay: 0.9")
    assert worked(whole, 0, lambda: None) == 0
    Lives.root, Lives.wanted = tmp_path, losses(whole)
    assert list(Lives.wanted) == [1, 2, 3]
    long = settings(max_examples=1000, stateful_step_count=12)
    few = settings(max_examples=2, stateful_step_count=7, derandomize=True)
    chosen = settings(long if LONG else few, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    failed = True
    try:
        run_state_machine_as_test(Lives, settings=chosen)
        failed = False
    finally:
        if table := os.environ.get("FOCUS_LIVES"):
            found = {"lives": Lives.begun, "trainings": Lives.trained, "violated": failed}
            Path(table).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
