"""The watchdog of a worker: finds from the pulse that the work hangs, shows where, tells the user, and acts.

It runs in the thread of the heartbeat, which no step holds up. A step that holds the interpreter stops this thread
too; for that case a timer of faulthandler, which needs no interpreter, is set again at every look.
"""

import contextlib
import faulthandler
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import IO

from focus_engine.errors import InputError
from focus_engine.events.table import Warned
from focus_engine.launch.notify import notify
from focus_engine.launch.stop_request import read_stop_request
from focus_engine.pulse import PULSE
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import open_to_append
from focus_engine.worker.recorder import Recorder

MOST_BETWEEN_LOOKS = 3.0
"""Seconds that one look counts at most: longer, and this thread was stopped itself, by SIGSTOP or with the machine."""
TIMER_SLACK = 5.0
"""The timer of faulthandler goes off that many seconds after a stall that this thread did not see."""

Act = Callable[[str], object]
"""What to do about a stall, given the reason; returns only where nothing could be done."""


class IdleMeter:
    """Measures how long the work made no progress, of the time that this process was running."""

    def __init__(self, now: float) -> None:
        self.idle = 0.0
        self._looked, self._reports = now, -1

    def look(self, now: float, reports: int) -> tuple[bool, float]:
        """Return whether there was progress since the last look, and the seconds that the process was stopped."""
        passed, self._looked = now - self._looked, now
        moved, self._reports = reports != self._reports, reports
        self.idle = 0.0 if moved else self.idle + min(passed, MOST_BETWEEN_LOOKS)
        return moved, max(0.0, passed - MOST_BETWEEN_LOOKS)


class Watchdog:
    """Judges the pulse of this process at every `look`.

    Attributes:
        stalled: whether the work hangs.
    """

    def __init__(
        self, run: RunFolder, recorder: Recorder, *, lead: bool = True, end: Act | None, restart: Act | None
    ) -> None:
        """Watch the training of `run`.

        Args:
            run: the run.
            recorder: records what is found.
            lead: whether this process tells the user; other ranks only show their threads.
            end: ends the process, when it is asked to stop now while it hangs; None: it is not ours to end.
            restart: goes on from the last checkpoint in another process; None: nothing can.
        """
        self.stalled = False
        self._run, self._recorder, self._lead = run, recorder, lead
        self._end, self._restart = end, restart
        self._meter = IdleMeter(time.monotonic())
        self._log: IO[bytes] | None = None

    def look(self) -> bool:
        """Judge the pulse and act on a stall; return whether `stalled` changed."""
        moved, stopped = self._meter.look(time.monotonic(), PULSE.reports)
        limit = PULSE.limit()
        self._set_timer(limit + TIMER_SLACK)
        if stopped > limit:
            self._warn("stall_over", f"the process was stopped for {_span(stopped)} and goes on")
        if self.stalled and moved:
            self.stalled = False
            self._warn("stall_over", f"training goes on in phase '{PULSE.phase}', step {PULSE.step}")
            return True
        if not self.stalled and self._meter.idle > limit:
            self.stalled = True
            self._tell(limit)
            return True
        if self.stalled and self._end is not None and read_stop_request(self._run) == "now":
            self._end(f"asked to stop now while it hung; {self._where()}")
        return False

    def rest(self) -> None:
        """Take the timer away."""
        if self._log is not None:
            faulthandler.cancel_dump_traceback_later()
            self._log.close()
            self._log = None

    def _tell(self, limit: float) -> None:
        """Show the stacks of all threads in worker.log, record the stall, notify the user, and restart where asked."""
        reason = f"{self._where()} (limit {_span(limit)}); worker.log shows what each thread waits for"
        if (log := self._opened()) is not None:
            with contextlib.suppress(OSError):
                log.write(f"stalled: {reason}\n".encode())
                faulthandler.dump_traceback(file=log, all_threads=True)
        if not self._lead:
            return
        restart = self._restart if self._asks_restart() else None
        self._warn("stalled", reason + ("; worker.on_stall: restart" if restart is not None else ""))
        tell = partial(notify, self._run, state="stalled", reason=reason, epoch=self._recorder.epoch)
        telling = threading.Thread(target=tell, name="focus-notify", daemon=True)
        try:
            telling.start()
        except RuntimeError:  # the process table is full
            tell()
        if restart is not None:
            if telling.ident is not None:
                telling.join()  # `notify` ends by itself
            restart(reason)
            self._warn("stalled", "not restarted: nothing was saved since the last restart, or none is left")

    def _asks_restart(self) -> bool:
        from focus_engine.config.load import load_config  # noqa: PLC0415  (pydantic: not before the first event)

        try:
            return load_config(self._run.config).config.worker.on_stall == "restart"
        except InputError:
            return False

    def _where(self) -> str:
        return f"no progress for {_span(self._meter.idle)} in phase '{PULSE.phase}' after step {PULSE.step}"

    def _warn(self, code: str, message: str) -> None:
        with contextlib.suppress(OSError):
            self._recorder.record(Warned(code=code, message=message))

    def _opened(self) -> IO[bytes] | None:
        """Return worker.log, in which a worker of a terminal shows its threads too."""
        if self._log is None:
            with contextlib.suppress(OSError):
                self._log = os.fdopen(open_to_append(self._run.worker_log), "ab", buffering=0)
        return self._log

    def _set_timer(self, seconds: float) -> None:
        if (log := self._opened()) is not None:
            with contextlib.suppress(RuntimeError):  # no thread for it: the process table is full; the next beat asks
                faulthandler.dump_traceback_later(seconds, file=log)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
