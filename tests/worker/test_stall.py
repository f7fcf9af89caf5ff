"""Workers that hang or are stopped, for real: seen, shown, told, and able to go on."""

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from workers import Make, Until, ended, epochs_of, fork_worker, ignore, outcome_of, told

from focus_engine.data import batches
from focus_engine.events.log import read_events
from focus_engine.events.table import StopRequested, Warned, WorkerStarting
from focus_engine.launch.progress_beat import ProgressBeat
from focus_engine.launch.start import request_stop
from focus_engine.launch.state import summarise
from focus_engine.pulse import PULSE, STALL_FLOOR, Pulse
from focus_engine.runs.folder import RunFolder
from focus_engine.training import loop
from focus_engine.worker import watchdog
from focus_engine.worker.foreground import run_in_foreground
from focus_engine.worker.recorder import Recorder
from focus_engine.worker.watchdog import IdleMeter

pytestmark = pytest.mark.process

LIMIT = 3.0
"""Limit of these runs [s]."""


def stallable(make: Make, *, on_stall: str = "say", **keys: object) -> RunFolder:
    run = make(**keys)
    text = run.config.read_text()
    run.config.write_text(f"{text}worker: {{stall_minutes: {LIMIT / 60}, on_stall: {on_stall}}}\n")
    return run


def is_metered(run: RunFolder) -> bool:
    """Return whether readers know the limit by now: preparing the run and its first step have more time."""
    beat = ProgressBeat.read(run.progress)
    return beat is not None and beat.limit < 2 * LIMIT


def warned(run: RunFolder, code: str) -> list[str]:
    return [event.message for event in read_events(run.events) if isinstance(event, Warned) and event.code == code]


def hang_while(path: Path) -> Callable[[], None]:
    """Return what makes each optimiser step hang while `path` exists."""

    def patch() -> None:
        step = loop.make_step

        def hanging_step(*given: object) -> float:
            while path.exists():
                time.sleep(0.01)
            return step(*given)  # type: ignore[arg-type]

        loop.make_step = hanging_step  # type: ignore[assignment]

    return patch


def test_a_worker_that_is_stopped_or_hangs_is_stalled_until_it_goes_on(make: Make, until: Until, tmp_path: Path):
    run = stallable(make, epochs=10**4, more="early_stopping: {patience: 0}")
    hang = tmp_path / "hang"
    pid = fork_worker(run, hang_while(hang))

    def is_(state: str) -> Callable[[], bool]:
        return lambda: summarise(run).state == state

    until(lambda: len(epochs_of(run)) >= 2 and is_metered(run))
    os.kill(pid, signal.SIGSTOP)
    until(is_("stalled"), LIMIT + 10)
    assert f"process {pid} is stopped; kill -CONT {pid} lets it go on" in str(summarise(run).reason)
    os.kill(pid, signal.SIGCONT)
    until(is_("running"))

    hang.touch()
    until(is_("stalled"), LIMIT + 10)
    summary = summarise(run)
    assert str(summary.reason).startswith("no progress for ")
    assert (summary.eta_seconds, summary.pid) == (None, pid)
    until(lambda: warned(run, "stalled"))
    assert "in phase 'training' after step" in warned(run, "stalled")[-1]
    assert "in hanging_step" in run.worker_log.read_text()  # the stack of the thread that hangs
    until(lambda: "stalled" in (run.path / "told.txt").read_text() if (run.path / "told.txt").exists() else False)
    hang.unlink()
    until(is_("running"))
    until(lambda: warned(run, "stall_over"))

    hang.touch()
    until(is_("stalled"), LIMIT + 10)
    request_stop(run, "now")  # no signal handler runs in a thread that hangs
    until(lambda: ended(run))
    assert summarise(run).state == "stopped"
    assert "asked to stop now while it hung" in outcome_of(run).reason
    assert told(run)[-1] == f"stopped {outcome_of(run).epoch}"
    assert not run.stop_request.exists()


def test_a_step_that_holds_the_interpreter_is_seen_by_readers_and_shown(make: Make, until: Until, tmp_path: Path):
    """No thread of the worker runs then: its beat is overdue, and a timer without an interpreter shows the stacks."""
    run = stallable(make, epochs=10**4, more="early_stopping: {patience: 0}")
    hang = tmp_path / "hang"

    def hold() -> None:
        step = loop.make_step

        def holding_step(*given: object) -> float:
            if hang.exists():
                ctypes.PyDLL(None).pause()
            return step(*given)  # type: ignore[arg-type]

        loop.make_step = holding_step  # type: ignore[assignment]

    pid = fork_worker(run, hold)
    until(lambda: len(epochs_of(run)) >= 2 and is_metered(run))
    hang.touch()
    until(lambda: summarise(run).state == "stalled", LIMIT + 10)
    until(lambda: "in holding_step" in run.worker_log.read_text())
    os.kill(pid, signal.SIGKILL)
    until(lambda: summarise(run).state == "lost")


