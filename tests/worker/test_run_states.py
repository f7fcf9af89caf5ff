"""Random lives of a run, against a model of what must be true: started, stopped, killed, resumed, labelled, removed.

`HYPOTHESIS_PROFILE=nightly` (`make nightly`) goes through a thousand lives; the others through a few short ones.
A life takes half a second of CPU time: its network is the smallest that there is, checkpoints whose file did not
change are not read again, and the tree of commands is built once. `FOCUS_LIVES` names a table that is written after
each life.
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
import typer.main
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from preload import folder_in_memory, load_optimiser
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
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
EPOCHS = 3 if LONG else 2
LIVES = int(os.environ.get("FOCUS_LIVES_COUNT", "1000"))
ENDS = ("finished", "stopped", "failed")
LARGER = "base_channels: 4, channel_mults: [1, 2], time_dim: 16"
SMALLEST = "from: DiT, time_dim: 8, dit: {patch: 8, width: 8, depth: 1, heads: 1}"
DATA = "simulations: 8, grid: 8, map_size: 8, maps_per_simulation: 15, train_split: 0.6"


def write_smallest(run: RunFolder) -> None:
    """Write the config of a run that trains in a few hundredths of a second and saves after each step."""
    write_config(run, epochs=EPOCHS, more="checkpoint_minutes: 1.0e-5\n  ema_decay: 0.9", data=DATA)
    text = run.config.read_text(encoding="utf-8")
    assert LARGER in text
    run.config.write_text(text.replace(LARGER, SMALLEST), encoding="utf-8")


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


def identity(path: Path) -> tuple[int, ...]:
    """Return what changes with every write to a file, and what nobody can set back (its ctime)."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


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
        table: file that the counts are written to after each life; None if nobody asked for it.
    """

    root: Path
    wanted: dict[int, float]
    table: Path | None = None
    lived = trained = removed = killed = 0

    def __init__(self) -> None:
        super().__init__()
        self.run = RunFolder(self.root / "x")
        self.state = "removed"
        self.labels = Labels()
        self.proved: dict[str, tuple[int, ...]] = {}

    @classmethod
    def count(cls, state: str) -> None:
        """Write what was done so far, and whether it goes on, is over, or found what the model forbids."""
        if cls.table is not None:
            counts = {name: getattr(cls, name) for name in ("lived", "trained", "killed", "removed")}
            cls.table.write_text(json.dumps({"state": state, **counts}, indent=1) + "\n", encoding="utf-8")

    def teardown(self) -> None:
        Lives.lived += 1
        self.count("goes on")

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
        write_smallest(self.run)
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
        Lives.killed += killed
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
        Lives.removed += 1

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
        files = {path.name: identity(path) for path in self.run.checkpoints.glob("*")}
        if files != self.proved:
            assert all(one.inspection.condition == "proved" for one in verify(self.run))
            if self.run.checkpoint_last.exists():
                assert load_checkpoint(self.run.checkpoint_last).epoch <= len(losses(self.run))
            self.proved = files
        assert self.state != "finished" or not [*self.run.checkpoints.glob(".*.tmp"), *self.run.logs.glob("*.new")]


def one_known_life() -> None:
    """Train whatever Hypothesis draws: killed, stopped, each time gone on from, and finished."""
    life = Lives()

    def check(state: str) -> None:
        assert life.state == state
        life.the_state_is_that_of_the_model()
        life.the_log_tells_one_history()
        life.every_checkpoint_is_whole()

    life.begin()
    life.train(how="kill", at=6)
    check("lost")
    life.label(tag="a", put=True)
    life.train(how="now", at=4)
    check("stopped")
    life.train(how="on", at=1)
    check("finished")
    life.train_again(resume=True)
    life.remove()


def test_lives_of_a_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("focus_engine.training.validation.DRAWS", 8)
    monkeypatch.setattr("typer.main.get_command", functools.cache(typer.main.get_command))
    monkeypatch.setenv("FOCUS_CACHE", "")  # set below, and set back at the end
    Lives.table = Path(table) if (table := os.environ.get("FOCUS_LIVES")) else None
    load_optimiser()
    with folder_in_memory("focus-lives-") as root:  # a thousand lives sync 50,000 files
        live(root)


def live(root: Path) -> None:
    """Train a run that nothing disturbs, then go through all lives. Raises what the model forbids."""
    whole = RunFolder(root / "whole")
    whole.path.mkdir()
    write_smallest(whole)
    assert worked(whole, 0, lambda: None) == 0
    Lives.root, Lives.wanted = root, losses(whole)
    assert list(Lives.wanted) == list(range(1, EPOCHS + 1))
    one_known_life()
    long = settings(max_examples=LIVES, stateful_step_count=12)
    few = settings(max_examples=2, stateful_step_count=7, derandomize=True)
    chosen = settings(long if LONG else few, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    try:
        run_state_machine_as_test(Lives, settings=chosen)
    except BaseException:
        Lives.count("violated")
        raise
    Lives.count("over")
