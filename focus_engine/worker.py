"""The process that trains a run: `python -m focus_engine.worker RUN_DIR`.

It wires everything together: proves its existence before torch is loaded, writes each event to the log, saves
checkpoints, asks for figures, obeys stop requests, and says in its last line how it ended. `focus train` runs
the same code in its own process and watches the events go by.
"""

import argparse
import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from focus_engine import __version__
from focus_engine.errors import FocusError, InputError
from focus_engine.events import EpochFinished, Event, RunEnded, RunStarted, WorkerStarting
from focus_engine.runs.epoch_block import epoch_block
from focus_engine.runs.event_log import append_event
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.launch import LOCK_VARIABLE, check_can_start, read_stop_request, run_lock
from focus_engine.runs.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.runs.state import HEARTBEAT_SECONDS

if TYPE_CHECKING:
    from focus_engine.training.loop import Stop

STOP_POLL_SECONDS = 0.2
"""The stop file is looked at no more often than this; a signal is seen at once."""


class StopSwitch:
    """What was asked of this worker, by signal or by the stop file."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._signalled = False
        self._asked: Stop | None = None
        self._looked = 0.0

    def install(self, *, foreground: bool) -> None:
        """Obey SIGTERM (and Ctrl-C in the foreground) by stopping now; outlive the terminal otherwise."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGHUP, self._on_signal if foreground else signal.SIG_IGN)
        signal.signal(signal.SIGINT, self._on_signal if foreground else signal.SIG_IGN)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (the system's signature)
        if self._signalled and number == signal.SIGINT:  # a second Ctrl-C does not wait
            raise KeyboardInterrupt
        self._signalled = True

    @property
    def signalled(self) -> bool:
        """Whether a signal asked."""
        return self._signalled

    def wanted(self) -> "Stop | None":
        """Return `now`, `epoch` or None."""
        if self._signalled:
            return "now"
        now = time.monotonic()
        if now - self._looked >= STOP_POLL_SECONDS:
            self._looked = now
            self._asked = read_stop_request(self._run)
        return self._asked

    def now(self) -> bool:
        """Whether to stop at once."""
        return self.wanted() == "now"


class Heartbeat:
    """Writes `worker.json` and touches it while the process lives: the proof of life across hosts."""

    def __init__(self, run: RunFolder, identity: ProcessIdentity) -> None:
        self._path, self._identity = run.worker, identity
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="focus-heartbeat", daemon=True)

    def start(self) -> None:
        """Write the identity, then go on touching it. Raises OSError when the disk refuses."""
        temporary = self._path.with_name("worker.json.new")
        temporary.write_text(self._identity.to_json() + "\n", encoding="utf-8")
        temporary.replace(self._path)
        self._thread.start()

    def stop(self) -> None:
        """End the beat."""
        self._stop.set()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(self._path)


