"""What was asked of a process that trains: by signal, or by the stop file."""

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Literal

from focus_engine.launch.start import read_stop_request
from focus_engine.runs.folder import RunFolder

STOP_POLL_SECONDS = 0.2
"""The stop file is looked at no more often than this; a signal is seen at once."""


class StopNow(BaseException):
    """A signal asked to stop at a time when nothing is lost by it."""


class StopSwitch:
    """What was asked of this worker, by signal or by the stop file.

    Attributes:
        immediate: a signal raises `StopNow` wherever the worker is; so until training begins, because importing
            torch, simulating universes and reading maps ask nobody whether to go on.
    """

    def __init__(self, run: RunFolder) -> None:
        self.immediate = True
        self._run = run
        self._signal: int | None = None
        self._asked: Literal["epoch", "now"] | None = None
        self._looked = 0.0

    @contextlib.contextmanager
    def listening(self, *, foreground: bool, slurm: bool = False) -> Iterator[None]:
        """Obey SIGTERM by stopping now; in the foreground also Ctrl-C and SIGHUP, as a SLURM job also SIGUSR1.

        Otherwise outlive the terminal.
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
        """Whether SLURM said that the job's time is nearly over."""
        return self._signal == signal.SIGUSR1

    @property
    def terminated(self) -> bool:
        """Whether SIGTERM asked."""
        return self._signal == signal.SIGTERM

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C asked."""
        return self._signal == signal.SIGINT

    def wanted(self) -> Literal["epoch", "now"] | None:
        """Return `now`, `epoch` or None."""
        if self._signal is not None:
            return "now"
        now = time.monotonic()
        if now - self._looked >= STOP_POLL_SECONDS:
            self._looked = now
            self._asked = read_stop_request(self._run)
        return self._asked

    @property
    def signalled(self) -> bool:
        """Whether a signal asked to stop."""
        return self._signal is not None

    def now(self) -> bool:
        """Whether to stop at once."""
        return self.wanted() == "now"
