"""What a worker in the background does about itself when it hangs: end where it is asked to, or begin anew.

A thread that hangs cannot be unwound, so neither waits for it: the process is replaced or left at once. The last
checkpoint holds what is kept.
"""

import os
import sys
from functools import partial

from focus_engine.launch.run_lock import LOCK_VARIABLE
from focus_engine.runs.folder import RunFolder
from focus_engine.worker.options import WorkerOptions
from focus_engine.worker.recorder import Recorder
from focus_engine.worker.watchdog import Watchdog

RESTARTED_VARIABLE = "FOCUS_RESTARTED_FROM"
"""Environment variable of a worker that a stall restarted: the checkpoint that it went on from."""


def watchdog_of(run: RunFolder, recorder: Recorder, options: WorkerOptions) -> Watchdog:
    """Return the watchdog of a worker; a process that belongs to a terminal or a program is not ended or replaced."""
    if options.foreground:
        return Watchdog(run, recorder, end=None, restart=None)
    return Watchdog(run, recorder, end=partial(_end, run, recorder), restart=partial(_restart, run, options))


def _end(run: RunFolder, recorder: Recorder, reason: str) -> None:
    """Record that the run has stopped, and leave."""
    note = recorder.checkpoint_note()
    recorder.end("stopped", f"{reason}; {note}" if note else reason)
    recorder.notify_user()
    run.stop_request.unlink(missing_ok=True)
    os._exit(0)


def _restart(run: RunFolder, options: WorkerOptions, reason: str) -> None:  # noqa: ARG001  (ranks record it)
    """Replace this process by a worker that resumes the run; return when that cannot help.

    The process keeps its id, so that a launcher or a SLURM job goes on waiting for it, and the lock of the run.
    """
    checkpoint = _last_checkpoint(run)
    if os.environ.get(RESTARTED_VARIABLE) == checkpoint:
        return
    environment = {**os.environ, RESTARTED_VARIABLE: checkpoint}
    if options.lock:
        environment[LOCK_VARIABLE] = options.lock
        if options.lock.isdecimal():
            os.set_inheritable(int(options.lock), True)
    sys.stderr.flush()
    os.execve(sys.executable, _command(run, options), environment)  # noqa: S606  (this interpreter)


def _command(run: RunFolder, options: WorkerOptions) -> list[str]:
    command = [sys.executable, "-m", "focus_engine.worker", str(run.path), "--resume"]
    command += ["--device", options.device] if options.device else []
    command += ["--devices", str(options.devices)] if options.devices else []
    return command + ["--queue"] * options.queue + ["--slurm"] * options.slurm


def _last_checkpoint(run: RunFolder) -> str:
    try:
        status = run.checkpoint_last.stat()
    except OSError:
        return "none"
    return f"{status.st_mtime_ns}-{status.st_size}"
