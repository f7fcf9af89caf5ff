"""The guardian of a background worker: a small process beside it that notifies the user when the worker is lost.

A worker that is killed, or runs out of memory, can notify nobody. The guardian is forked before torch is loaded, so it
costs milliseconds and a few MB, and sleeps until its parent, the worker, is gone. It ends with the machine; a dashboard
then notices (`launch/lost.py`).
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from focus_engine.launch.lost import tell_lost
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder

WATCH_SECONDS = 1.0
"""How often the guardian looks whether the worker is there."""
_MOST_FILES = 1 << 20


@contextlib.contextmanager
def guarded(run: RunFolder) -> Iterator[None]:
    """Let a guardian watch over this process, the worker of `run`; without one where the system makes no process."""
    guardian = _fork(run)
    try:
        yield
    finally:
        if guardian is not None:
            with contextlib.suppress(OSError):
                os.kill(guardian, signal.SIGKILL)
                os.waitpid(guardian, 0)


def _fork(run: RunFolder) -> int | None:
    """Return the process id of a new guardian; None without one."""
    worker = os.getpid()
    try:
        child = os.fork()
    except OSError:
        return None
    if child:
        return child
    try:
        _leave_the_worker()
        while os.getppid() == worker:
            time.sleep(WATCH_SECONDS)
        tell_lost(run, summarise(run))
    finally:
        os._exit(0)


def _leave_the_worker() -> None:
    """Be a process of its own: no lock, pipe or signal of the worker is shared; stderr stays, which is its log."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nowhere, descriptor)
    os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), _MOST_FILES))