def test_a_read_that_never_returns_is_restarted_from_the_last_checkpoint(make: Make, until: Until, tmp_path: Path):
    run = stallable(make, on_stall="restart", epochs=3, more="checkpoint_minutes: 1.0e-3")
    os.mkfifo(dead := tmp_path / "dead mount")

    def read_from_a_dead_mount() -> None:
        batches.RESIDENT_FRACTION = 0.0
        read, count = batches.Batches._read, iter(range(10**6))

        def reading(self: batches.Batches, chosen: object) -> object:
            if next(count) == 10:
                dead.read_bytes()  # blocks in a thread that reads ahead: there is no writer
            return read(self, chosen)  # type: ignore[arg-type]

        batches.Batches._read = reading  # type: ignore[method-assign,assignment]

    pid = fork_worker(run, read_from_a_dead_mount)
    until(lambda: is_metered(run))
    until(lambda: warned(run, "stalled"), LIMIT + 10)
    assert warned(run, "stalled")[0].endswith("worker.on_stall: restart")
    assert "in reading" in run.worker_log.read_text()  # the thread that reads ahead
    until(lambda: ended(run), 120)
    workers = [event for event in read_events(run.events) if isinstance(event, WorkerStarting)]
    assert [(one.pid, one.resume) for one in workers] == [(pid, False), (pid, True)]
    assert summarise(run).state == "finished"
    assert [epoch.epoch for epoch in epochs_of(run)][-1] == 3
    assert [words.split()[0] for words in told(run)] == ["stalled", "finished"]


def test_every_phase_reports_its_parts(make: Make, monkeypatch: pytest.MonkeyPatch):
    seen: list[str] = []
    moved = Pulse.moved
    monkeypatch.setattr(Pulse, "moved", lambda self: (seen.append(self.phase), moved(self))[1])
    run = make(epochs=1, sample_every=1)
    assert run_in_foreground(run, on_event=ignore).state == "finished"
    counts = {phase: seen.count(phase) for phase in seen}
    assert counts["preparing the data and the network"] >= 3  # each read of maps is a part
    assert counts["training"] >= 3
    assert counts["validation"] >= 2  # batches of both networks
    assert counts["sampling"] >= 3  # steps of the sampler and maps of the reference
    assert counts["writing a checkpoint"] >= 1
    assert PULSE.phase == "ending the training"
    assert not warned(run, "stalled")


def test_a_limit_holds_for_steps_and_leaves_compiling_its_time(monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pulse = Pulse()
    pulse.given = LIMIT
    pulse.enter("training", metered=True)
    assert pulse.limit() == STALL_FLOOR  # the first step compiles
    pulse.stepped(0)
    now = 100.0
    pulse.stepped(1)
    assert pulse.limit() == LIMIT
    with pulse.within("writing a checkpoint", allowed=7.0):
        assert pulse.limit() == LIMIT + 7.0
    pulse.given = None
    assert pulse.limit() == 20 * 100.0
    now = 100.5
    pulse.stepped(2)
    now = 101.0
    pulse.stepped(3)
    assert pulse.limit() == STALL_FLOOR  # the median counts, not the step that compiled
    pulse.enter("ending the training")
    pulse.given = LIMIT
    assert pulse.limit() == STALL_FLOOR


def test_phases_whose_parts_take_most_of_the_limit_are_no_stall(make: Make, monkeypatch: pytest.MonkeyPatch):
    """A clock makes each part of every phase take 0.7 of the limit, and the watchdog looks in the middle of it."""
    run, now = make(epochs=1), 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(watchdog, "MOST_BETWEEN_LOOKS", LIMIT)
    run.make_folders()
    dog = watchdog.Watchdog(run, Recorder(run), end=None, restart=None)
    monkeypatch.setattr(dog, "_set_timer", lambda _seconds: None)
    PULSE.restart()
    PULSE.given = LIMIT
    PULSE.enter("training", metered=True)
    PULSE.stepped(1)
    PULSE.stepped(2)
    for phase in ("training", "validation", "sampling", "writing a checkpoint"):
        with PULSE.within(phase):
            for _ in range(5):
                for _ in range(2):
                    now += 0.35 * LIMIT
                    assert not dog.look()
                PULSE.moved()
    assert not warned(run, "stalled")
    with PULSE.within("sampling"):
        looks = []
        for _ in range(3):  # the first sees that the phase began
            now += 0.7 * LIMIT
            looks.append(dog.look())
    assert looks == [False, False, True]
    dog.rest()
    assert warned(run, "stalled")


def test_a_machine_that_slept_is_no_stall():
    """The clock that counts stands still in a machine asleep; where it jumps nevertheless, the watchdog slept too."""
    meter = IdleMeter(now=0.0)
    assert meter.look(1.0, reports=5) == (True, 0.0)
    assert meter.look(2.0, reports=5) == (False, 0.0)
    moved, stopped = meter.look(3602.0, reports=5)
    assert (moved, stopped) == (False, 3600.0 - watchdog.MOST_BETWEEN_LOOKS)
    assert meter.idle == 1.0 + watchdog.MOST_BETWEEN_LOOKS
    meter.look(3603.0, reports=6)
    assert meter.idle == 0.0


def test_a_request_is_recorded_with_its_origin(make: Make):
    run = make(epochs=10**4)

    def ask(_event: object) -> None:
        if epochs_of(run) and not run.stop_request.exists():
            request_stop(run, "epoch")

    assert run_in_foreground(run, on_event=ask).state == "stopped"
    (asked,) = (event for event in read_events(run.events) if isinstance(event, StopRequested))
    assert asked.when == "epoch"
    assert asked.host
    assert asked.requested is not None
    assert asked.requested <= asked.time
