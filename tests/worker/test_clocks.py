"""Clocks that jump by hours, in the worker and in its reader: states, times left and budgets go by other clocks."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from example_events import epoch, started, worker
from workers import Make, Until, ended, fork_worker, outcome_of

from focus_engine.events.log import read_events
from focus_engine.events.table import EpochFinished, Warned
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.progress_beat import ProgressBeat
from focus_engine.launch.slots import take_free_slots, wait_for_slots
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder
from focus_tui.cli.listing import row_document
from focus_tui.terminal import visible
from focus_tui.view.columns import COLUMNS, RunRow
from focus_tui.view.words import status_lines

HOURS = 3600.0
TRUE = time.time


def shifted(seconds: float) -> Callable[[], float]:
    return lambda: TRUE() + seconds


def living(folder: Path, host: str | None = None) -> RunFolder:
    """Return a run that this process trains, or one of another host."""
    run = RunFolder(folder)
    run.make_folders()
    me = ProcessIdentity.of_this_process()
    me = replace(me, host=host or me.host)
    run.worker.write_text(me.to_json())
    run.config.write_text("method: flow\n")
    run.events.write_text("".join(f"{one.to_json()}\n" for one in (worker(me), started(), epoch(1))))
    now = time.monotonic()
    values = {"worker": me.started, "pid": me.pid, "host": me.host, "boot_id": me.boot_id, "phase": "x", "step": 1}
    values |= {"reports": 1, "time": TRUE(), "idle": 0.0, "limit": 600.0, "stalled": False, "every": 5.0}
    ProgressBeat(**values, monotonic=now).write(run.progress)
    return run


@pytest.mark.parametrize("hours", [-30.0, -6.0, 6.0, 30.0, 24.0 * 365 * 60])
@pytest.mark.parametrize("host", [None, "another"])
def test_a_reader_whose_clock_is_wrong_sees_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: float, host: str | None
):
    run = living(tmp_path / "x", host)
    before = row_document(RunRow(summarise(run)))
    monkeypatch.setattr(time, "time", shifted(hours * HOURS))
    row = RunRow(summarise(run))
    assert row_document(row) == before
    assert row.summary.state == "running"
    shown = [*status_lines(row.summary), *(column.text(row, time.time()) for column in COLUMNS)]
    assert not any("-" in line and "ago" in line for line in map(visible, shown))


def test_a_place_in_the_queue_outlives_a_clock_that_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOCUS_CACHE", str(tmp_path))
    held = take_free_slots(RunFolder(tmp_path / "a"), "cpu")
    first, second = (wait_for_slots(RunFolder(tmp_path / name), "cpu") for name in "bc")
    assert next(first).number == 1
    monkeypatch.setattr(time, "time_ns", lambda: int(1e18))  # years ago
    assert next(second).number == 2
    held.close()
    with pytest.raises(StopIteration):
        next(first)
    second.close()


def test_a_worker_whose_clock_jumps_trains_as_any_other(make: Make, until: Until):
    draw = random.Random(0)  # noqa: S311

    def jumping() -> None:
        time.time = lambda: TRUE() + draw.uniform(-12, 12) * HOURS

    run = make("x", epochs=3, more="max_minutes: 30")
    fork_worker(run, jumping)
    until(lambda: run.worker.exists() and ended(run))
    events = read_events(run.events)
    epochs = [event for event in events if isinstance(event, EpochFinished)]
    assert [one.epoch for one in epochs] == [1, 2, 3]
    assert all(0 < one.seconds < 60 and 0 <= (one.eta_seconds or 0) < 600 for one in epochs)
    assert len({round(event.time / HOURS) for event in events}) > 1, "the clock did jump"
    assert not [event for event in events if isinstance(event, Warned) and event.code == "stalled"]
    assert outcome_of(run).state == summarise(run).state == "finished"
