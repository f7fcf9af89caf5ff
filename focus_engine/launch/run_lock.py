"""The lock of a run, which settles simultaneous starts: the launcher takes it and its worker goes on holding it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from focus_engine.errors import FocusError, RunConflictError
from focus_engine.launch.file_lock import FileLock
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import LIVE_STATES
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.safety import check_links

LOCK_SECONDS = 2.0
"""How long to wait for the lock of a run that is not alive: threads of a killed worker hold it a moment longer."""
POLL_SECONDS = 0.02
LOCK_VARIABLE = "FOCUS_LOCK_FD"
"""Environment variable by which the worker adopts the lock: the token of it."""


@contextmanager
def run_lock(run: RunFolder) -> Iterator[FileLock]:
    """Hold the lock of `run`.

    Raises:
        InputError: something in the folder is a link that leads out of it.
        RunConflictError: another process holds it.
        FocusError: the folder cannot be written.
    """
    check_links(run)
    try:
        run.make_folders()
        lock = _taken(run)
    except OSError as error:
        raise FocusError(f"{run.path} cannot be written: {error.strerror} ({error.filename or run.lock})") from None
    try:
        yield lock
    finally:
        lock.release()


def _taken(run: RunFolder) -> FileLock:
    deadline = time.monotonic() + LOCK_SECONDS
    while (lock := FileLock.take(run.lock)) is None:
        if time.monotonic() > deadline or summarise(run).state in LIVE_STATES:
            raise RunConflictError(
                f"{run.name} is being started or calibrated, or is running already: focus status {run.name}"
            )
        time.sleep(POLL_SECONDS)
    return lock
