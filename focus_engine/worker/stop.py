"""Requests to stop a training process: by signal, or by the stop file."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Literal

from focus_engine.events.table import Event, StopRequested, StopWithdrawn
from focus_engine.launch.stop_request import StopRequest, stop_request_of
from focus_engine.pulse import PULSE
from focus_engine.runs.folder import RunFolder

STOP_POLL_SECONDS = 0.2
"""The stop file is read no more often than this; a signal is seen at once."""


class StopNow(BaseException):
    """Raised where the worker is when a signal asks it to stop before training, when nothing can be lost."""


class StopSwitch:
    """Knows whether this worker was asked to stop, by a signal or by the stop file, and records what the file asks.

    Every question is a report to the pulse: the work is at a place between two of its parts.

    Attributes:
        records: whether requests are recorded; not by a worker whose rank 0 does.
        immediate: whether a signal raises `StopNow` wherever the worker is. True until training begins, because
            importing torch, simulating universes and reading maps do not check for a request.
    """

    def __init__(self, run: RunFolder, record: Callable[[Event], object]) -> None:
        self.immediate = self.records = True
        self._run, self._record = run, record
        self._signal: int | None = None
        self._request: StopRequest | None = None
        self._looked = 0.0

    @contextlib.contextmanager
    def listening(self, *, foreground: bool, slurm: bool = False) -> Iterator[None]:
        """Take SIGTERM as a request to stop now; in the foreground also Ctrl-C and SIGHUP, in a SLURM job SIGUSR1.

        In the background, Ctrl-C and SIGHUP are ignored, so that the worker outlives the terminal.
        """
        in_terminal = self._on_signal if foreground else signal.SIG_IGN
        wanted = {signal.SIGTERM: self._on_signal, signal.SIGHUP: in_terminal, signal.SIGINT: in_terminal}
        if slurm:
            wanted[signal.SIGUSR1] = self._on_signal
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (the system's signature)
        again, self._signal = self._signal is not None, number
        if again and number == signal.SIGINT:  # a second Ctrl-C does not wait
            raise KeyboardInterrupt
        if self.immediate:
            self.immediate = False
            raise StopNow

    @property
    def out_of_time(self) -> bool:
        """Whether SIGUSR1 came: the SLURM job's time is nearly over."""
        return self._signal == signal.SIGUSR1

    @property
    def terminated(self) -> bool:
        """Whether the last signal was SIGTERM."""
        return self._signal == signal.SIGTERM

    @property
    def interrupted(self) -> bool:
        """Whether the last signal was Ctrl-C."""
        return self._signal == signal.SIGINT

    def wanted(self) -> Literal["epoch", "now"] | None:
        """Return when to stop: `now`, after this `epoch`, or None for no request."""
        PULSE.moved()
        now = time.monotonic()
        if now - self._looked >= STOP_POLL_SECONDS:
            self._looked = now
            self.look()
        return "now" if self.at_once else None if self._request is None else self._request.when

    def look(self) -> None:
        """Read the stop file; record a request once, and its withdrawal. Raises OSError when the disk refuses."""
        request, before = stop_request_of(self._run), self._request
        self._request = request
        if request == before or not self.records:
            return
        if request is None:
            self._record(StopWithdrawn())
            return
        who = {"host": request.host, "user": request.user, "requested": request.time}
        self._record(StopRequested(when=request.when, **who))  # type: ignore[arg-type]

    @property
    def signalled(self) -> bool:
        """Whether any signal asked to stop."""
        return self._signal is not None

    @property
    def at_once(self) -> bool:
        """Whether a signal or the request that was last seen asks to stop now; reads no file."""
        return self._signal is not None or (self._request is not None and self._request.when == "now")

    def now(self) -> bool:
        """Whether to stop at once."""
        return self.wanted() == "now"
