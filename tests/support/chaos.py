"""Fault injection on real runs, and the criteria of a failure.

A run is lost when it does not end bit for bit as it does undisturbed. A checkpoint is corrupted when it cannot be
read. A state lied when it was live for a dead worker or dead for a live one. Workers are forked from this process,
which has torch loaded: that saves seconds for each of hundreds of workers.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from preload import load_optimiser
from workers import same, write_config

from focus_engine.errors import FocusError
from focus_engine.events.log import read_events
from focus_engine.events.table import EpochFinished
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import LIVE_STATES
from focus_engine.runs.folder import RunFolder
from focus_engine.training import pace
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.worker import __main__ as worker
from focus_engine.worker import session as run_training

EPOCHS = 5
"""Epochs of a run in `make chaos`; the tests take fewer, since a worker costs them a second of CPU."""
MORE = "checkpoint_minutes: 1.0e-3\n  ema_decay: 0.9"
PATIENCE = 60.0
"""Timeout [s] after which a worker that has not reacted counts as a lost run."""
TIMES = {"time", "seconds", "maps_per_second", "data_wait", "eta_seconds", "best_epoch_time"}


@dataclass
class Score:
    """The number of times that a fault was inflicted, and its failures, which should all be 0."""

    fault: str
    inflicted: int = 0
    runs_lost: int = 0
    checkpoints_corrupted: int = 0
    states_that_lied: int = 0

    @property
    def harm(self) -> int:
        """Sum of all failures."""
        return self.runs_lost + self.checkpoints_corrupted + self.states_that_lied


class Chaos:
    """Creates runs, inflicts faults, resumes the runs and counts failures."""

    def __init__(self, folder: Path, seed: int = 0, epochs: int = EPOCHS) -> None:
        self.folder, self.epochs = folder, epochs
        self.random = random.Random(seed)  # noqa: S311  (moments, not secrets)
        self._made = 0
        load_optimiser()
        self.whole = self.make("undisturbed")
        self.finish(self.whole)
        self.wanted = load_checkpoint(self.whole.checkpoint_last).state
        self.history = _history(self.whole)

    def make(self, name: str | None = None, *, root: Path | None = None, more: str = MORE) -> RunFolder:
        """Return a run whose undisturbed result is known."""
        self._made += 1
        run = RunFolder((root or self.folder) / (name or f"run_{self._made}"))
        run.path.mkdir(parents=True)
        write_config(run, epochs=self.epochs, sample_every=0, more=more)
        return run

    def spawn(
        self,
        run: RunFolder,
        *,
        resume: bool,
        figures: bool = False,
        before: Callable[[], None] = lambda: None,
        log_file: Path | None = None,
    ) -> int:
        """Fork a worker of `run`, which calls `before` first. Figures take seconds and are drawn on request only.

        Its output goes to `log_file` (usual: that of the run).
        """
        run.make_folders()
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            os.setsid()
            log = os.open(log_file or run.worker_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            for descriptor in (1, 2):
                os.dup2(log, descriptor)
            pace.PROGRESS_SECONDS = 0.0  # makes checkpoints within an epoch as frequent as possible
            if not figures:
                run_training.Artist.draw = lambda _self, _what: None  # type: ignore[method-assign]
            before()
            code = worker.main([str(run.path), *(["--resume"] if resume else [])])
        finally:
            os._exit(code)

    def finish(self, run: RunFolder) -> None:
        """Train `run` to its end."""
        wait_for(self.spawn(run, resume=run.has_checkpoints()))

    def judge(self, score: Score, run: RunFolder) -> None:
        """Resume `run` and count it as lost if it ends differently from the undisturbed one."""
        self.judge_checkpoint(score, run)
        if summarise(run).state not in {"finished"}:
            self.finish(run)
        try:
            good = summarise(run).state == "finished" and _history(run) == self.history
            good = good and same(load_checkpoint(run.checkpoint_last).state, self.wanted)
        except FocusError:
            good = False
        score.runs_lost += not good
        if good:
            shutil.rmtree(run.path)

    @staticmethod
    def judge_checkpoint(score: Score, run: RunFolder) -> None:
        """Count a failure if the existing checkpoints cannot be read."""
        for path in (run.checkpoint_last, run.checkpoint_best):
            try:
                if path.exists():
                    load_checkpoint(path)
            except FocusError:
                score.checkpoints_corrupted += 1

    @staticmethod
    def judge_dead(score: Score, run: RunFolder) -> None:
        """Count a failure if the state of a run is live although its worker is dead."""
        score.states_that_lied += summarise(run).state in {*LIVE_STATES, "unreachable"}


def _history(run: RunFolder) -> list[dict[str, object]]:
    """Return the results of each epoch without times; of an epoch that was trained twice, the last."""
    epochs = {event.epoch: asdict(event) for event in read_events(run.events) if isinstance(event, EpochFinished)}
    return [{key: value for key, value in epochs[number].items() if key not in TIMES} for number in sorted(epochs)]


def wait_for(pid: int, seconds: float = PATIENCE) -> int:
    """Wait for a forked worker and return its exit code; kill it after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def alive(pid: int) -> bool:
    """Return whether a forked worker still runs; its exit code stays available."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def wait_until(condition: Callable[[], object], pid: int, seconds: float = PATIENCE) -> bool:
    """Wait until the condition holds or the worker ends; return whether the condition held."""
    deadline = time.monotonic() + seconds
    while not condition():
        if not alive(pid) or time.monotonic() > deadline:
            return bool(condition())
        time.sleep(0.001)
    return True


def began(run: RunFolder, pid: int) -> bool:
    identity = ProcessIdentity.read(run.worker)
    return identity is not None and identity.pid == pid and summarise(run).state != "created"


def trains(run: RunFolder) -> bool:
    return summarise(run).state == "running" and run.has_checkpoints()
