"""A worker that only records steps and watches the stop file, for tests of its log under requests from elsewhere."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from example_events import epoch, started, step, worker

from focus_engine.events.log import append_event, read_events
from focus_engine.events.table import StepProgress
from focus_engine.launch.process import ProcessIdentity
from focus_engine.runs.folder import RunFolder
from focus_engine.worker import stop
from focus_engine.worker.recorder import Recorder
from focus_engine.worker.stop import StopSwitch


def begin(run: RunFolder) -> None:
    """Write what a worker that is this process writes first."""
    own = ProcessIdentity.of_this_process()
    run.worker.write_text(own.to_json(), encoding="utf-8")
    append_event(run.events, worker(own))
    append_event(run.events, started(num_epochs=9))


def write_steps(run: RunFolder, done: Path) -> int:
    """Be a worker that records steps until the file `done` is there; return 0."""
    stop.STOP_POLL_SECONDS = 0.0
    recorder = Recorder(run)
    switch = StopSwitch(run, recorder.record)
    begin(run)
    number = 0
    while not done.exists():
        number += 1
        recorder.record(step(1, number))
        if number % 10 == 0:
            append_event(run.events, epoch(number // 10, 0.5))  # a summary reads back to the last
            os.utime(run.worker)
        switch.wanted()
        time.sleep(0.001)  # the step
    switch.look()
    done.write_text(str(number))
    return 0


def forked(work: Callable[[], int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        code = work()
    finally:
        os._exit(code)


def steps_in(run: RunFolder) -> list[int]:
    return [event.step for event in read_events(run.events) if isinstance(event, StepProgress)]
