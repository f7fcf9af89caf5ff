"""Running a worker in this process: holding the run's lock and showing each event as it is recorded.

`focus train` and the library use it directly; `python -m focus_engine.worker` runs the background worker by it.
"""

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from focus_engine.errors import FocusError, InputError
from focus_engine.events.table import Event, RunEnded
from focus_engine.launch.file_lock import FileLock
from focus_engine.launch.run_lock import LOCK_VARIABLE, run_lock
from focus_engine.launch.start import check_can_start
from focus_engine.runs.folder import RunFolder
from focus_engine.worker.options import WorkerOptions
from focus_engine.worker.stop import StopNow
from focus_engine.worker.work import work


def run_in_foreground(
    run: RunFolder,
    *,
    on_event: Callable[[Event], None],
    resume: bool = False,
    device: str | None = None,
    devices: int | None = None,
) -> RunEnded:
    """Train `run` in this process, passing each event to `on_event`; return how it ended.

    Raises:
        RunConflictError: it must not be started now.
        InputError: config, data or checkpoint are wrong (the log records this too).
    """
    options = WorkerOptions(resume=resume, device=device, devices=devices, foreground=True)
    return train_here(run, options, on_event)[0]


def train_here(run: RunFolder, options: WorkerOptions, on_event: Callable[[Event], None]) -> tuple[RunEnded, int]:
    """Train `run` in this process as `run_in_foreground` does; return how it ended and its exit code.

    Raises:
        RunConflictError: it must not be started now.
        InputError: config, data or checkpoint are wrong (the log records this too).
    """
    ended, code = run_locked(run, options, on_event)
    if code == InputError.exit_code:
        raise InputError(ended.reason)
    return ended, code


def run_locked(run: RunFolder, options: WorkerOptions, on_event: Callable[[Event], None]) -> tuple[RunEnded, int]:
    """Train `run` while holding its lock; return how it ended and the exit code. Raises RunConflictError."""
    with _lock(run, resume=options.resume) as lock:
        return _show_events(work(run, replace(options, lock=lock.token)), on_event)


@contextlib.contextmanager
def _lock(run: RunFolder, *, resume: bool) -> Iterator[FileLock]:
    """Hold the lock inherited from the launcher; where there was no launcher, take it and check the run."""
    lock = FileLock.adopt(run.lock, os.environ.pop(LOCK_VARIABLE, ""))
    if lock is not None:
        try:
            yield lock
        finally:
            lock.release()
        return
    with run_lock(run) as lock:
        check_can_start(run, resume=resume)
        run.stop_request.unlink(missing_ok=True)
        yield lock


def _show_events(events: Generator[Event, None, int], on_event: Callable[[Event], None]) -> tuple[RunEnded, int]:
    """Pass each event to `on_event`; return the last one and the exit code.

    A signal that arrives inside `on_event` is thrown into the worker, which then stops as it does for any signal.
    """
    ended: RunEnded | None = None
    interrupt: BaseException | None = None
    with contextlib.closing(events):
        while True:
            try:
                event = next(events) if interrupt is None else events.throw(interrupt)
            except StopIteration as done:
                if ended is None:
                    raise FocusError("the worker ended without recording an outcome") from None
                return ended, done.value
            if isinstance(event, RunEnded):
                ended = event
            try:
                on_event(event)
            except (StopNow, KeyboardInterrupt) as error:
                if ended is not None:
                    raise
                interrupt = error
            else:
                interrupt = None
