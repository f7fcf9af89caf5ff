"""Background workers that are forked from this process, in place of a Python that imports torch anew.

The launcher's part is the real one: lock, log of the worker, hand-over, reading until the first event. The worker
inherits lock and log as one that `start_run` begins, and runs the same `main`; its file calls are undisturbed.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import BinaryIO
from unittest import mock

from file_calls import REAL_OPEN, FileCalls

from focus_engine.launch import start
from focus_engine.launch.file_lock import FileLock
from focus_engine.launch.run_lock import LOCK_VARIABLE
from focus_engine.worker import __main__ as worker

END_SECONDS = 60.0


class ForkedWorker:
    """A worker that was forked; what `start_run` uses of `subprocess.Popen`."""

    def __init__(self, command: list[str], log: BinaryIO, lock: FileLock, calls: FileCalls) -> None:
        self.args, self.returncode = command, None
        self._lock = Lock()
        self.pid = os.fork()
        if self.pid:
            return
        code = 70
        try:
            calls.remove()
            os.setsid()
            for descriptor in (1, 2):
                os.dup2(log.fileno(), descriptor)
            sys.stdout = sys.stderr = REAL_OPEN(1, "w", buffering=1, closefd=False)
            os.environ[LOCK_VARIABLE] = lock.token
            code = worker.main(command[3:])
        finally:
            os._exit(code)

    def poll(self) -> int | None:
        """Return the exit code; None while it lives."""
        with self._lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended. Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(0.005)
        return code

    def terminate(self) -> None:
        """Send SIGTERM."""
        os.kill(self.pid, 15)


@contextmanager
def forked_workers(calls: FileCalls) -> Iterator[list[ForkedWorker]]:
    """Let `start_run` fork its workers; yield those that it has, and wait for their end."""
    begun: list[ForkedWorker] = []

    def fork(command: list[str], log: BinaryIO, lock: FileLock) -> ForkedWorker:
        begun.append(ForkedWorker(command, log, lock, calls))
        return begun[-1]

    with mock.patch.object(start, "_worker_process", fork):
        yield begun
    for one in begun:
        one.wait(END_SECONDS)
