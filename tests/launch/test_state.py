"""The state of a run, proved from its log and its process, with real processes as workers."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from example_events import end, epoch, spectrum, started, step, worker

from focus_engine.events.log import append_event, read_recent_events
from focus_engine.events.table import StopRequested
from focus_engine.launch import state
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start, process_state
from focus_engine.launch.state import summarise
from focus_engine.launch.stop_request import write_stop_request
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder

IMPORTED = time.time()
STARTED = started(num_epochs=9, time=IMPORTED)
STEP = step(1, 2, time=IMPORTED)
EPOCH = epoch(
    3,
    0.6,
    time=IMPORTED,
    num_epochs=9,
    step=12,
    train_loss=0.5,
    is_best=False,
    best_val_loss=0.55,
    best_epoch=2,
    bad_epochs=1,
    early_stop_count=1,
    eta_seconds=12.0,
)
ENDED = end("stopped", "time limit", time=IMPORTED)


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path / "exp")
    run.make_folders()
    run.config.write_text('method: "diffusion"  # or left out\n', encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def living():
    """Return a process that is alive while the tests of this module run."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


def identity(pid, **changes):
    whole = ProcessIdentity(pid, host_name(), boot_id(), process_start(pid), time.time())
    return replace(whole, **changes)


def write(run, who, *events):
    run.worker.write_text(who.to_json(), encoding="utf-8")
    for event in (worker(who, time=time.time()), *events):
        append_event(run.events, event)
    return summarise(run)


def test_a_new_experiment_is_created_and_knows_nothing_else(run):
    summary = summarise(run)
    assert summary == RunSummary(name="exp", path=str(run.path), method="diffusion")
    assert set(summary.to_dict()) == {
        *("name", "path", "method", "state", "phase", "epoch", "num_epochs", "step", "lr", "train_loss", "val_loss"),
        *("best_val_loss", "best_epoch", "bad_epochs", "plateau_patience", "early_stop_count", "early_stop_patience"),
        *("pk_error", "pk_error_std", "pk_error_null"),
        *("pid", "host", "started", "updated", "eta_seconds", "queue_place", "reason"),
    }


def test_a_living_worker_starts_runs_and_stops(run, living):
    who = identity(living.pid)
    starting = write(run, who)
    assert (starting.state, starting.pid, starting.host) == ("starting", living.pid, host_name())
    append_event(run.events, STARTED)
    warmup = summarise(run)
    assert (warmup.state, warmup.phase, warmup.epoch, warmup.num_epochs) == ("running", "warmup", 0, 9)
    append_event(run.events, STEP)
    assert summarise(run).step == 2
    append_event(run.events, EPOCH)
    training = summarise(run)
    assert (training.state, training.phase, training.epoch) == ("running", "training", 3)
    assert (training.best_val_loss, training.bad_epochs, training.eta_seconds) == (0.55, 1, 12.0)
    write_stop_request(run, "epoch")
    assert summarise(run).state == "stopping"
    append_event(run.events, StopRequested(when="epoch"))
    append_event(run.events, STEP)
    assert summarise(run).state == "stopping"
    run.stop_request.unlink()  # withdrawn: the worker has not recorded that yet
    assert summarise(run).state == "running"
    append_event(run.events, ENDED)
    stopped = summarise(run)
    assert (stopped.state, stopped.reason, stopped.eta_seconds) == ("stopped", "time limit", None)


@pytest.mark.parametrize("state", ["finished", "early_stopped", "stopped", "failed"])
def test_a_last_word_needs_no_proof(run, living, state):
    summary = write(run, identity(living.pid, process_start="0"), STARTED, EPOCH, replace(ENDED, state=state))
    assert (summary.state, summary.epoch, summary.val_loss) == (state, 3, 0.6)


def test_a_worker_that_died_without_a_word_is_lost(run):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert write(run, identity(process.pid), STARTED, EPOCH).state == "running"
        process.kill()
    summary = summarise(run)
    assert (summary.state, summary.eta_seconds, summary.epoch) == ("lost", None, 3)
    assert str(process.pid) in summary.reason


def test_a_zombie_is_dead(run):
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert write(run, identity(process.pid, process_start="1"), STARTED).state == "lost"
    assert process_start(process.pid) is None
    process.wait()


