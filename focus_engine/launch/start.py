"""Starting and stopping workers: one detached process per run, and a lock against simultaneous starts.

`start_run` returns once the worker has written its first event, which proves that it exists. A stop request is a small
file plus a signal, so that it works from any terminal and from any host that sees the folder. Only the worker writes
the event log.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

from focus_engine.errors import FocusError, InputError, RunConflictError, remedy
from focus_engine.events.log import EventTail
from focus_engine.events.table import (
    DataProgress,
    Event,
    Queued,
    RunEnded,
    RunStarted,
    WorkerStarting,
)
from focus_engine.launch.file_lock import FileLock
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.run_lock import LOCK_VARIABLE, run_lock
from focus_engine.launch.slots import slots_per_device
from focus_engine.launch.state import summarise
from focus_engine.launch.stop_request import When, read_stop_request, write_stop_request
from focus_engine.launch.summary import LIVE_STATES, RunSummary
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import open_ordinary, open_to_append

START_SECONDS = 60.0
"""A worker that has not written its first event by then has failed to start."""
EXIT_SECONDS = 5.0
"""How long to wait for the exit code of a worker that failed."""
POLL_SECONDS = 0.02


def check_can_start(run: RunFolder, *, resume: bool) -> RunSummary:
    """Return the summary of `run` when it may be started (or resumed).

    Raises:
        RunConflictError: it is alive already, or has checkpoints and is not resumed, or is done.
        InputError: the config of a run to be resumed is wrong, or differs from that it was trained with.
    """
    summary, name = check_idle(run), run.name
    if not resume and run.has_checkpoints():
        raise RunConflictError(
            f"{name} has checkpoints, which a new start would replace: "
            f"go on with focus resume {name}, or start a new run with focus new NAME --from {name}"
        )
    if resume:
        _check_resume(run, summary)
    return summary


def check_idle(run: RunFolder) -> RunSummary:
    """Return the summary of `run` when no worker trains it or will. Raises RunConflictError."""
    summary, name = summarise(run), run.name
    if summary.state in LIVE_STATES:
        where = f"process {summary.pid} on {summary.host}" if summary.state != "queued" else summary.reason
        then = f"watch it with focus logs -f {name}"
        if summary.state == "stalled":
            where, then = str(summary.reason), f"end it first: focus stop --now {name}"
        raise RunConflictError(f"{name} is {summary.state} already ({where}): {then}")
    if summary.state == "unreachable":
        raise RunConflictError(f"{name} may still run: {summary.reason}. Look at {summary.host} first")
    return summary


def _check_resume(run: RunFolder, summary: RunSummary) -> None:
    from focus_engine.config.load import load_config  # noqa: PLC0415  (pydantic: 0.1 s that `focus ls` does without)
    from focus_engine.runs.resumable import check_resumable, trained_config  # noqa: PLC0415  (the same)

    name, config = run.name, load_config(run.config).config
    anew = f"or start a new run: focus new NAME --from {name}"
    patience, count = config.training.early_stopping.patience, summary.early_stop_count
    if summary.state == "early_stopped" and count is not None and 0 < patience <= count:
        raise RunConflictError(
            f"{name} stopped by itself ({summary.reason}): raise training.early_stopping.patience in {run.config} "
            f"to train on, {anew}"
        )
    if summary.state == "finished" and summary.epoch is not None and config.training.num_epochs <= summary.epoch:
        raise RunConflictError(
            f"{name} is finished ({summary.reason}): raise training.num_epochs in {run.config} to train on, {anew}"
        )
    if not run.has_checkpoints() or (trained := trained_config(run)) is None:
        return
    check_resumable(config, trained)
    limit, before = config.training.max_minutes, (trained.get("training") or {}).get("max_minutes")
    by_minutes = (summary.reason or "").startswith("time limit")  # perhaps within the last epoch
    if summary.state == "finished" and by_minutes and limit is not None and before is not None and limit <= before:
        raise RunConflictError(
            f"{name} is finished ({summary.reason}): raise training.max_minutes in {run.config} to train on, {anew}"
        )


def start_run(
    run: RunFolder,
    *,
    resume: bool = False,
    device: str | None = None,
    devices: int | None = None,
    queue: bool = False,
) -> ProcessIdentity:
    """Start the worker of `run` in the background and return its identity.

    The worker has its own session, so that it outlives the terminal and the login. This returns after the first event
    of a new run, but waits until a resumed run has read its checkpoint and data, so that an error there is reported
    at once.

    Args:
        run: the experiment; its config must be checked already.
        resume: go on from the last checkpoint (from epoch 1 when there is none yet).
        device: overrides the config's device, such as "cuda:1".
        devices: overrides training.devices: how many of them train together.
        queue: wait until the device has a free slot; otherwise train at once, even beside other runs.

    Raises:
        RunConflictError: it must not be started now.
        InputError: it cannot go on with this config, checkpoint or data.
        FocusError: the worker died before its first event, and the message ends with its log; or it was started and
            the disk refuses to say what it does, and the message names its process.
    """
    slots_per_device()
    with run_lock(run) as lock:
        check_can_start(run, resume=resume)
        run.stop_request.unlink(missing_ok=True)
        tail = EventTail(run.events)
        tail.poll()
        command = [sys.executable, "-m", "focus_engine.worker", str(run.path)]
        command += ["--resume"] if resume else []
        command += ["--device", device] if device else []
        command += ["--devices", str(devices)] if devices else []
        command += ["--queue"] if queue else []
        with os.fdopen(open_to_append(run.worker_log), "ab") as log:
            process = _worker_process(command, log, lock)
        # Reap the worker when it ends, so that a long-lived launcher (a dashboard, a notebook) keeps no zombie.
        with contextlib.suppress(RuntimeError):  # the process table is full
            threading.Thread(target=process.wait, name=f"focus-collect-{process.pid}", daemon=True).start()
        with _said_as_started(run, process):
            lock.hand_over(process.pid)
    awaited = (RunStarted, DataProgress, Queued) if resume else (WorkerStarting,)
    with _said_as_started(run, process):
        return _wait_for_event(run, process, tail, awaited)


@contextlib.contextmanager
def _said_as_started(run: RunFolder, process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Let an error of the disk say that the worker was started: it may train while its launcher can read nothing."""
    try:
        yield
    except OSError as error:
        raise FocusError(
            f"{error.filename or run.path}: {error.strerror}: {remedy(error)}. But the worker of {run.name} was "
            f"started (process {process.pid}) and may go on; see what it does: focus status {run.name}"
        ) from None


