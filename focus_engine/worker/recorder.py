"""What a training process records: events, epoch blocks, and how the run ended."""

import contextlib
import os
import resource
import sys
import threading
import time
from pathlib import Path

from focus_engine.atomic import naming, sync, sync_names
from focus_engine.errors import FocusError, lost_gpu, remedy
from focus_engine.events.epoch_block import epoch_block
from focus_engine.events.log import append_event
from focus_engine.events.table import CheckpointSaved, EndState, EpochFinished, Event, RunEnded, RunStarted
from focus_engine.launch.notify import notify
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import open_to_append

WRITE_SECONDS = 10.0
"""How long one thread waits for another that writes an event; a disk that is slower hangs."""


class Recorder:
    """Writes events to the log, and epoch blocks to train.log.

    Attributes:
        epoch: epochs that the last checkpoint holds.
        checkpoint: the last good checkpoint.
        ended: the last event, once it is recorded.
        peak_memory: peak memory of the process that trains, where that is another one [bytes].
    """

    def __init__(self, run: RunFolder) -> None:
        self.epoch = 0
        self.checkpoint: Path | None = None
        self.ended: RunEnded | None = None
        self.peak_memory: int | None = None
        self._run = run
        self._began = time.monotonic()
        self._training = False
        self._writing = threading.Lock()

    @property
    def training(self) -> bool:
        """Whether training has begun."""
        return self._training

    def start_clock(self) -> None:
        """Restart the run's clock, when its wait in the queue is over."""
        self._began = time.monotonic()

    @property
    def began(self) -> float:
        """`time.monotonic()` when the worker began, or when its wait in the queue ended."""
        return self._began

    def record(self, event: Event) -> Event:
        """Append `event` to the log and return it. Raises OSError when the disk refuses."""
        self._append(event)
        self._training = self._training or isinstance(event, RunStarted)
        if isinstance(event, EpochFinished):
            with naming(path := self._run.train_log), os.fdopen(open_to_append(path), "a", encoding="utf-8") as log:
                log.write(epoch_block(event) + "\n")
        return event

    def _append(self, event: Event) -> None:
        """Append a whole line; the watchdog records too, and does not wait for ever for a write that hangs."""
        free = self._writing.acquire(timeout=WRITE_SECONDS)
        try:
            append_event(self._run.events, event)
        finally:
            if free:
                self._writing.release()

    def follow(self, event: Event) -> Event:
        """Take note of an event that another process has written, and return it."""
        self._training = self._training or isinstance(event, RunStarted)
        if isinstance(event, CheckpointSaved) and event.kind == "last":
            self.epoch, self.checkpoint = event.epoch, self._run.checkpoint_last
        return event

    def end(self, state: EndState, reason: str) -> RunEnded:
        """Record and return the last event, once; when the disk refuses it, say so on stderr."""
        if self.ended is None:
            self.ended = RunEnded(
                state=state,
                reason=reason,
                epoch=self.epoch,
                seconds=time.monotonic() - self._began,
                peak_memory=self.peak_memory or peak_memory(),
            )
            try:
                self._append(self.ended)
                sync_names(self._run.logs)
                sync(self._run.events)
            except OSError as error:
                say(f"the event log cannot be written: {describe_failure(error)}")
        return self.ended

    def notify_user(self) -> None:
        """Run the user's command for the end of a run, once the last event is recorded."""
        if self.ended is not None:
            notify(self._run, state=self.ended.state, reason=self.ended.reason, epoch=self.ended.epoch)

    def checkpoint_note(self) -> str:
        """Return which checkpoint the run leaves, as a phrase for its reason; empty before training."""
        if self.checkpoint is not None:
            return f"the last good checkpoint is {self.checkpoint.name} (epoch {self.epoch})"
        return "no checkpoint was written yet" if self._training else ""


def peak_memory() -> int | None:
    """Return the peak memory of the GPU where one was used, else of the process [bytes]."""
    torch = sys.modules.get("torch")  # not imported here: the run may have failed before it was loaded
    if torch is not None and torch.cuda.is_initialized() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def say(sentence: str) -> None:
    """Write a line to stderr, which is worker.log in the background; a failure to write is ignored."""
    with contextlib.suppress(OSError):  # worker.log may lie on the disk that is full
        sys.stderr.write(f"{sentence}\n")


def describe_failure(error: BaseException) -> str:
    """Return in one sentence what went wrong and, where possible, what to do."""
    if isinstance(error, FocusError):
        return str(error)
    if type(error).__name__ in {"OutOfMemoryError", "MemoryError"}:
        return "out of memory: halve training.batch_size and double training.accumulate, or use a smaller model"
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or type(error).__name__}{where}: {remedy(error)}"
    first = (str(error).splitlines() or [""])[0]
    if lost := lost_gpu(error):
        return f"{lost}: see nvidia-smi and dmesg, and resume once it does (the traceback is in worker.log)"
    return f"{type(error).__name__}: {first} (the traceback is in worker.log)"