def work(run: RunFolder, *, resume: bool, device: str | None = None, foreground: bool = False) -> Iterator[Event]:
    """Train `run`, yielding every event after it is in the log; the last is RunEnded.

    The caller holds the lock of the run. Failures end as a RunEnded of state `failed`, not as an exception.
    """
    began = time.monotonic()
    switch = StopSwitch(run)
    switch.install(foreground=foreground)
    identity = ProcessIdentity(os.getpid(), host_name(), boot_id(), process_start(os.getpid()), time.time())
    heartbeat = Heartbeat(run, identity)
    heartbeat.start()
    recorder = Recorder(run)
    try:
        yield recorder.record(
            WorkerStarting(
                pid=identity.pid,
                host=identity.host,
                boot_id=identity.boot_id,
                process_start=identity.process_start,
                focus_version=__version__,
                resume=resume,
                foreground=foreground,
            )
        )
        yield from _train(run, recorder, switch, resume=resume, device=device, began=began)
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001  (a process border: whatever happened is the run's last word)
        yield recorder.record(_failure(error, recorder, began))
    finally:
        heartbeat.stop()
        run.stop_request.unlink(missing_ok=True)


class Recorder:
    """Writes events to the log, and epoch blocks to train.log."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self.epoch = 0
        """Epochs that the last checkpoint holds."""
        self.checkpoint: Path | None = None
        """The last good checkpoint."""

    def record(self, event: Event) -> Event:
        """Append `event` to the log and return it. Raises OSError when the disk refuses."""
        append_event(self._run.events, event)
        if isinstance(event, EpochFinished):
            with self._run.train_log.open("a", encoding="utf-8") as log:
                log.write(epoch_block(event) + "\n")
        return event


def _train(
    run: RunFolder, recorder: Recorder, switch: StopSwitch, *, resume: bool, device: str | None, began: float
) -> Iterator[Event]:
    from focus_engine.run_training import train_run  # noqa: PLC0415  (torch: 2 s, after the first event)

    yield from train_run(run, recorder, switch, resume=resume, device=device, began=began)


def _failure(error: BaseException, recorder: Recorder, began: float) -> RunEnded:
    """The last word of a run that failed, in words, with what is left of it."""
    reason = describe_failure(error)
    kept = recorder.checkpoint
    left = (
        f"; the last good checkpoint is {kept.name} (epoch {recorder.epoch})"
        if kept
        else "; no checkpoint was written yet"
    )
    state = "failed"
    if isinstance(error, KeyboardInterrupt):
        state, left = "stopped", left.lstrip("; ")
        reason = "interrupted; "
    elif not isinstance(error, FocusError):
        traceback.print_exception(error)
    return RunEnded(
        state="stopped" if state == "stopped" else "failed",
        reason=reason + left,
        epoch=recorder.epoch,
        seconds=time.monotonic() - began,
        peak_memory=None,
    )


def describe_failure(error: BaseException) -> str:
    """Return what went wrong in one sentence, with what to do where there is something."""
    if isinstance(error, FocusError):
        return str(error)
    if type(error).__name__ in {"OutOfMemoryError", "MemoryError"}:
        return "out of memory: halve training.batch_size and double training.accumulate, or use a smaller model"
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or type(error).__name__}{where}: free some space or check the folder's rights"
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first} (the traceback is in worker.log)"


@contextlib.contextmanager
def _inherited_lock(run: RunFolder) -> Iterator[None]:
    """Hold the launcher's lock, handed over by descriptor; take it when there was no launcher."""
    descriptor = os.environ.pop(LOCK_VARIABLE, "")
    if descriptor.isdigit():
        with contextlib.suppress(OSError):
            fcntl.flock(int(descriptor), fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.set_inheritable(int(descriptor), False)  # figure processes must not keep the run locked
            yield
            return
    with run_lock(run):
        yield


def run_in_foreground(
    run: RunFolder, *, resume: bool, device: str | None, on_event: Callable[[Event], None]
) -> RunEnded:
    """Train `run` in this process, showing `on_event` each event; return how it ended.

    Raises:
        RunConflictError: it must not be started now.
    """
    with run_lock(run):
        check_can_start(run, resume=resume)
        run.stop_request.unlink(missing_ok=True)
        ended: RunEnded | None = None
        for event in work(run, resume=resume, device=device, foreground=True):
            on_event(event)
            if isinstance(event, RunEnded):
                ended = event
    if ended is None:
        raise FocusError(f"{run.name} ended without a last word")
    return ended


def main(arguments: list[str] | None = None) -> int:
    """Train the run that the arguments name; return 1 when it failed."""
    parser = argparse.ArgumentParser(prog="python -m focus_engine.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--device")
    given = parser.parse_args(arguments)
    run = RunFolder(given.run.absolute())
    try:
        with _inherited_lock(run):
            last = None
            for event in work(run, resume=given.resume, device=given.device):
                last = event
                if isinstance(event, RunStarted):
                    sys.stderr.write(f"training {run.name} on {event.device_name}\n")
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 1 if not isinstance(last, RunEnded) or last.state == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
