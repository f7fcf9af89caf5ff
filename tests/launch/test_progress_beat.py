"""What readers make of a worker's progress: on its own boot by the monotonic clock, elsewhere by what it says."""

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest
from example_events import started, worker

from focus_engine.events.log import append_event
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name
from focus_engine.launch.progress_beat import ProgressBeat
from focus_engine.launch.state import UNREACHABLE_SECONDS, summarise
from focus_engine.launch.stop_request import write_stop_request
from focus_engine.runs.folder import RunFolder

LIMIT, EVERY = 60.0, 5.0


def beat(identity: ProcessIdentity, **changes: object) -> ProgressBeat:
    now = ProgressBeat(
        worker=identity.started,
        pid=identity.pid,
        host=identity.host,
        boot_id=identity.boot_id,
        phase="training",
        step=7,
        reports=9,
        time=time.time(),
        idle=0.5,
        limit=LIMIT,
        stalled=False,
        every=EVERY,
        monotonic=time.monotonic(),
    )
    return dataclasses.replace(now, **changes)  # type: ignore[arg-type]


@pytest.fixture
def here(tmp_path: Path) -> tuple[RunFolder, ProcessIdentity]:
    """A run that trains in this process."""
    return begin(tmp_path, ProcessIdentity.of_this_process())


def begin(folder: Path, identity: ProcessIdentity) -> tuple[RunFolder, ProcessIdentity]:
    run = RunFolder(folder / "exp")
    run.make_folders()
    run.worker.write_text(identity.to_json(), encoding="utf-8")
    append_event(run.events, worker(identity))
    append_event(run.events, started(num_epochs=9))
    return run, identity


def state(run: RunFolder, one: ProgressBeat) -> str:
    one.write(run.progress)
    return summarise(run).state


def test_progress_runs_and_a_stall_that_the_worker_found_is_told(here):
    run, own = here
    assert state(run, beat(own)) == "running"
    assert state(run, beat(own, idle=LIMIT + 30, stalled=True)) == "stalled"
    summary = summarise(run)
    assert summary.reason == (
        "no progress for 90 s in phase 'training' after step 7: "
        "logs/worker.log shows what each of its threads waits for"
    )
    assert summary.eta_seconds is None
    write_stop_request(run, "now")
    assert summarise(run).state == "stalled"  # it cannot stop while it hangs
    assert state(run, beat(own)) == "stopping"


def test_a_worker_that_sends_no_beat_is_judged_by_the_reader(here):
    run, own = here
    now = time.monotonic()
    assert state(run, beat(own, monotonic=now - LIMIT - 1)) == "stalled"
    assert state(run, beat(own, monotonic=now - LIMIT + 5)) == "running"
    assert state(run, beat(own, idle=LIMIT + 100)) == "running"  # it beats: the worker itself judges
    assert state(run, beat(own, idle=LIMIT - 8, monotonic=now - 2 * EVERY)) == "stalled"


@pytest.mark.parametrize("jump", [-36_000.0, 36_000.0])
def test_a_wall_clock_that_jumps_stalls_nobody_and_hides_no_stall(here, jump):
    run, own = here
    assert state(run, beat(own, time=time.time() + jump)) == "running"
    past = time.time() + jump
    os.utime(run.progress, (past, past))
    os.utime(run.worker, (past, past))
    assert summarise(run).state == "running"
    assert state(run, beat(own, time=time.time() + jump, monotonic=time.monotonic() - 2 * LIMIT)) == "stalled"


def test_a_beat_of_an_earlier_worker_or_of_another_clock_says_nothing(here):
    run, own = here
    late = time.monotonic() - 10 * LIMIT
    assert state(run, beat(own, worker=own.started - 1, monotonic=late)) == "running"
    assert state(run, beat(own, monotonic=time.monotonic() + 1e6)) == "running"
    for text in ("", "{torn", "[]", json.dumps(dataclasses.asdict(beat(own)) | {"idle": None}), '{"pid": 1e400}'):
        run.progress.write_text(text)
        assert summarise(run).state == "running"
    row = dataclasses.asdict(beat(own, stalled=True)) | {"idle": float("nan")}
    run.progress.write_text(json.dumps(row))
    assert summarise(run).state == "running"


def test_elsewhere_the_worker_says_that_it_hangs_and_silence_is_another_state(tmp_path):
    far = dataclasses.replace(ProcessIdentity.of_this_process(), host="far-away")
    run, _ = begin(tmp_path, far)
    assert state(run, beat(far, monotonic=0.0)) == "running"  # its monotonic clock is not ours
    assert state(run, beat(far, stalled=True, idle=2 * LIMIT)) == "stalled"
    assert "kill -CONT" not in str(summarise(run).reason)
    past = time.time() - UNREACHABLE_SECONDS - 60
    os.utime(run.worker, (past, past))
    assert summarise(run).state == "unreachable"
    assert (host_name(), boot_id()) != (far.host, None)
