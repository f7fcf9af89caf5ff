"""A SLURM job that is started again on another node after the first node failed."""

import json
import os
import signal
import time

import pytest
from workers import Make, epochs_of, ignore, outcome_of

from focus_engine.events.log import read_events
from focus_engine.events.outcome import Outcome
from focus_engine.events.table import EpochFinished, RunStarted, WorkerStarting
from focus_engine.launch.slurm.jobs import JOB_VARIABLE, SubmittedJob
from focus_engine.launch.start import RunConflictError, check_can_start
from focus_engine.launch.state import UNREACHABLE_SECONDS, summarise
from focus_engine.runs.folder import RunFolder
from focus_engine.worker import __main__ as worker
from focus_engine.worker import requeue
from focus_engine.worker.foreground import run_in_foreground
from focus_engine.worker.options import WorkerOptions
from focus_engine.worker.stop import StopNow, StopSwitch


@pytest.fixture
def run(make: Make, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that node n1 left at epoch 1 when it failed; this process is the same job, started on another node."""
    run = make("cut off", epochs=1)
    run_in_foreground(run, on_event=lambda _event: None)
    run.config.write_text(run.config.read_text().replace("num_epochs: 1", "num_epochs: 2"))
    lines = run.events.read_text().splitlines(keepends=True)
    run.events.write_text("".join(line for line in lines if '"run_ended"' not in line))
    identity = json.loads(run.worker.read_text()) | {"host": "n1"}
    run.worker.write_text(json.dumps(identity))
    SubmittedJob("7", "focus", time.time() - 3600).write(run)
    monkeypatch.setenv(JOB_VARIABLE, "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    return run


def beat(run: RunFolder, age: float) -> None:
    """Make the last heartbeat `age` seconds old."""
    when = time.time() - age
    os.utime(run.worker, (when, when))


def test_it_waits_until_the_old_worker_counts_as_gone_and_goes_on(run: RunFolder, capsys: pytest.CaptureFixture[str]):
    beat(run, UNREACHABLE_SECONDS - 1.0)
    assert summarise(run).state == "running"
    assert worker.main([str(run.path), "--slurm"]) == 0
    assert "the last heartbeat of the worker on n1 is recent: waiting" in capsys.readouterr().err
    assert [event.epoch for event in epochs_of(run)] == [1, 2]
    assert outcome_of(run).state == "finished"
    starts = [event for event in read_events(run.events) if isinstance(event, WorkerStarting)]
    assert [event.resume for event in starts] == [False, True]


def test_within_the_job_a_worker_without_heartbeat_is_lost_and_elsewhere_it_may_be_alive(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
):
    beat(run, UNREACHABLE_SECONDS + 60.0)
    summary = check_can_start(run, resume=True)
    assert summary.state == "lost"
    assert str(summary.reason).endswith("SLURM has started its job anew")
    monkeypatch.setenv(JOB_VARIABLE, "8")
    with pytest.raises(RunConflictError, match="may still run"):
        check_can_start(run, resume=True)


def test_a_second_worker_does_not_start_while_the_first_keeps_beating(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(requeue, "UNREACHABLE_SECONDS", -requeue.HEARTBEAT_SECONDS)  # do not wait: it keeps beating
    beat(run, 0.0)
    assert worker.main([str(run.path), "--slurm"]) == RunConflictError.exit_code
    assert "cut off is running already" in capsys.readouterr().err
    assert [type(event) for event in read_events(run.events)].count(RunStarted) == 1
    assert len([event for event in read_events(run.events) if isinstance(event, EpochFinished)]) == 1


@pytest.mark.parametrize("where", ["", "stopped in epoch 3", "no checkpoint; none at all"])
def test_a_job_out_of_time_says_how_far_it_came_whatever_the_words(tmp_path, where):
    """The reason is put together from its parts, never parsed."""
    switch = StopSwitch(RunFolder(tmp_path), ignore)
    with switch.listening(foreground=False, slurm=True), pytest.raises(StopNow):
        os.kill(os.getpid(), signal.SIGUSR1)
    outcome = Outcome("stopped", "asked to stop; at once", where)
    assert outcome.reason == "asked to stop; at once" + (f"; {where}" if where else "")
    assert requeue.end_reason(outcome, switch, WorkerOptions()) == outcome.reason
    said = requeue.end_reason(outcome, switch, WorkerOptions(slurm=True))
    where = where or "stopped before training began"
    assert said == f"the SLURM job's time is nearly over; {where}; the job asks to be requeued"
