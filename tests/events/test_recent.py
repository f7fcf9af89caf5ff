"""The recent end of a log, which `focus ls` and the dashboard read: how much of it, and that it suffices."""

import operator
from functools import reduce
from pathlib import Path

import pytest
from example_events import end, epoch, spectrum, started, step, worker

from focus_engine.events.history import without_superseded
from focus_engine.events.log import append_event, read_events, read_recent_events
from focus_engine.launch.state import _changes, summarise
from focus_engine.runs.folder import RunFolder

STEPS = 100_000
ONE_RUN = [worker(), started(), step(1, 1), step(1, 2), epoch(1), spectrum(1), step(2, 1), step(2, 2), epoch(2)]
RESUMED = [*ONE_RUN, step(3, 1), epoch(3), worker(), started(after=1), step(2, 3), epoch(2, 0.1), step(3, 1), end()]
FIELDS = ("state", "epoch", "num_epochs", "step", "lr", "val_loss", "best_val_loss", "reason", "updated")


def bytes_read():
    """Return how many bytes this process has read from files and pipes."""
    io = Path("/proc/self/io")
    if not io.exists():
        pytest.skip("this system does not count what a process reads")
    return int(io.read_text(encoding="ascii").splitlines()[0].removeprefix("rchar: "))


BEGUN = started()


def long_log(path, *last):
    append_event(path, BEGUN)
    with path.open("ab") as log:
        log.write((step(1, 1).to_json() + "\n").encode() * STEPS)
    for event in last:
        append_event(path, event)
    return path


def test_a_summary_reads_the_end_of_a_long_log_only(tmp_path):
    run = RunFolder(tmp_path)
    run.make_folders()
    assert long_log(run.events, epoch(1), step(2, 7), end()).stat().st_size > 20_000_000
    before = bytes_read()
    assert summarise(run).epoch == 1
    assert bytes_read() - before < 64_000


def test_of_a_long_first_epoch_only_the_last_step_is_parsed(tmp_path):
    log = long_log(tmp_path / "events.jsonl", step(1, 8))
    assert read_recent_events(log) == [BEGUN, step(1, 8)]


@pytest.mark.parametrize("count", range(1, len(RESUMED) + 1))
def test_the_end_of_a_log_says_what_the_whole_says(tmp_path, count):
    log = tmp_path / "events.jsonl"
    for event in RESUMED[:count]:
        append_event(log, event)
    recent, whole = (
        reduce(operator.or_, map(_changes, without_superseded(events)), {})
        for events in (read_recent_events(log), read_events(log))
    )
    assert [recent.get(name) for name in FIELDS] == [whole.get(name) for name in FIELDS]