def _worker_process(command: list[str], log: BinaryIO, lock: FileLock) -> "subprocess.Popen[bytes]":
    """Start the process of a worker, which inherits `lock`. Raises FocusError where the system makes no process."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock.descriptor,),
            env={**os.environ, LOCK_VARIABLE: lock.token},
        )
    except OSError as error:
        raise FocusError(
            f"no worker can be started: {error.strerror}; a limit of processes (ulimit -u) or memory may be reached"
        ) from None


def _wait_for_event(
    run: RunFolder, process: "subprocess.Popen[bytes]", tail: EventTail, awaited: tuple[type[Event], ...]
) -> ProcessIdentity:
    """Return the worker's identity once it has written an `awaited` event, or is alive but slow to write one."""
    deadline = time.monotonic() + START_SECONDS
    started = False
    while time.monotonic() < deadline:
        gone = process.poll() is not None  # checked before the log is read, so that its last event is in there
        events = tail.poll()
        started = started or any(isinstance(event, WorkerStarting) and event.pid == process.pid for event in events)
        last = events[-1] if events else None
        if isinstance(last, RunEnded) and last.state == "failed" and WorkerStarting not in awaited:
            raise _error_type(process)(f"{run.name}: {last.reason}")
        identity = ProcessIdentity.read(run.worker)
        if started and identity is not None and any(isinstance(event, (*awaited, RunEnded)) for event in events):
            return identity
        if gone:
            raise FocusError(f"the worker of {run.name} died at once (exit {process.returncode}):\n{log_end(run)}")
        time.sleep(POLL_SECONDS)
    identity = ProcessIdentity.read(run.worker)
    if started and identity is not None:
        return identity
    process.terminate()
    raise FocusError(f"the worker of {run.name} wrote no event within {START_SECONDS:.0f} s:\n{log_end(run)}")


def _error_type(process: "subprocess.Popen[bytes]") -> type[FocusError]:
    """Return InputError when the failed worker's exit code says that the input was wrong, else FocusError."""
    try:
        return InputError if process.wait(EXIT_SECONDS) == InputError.exit_code else FocusError
    except subprocess.TimeoutExpired:  # the user's notify.command is still running
        return FocusError


def log_end(run: RunFolder, lines: int = 12) -> str:
    """Return the last lines of the worker's log, indented for a message."""
    try:
        with os.fdopen(open_ordinary(run.worker_log), "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 8192))
            text = log.read(8192).decode(errors="replace")
    except OSError:
        return "(no worker log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (its log is empty)"


def request_stop(run: RunFolder, when: When) -> RunSummary:
    """Ask the worker of `run` to stop after the current epoch, or now; return the summary from before.

    The worker records the request in the log once it sees it.

    Raises:
        RunConflictError: it is not running.
        FocusError: the folder cannot be written.
    """
    summary = summarise(run)
    if summary.state not in {*LIVE_STATES, "unreachable"}:
        raise RunConflictError(f"{run.name} does not run: it is {summary.state}")
    if summary.state == "queued" and _cancel_job(run):
        return summary
    write_stop_request(run, when)
    identity = ProcessIdentity.read(run.worker)
    if when == "now" and identity is not None and identity.life() == "alive":
        # The file is read between steps only; the signal also cuts a long sampling short.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it ended, or is of another user
            os.kill(identity.pid, signal.SIGTERM)
    return summary


def _cancel_job(run: RunFolder) -> bool:
    """Cancel the run's waiting SLURM job; return whether there was one. Raises FocusError when SLURM refuses."""
    from focus_engine.launch.slurm.jobs import cancel  # noqa: PLC0415  (only for runs of a cluster)
    from focus_engine.launch.slurm.join import job_of  # noqa: PLC0415  (the same)

    held = job_of(run)
    if held is None or held.job is None or not held.job.waits:
        return False
    if (objection := cancel(held.submitted.job_id)) is not None:
        raise FocusError(f"{run.name}: SLURM job {held.submitted.job_id} cannot be cancelled: {objection}")
    return True


def withdraw_stop(run: RunFolder) -> None:
    """Withdraw a request to stop after the current epoch.

    Raises:
        RunConflictError: there is no such request, or the run has stopped already.
    """
    summary = summarise(run)
    if summary.state not in LIVE_STATES:
        raise RunConflictError(f"{run.name} does not run any more: it is {summary.state}; go on with focus resume")
    if read_stop_request(run) != "epoch":
        raise RunConflictError(f"{run.name} has no stop after this epoch to withdraw")
    run.stop_request.unlink(missing_ok=True)