FIRST_THREAD_ENDED = """
import ctypes, platform, threading, time
threading.Thread(target=lambda: print("lives", flush=True) or time.sleep(600)).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)  # exit, of this thread alone
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a system call of Linux")
def test_a_process_lives_on_when_its_first_thread_ends(until):
    """As for a moment when another thread calls exec, which the restart of a stalled worker does."""
    with subprocess.Popen([sys.executable, "-c", FIRST_THREAD_ENDED], stdout=subprocess.PIPE) as process:
        begun = process_start(process.pid)
        until(lambda: process_state(process.pid) == "Z")
        assert begun is not None
        assert process_start(process.pid) == begun
        process.kill()
        process.wait()
    assert process_start(process.pid) is None


def test_a_recycled_pid_is_another_process(run, living):
    assert write(run, identity(living.pid, process_start="1"), STARTED).state == "lost"


@pytest.mark.skipif(boot_id() is None, reason="this system has no boot id")
def test_another_boot_is_another_life(run, living):
    assert write(run, identity(living.pid, boot_id="another"), STARTED).state == "lost"


def test_a_log_without_a_worker_file_is_lost(run, living):
    write(run, identity(living.pid), STARTED)
    run.worker.unlink()
    assert summarise(run).state == "lost"
    run.worker.write_text("{torn", encoding="utf-8")
    assert summarise(run).state == "lost"


def test_elsewhere_the_heartbeat_decides(run):
    assert write(run, identity(1, host="far-away", boot_id="x"), STARTED, EPOCH).state == "running"
    past = time.time() - 600
    os.utime(run.worker, (past, past))
    overdue = summarise(run)
    assert (overdue.state, overdue.eta_seconds) == ("unreachable", None)
    assert "far-away" in overdue.reason
    assert "10 min" in overdue.reason


def test_a_resumed_run_lives_again(run, living):
    write(run, identity(living.pid), STARTED, EPOCH, ENDED)
    again = write(run, identity(living.pid), replace(STARTED, epoch=3))
    assert (again.state, again.reason, again.epoch, again.phase) == ("running", None, 3, "training")


def test_epochs_after_the_checkpoint_were_lost_with_the_worker(run, living):
    again = write(run, identity(living.pid), STARTED, replace(EPOCH, epoch=5), replace(STARTED, epoch=3))
    assert again.epoch == 3


def test_pk_error_comes_from_its_own_event(run, living):
    after = write(run, identity(living.pid), STARTED, EPOCH, spectrum(3, value=0.12, error=0.05, null=0.06))
    assert (after.pk_error, after.pk_error_std, after.pk_error_null) == (0.12, 0.05, 0.06)
    later = replace(EPOCH, epoch=4, pk_error=0.3, pk_error_std=None, pk_error_null=None)
    after = write(run, identity(living.pid), later)  # each epoch repeats the latest
    assert (after.pk_error, after.pk_error_std, after.pk_error_null) == (0.3, None, None)
    other = replace(spectrum(4), measures=())
    assert write(run, identity(living.pid), other).pk_error == 0.3  # without this score it changes nothing


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ("method: flow_matching\n", "flow"),
        ("method: 'flow' # x\n", "flow"),
        ("training:\n  lr: 1\n", "diffusion"),
        ("method:\n", "diffusion"),
    ],
)
def test_the_method_is_read_without_the_schema(run, config, method):
    run.config.write_text(config, encoding="utf-8")
    assert summarise(run).method == method


def test_a_config_that_cannot_be_read_has_no_method(run):
    run.config.write_bytes(b"\xff")
    assert summarise(run).method is None


def test_a_stop_request_far_back_in_the_log_still_counts(run, living):
    run.stop_request.write_text("epoch\n", encoding="ascii")
    assert write(run, identity(living.pid), STARTED, *[EPOCH] * 40).state == "stopping"


def test_a_clock_that_is_wrong_here_makes_nobody_unreachable(run, monkeypatch):
    append_event(run.events, STARTED)
    identity = ProcessIdentity(1, "another host", None, "1", time.time())
    run.worker.write_text(identity.to_json(), encoding="utf-8")
    now = time.time()
    for skew in (-86400.0, 86400.0):
        monkeypatch.setattr(time, "time", lambda skew=skew: now + skew)
        assert summarise(run).state == "running"
    os.utime(run.worker, (now - 1000, now - 1000))
    assert summarise(run).state == "unreachable"


def test_a_worker_that_ends_while_it_is_looked_at_is_never_lost(run, monkeypatch):
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    own = ProcessIdentity(worker.pid, host_name(), boot_id(), process_start(worker.pid), time.time())
    run.worker.write_text(own.to_json(), encoding="utf-8")
    append_event(run.events, STARTED)
    assert summarise(run).state == "running"
    looks = []

    def ends_after_the_first_look(path):
        looks.append(read_recent_events(path))
        if len(looks) == 1:
            append_event(run.events, end(number=0))
            worker.communicate(b"\n")
        return looks[-1]

    monkeypatch.setattr(state, "read_recent_events", ends_after_the_first_look)
    assert summarise(run).state == "finished"
    assert len(looks) == 2
