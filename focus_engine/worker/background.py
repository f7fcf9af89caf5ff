"""One job at a time in a thread of its own, whose result or failure the thread that started it collects."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class BackgroundJob(Generic[Result]):
    """A job that runs in a thread.

    The thread ends with the process: a worker that must exit at once leaves a temporary file, never a torn checkpoint.
    Where the system makes no thread, the job is done at once.
    """

    def __init__(self, job: Callable[[], Result], *, name: str = "focus-checkpoint") -> None:
        """Start `job` in a thread of that name."""
        self._job = job
        self._result: Result
        self._error: Exception | None = None
        self.seconds = 0.0
        self._thread: threading.Thread | None = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the process table is full
            self._thread = None
            self._run()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            self._result = self._job()
        except Exception as error:  # noqa: BLE001  (`result` raises it in the thread that asks)
            self._error = error
        self.seconds = time.monotonic() - began

    @property
    def done(self) -> bool:
        """Whether the job has ended."""
        return self._thread is None or not self._thread.is_alive()

    def wait(self) -> None:
        """Wait for the job, however it ends."""
        if self._thread is not None:
            self._thread.join()

    def result(self) -> Result:
        """Wait for the job and return its result. Raises the exception that ended it."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._result
