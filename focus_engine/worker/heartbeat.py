"""The worker's heartbeat: `worker.json`, by which other hosts see that it lives, and `progress.json`, whether it hangs.

One thread touches the first, writes the second and asks the watchdog. It waits for no step; a step that holds the
interpreter (a C extension that never returns) stops it, which readers see as an overdue beat.
"""

import contextlib
import os
import threading
import time
import traceback

from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.progress_beat import ProgressBeat
from focus_engine.launch.state import HEARTBEAT_SECONDS
from focus_engine.pulse import PULSE
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import replace_text
from focus_engine.worker.watchdog import Watchdog

TICK_SECONDS = 1.0
"""How often the watchdog looks, at most; a shorter limit has shorter ticks."""
TICKS_A_LIMIT = 8.0
END_SECONDS = 2.0
"""How long the end of a run waits for this thread, which may be writing to a slow disk."""


class Heartbeat:
    """Beats every `HEARTBEAT_SECONDS`, from a thread, while the process lives.

    Attributes:
        identity: of this process.
        watchdog: judges the pulse at every tick.
    """

    def __init__(self, run: RunFolder, watchdog: Watchdog) -> None:
        self.identity = ProcessIdentity.of_this_process()
        self.watchdog = watchdog
        self._run = run
        self._stop = threading.Event()
        self._worker = self.identity.started
        self._touches = self._reports = self._judges = True
        self._thread = threading.Thread(target=self._beat, name="focus-heartbeat", daemon=True)

    def start(self) -> ProcessIdentity:
        """Write this process's identity as that of the worker and return it; `beat` follows. Raises OSError."""
        PULSE.restart()
        self._write_progress()
        replace_text(self._run.worker, self.identity.to_json() + "\n")
        return self.identity

    def beat(self) -> None:
        """Start the thread."""
        self._thread.start()

    def start_rank(self, rank: int) -> None:
        """Start the thread of a rank: each judges itself, rank 0 reports the progress of all."""
        PULSE.restart()
        worker = ProcessIdentity.read(self._run.worker)
        self._worker = self.identity.started if worker is None else worker.started
        self._touches, self._reports = False, rank == 0
        self._thread.start()

    def leave_progress(self) -> None:
        """Leave the progress to rank 0, which trains in a process of its own; go on touching `worker.json`."""
        self._judges = self._reports = False

    def stop(self) -> None:
        """End the beats and the watch."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)
        self.watchdog.rest()

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(self._tick()):
            turned = self._judges and self._looked()
            if turned or time.monotonic() - last >= self._every():
                last = time.monotonic()
                with contextlib.suppress(OSError):
                    if self._touches:
                        os.utime(self._run.worker)
                    if self._reports:
                        self._write_progress()

    def _looked(self) -> bool:
        """Let the watchdog look; the heartbeat outlives whatever goes wrong with it."""
        try:
            return self.watchdog.look()
        except Exception as error:  # noqa: BLE001  (a thread border)
            traceback.print_exception(error)
            return False

    def _tick(self) -> float:
        return min(TICK_SECONDS, PULSE.limit() / TICKS_A_LIMIT)

    def _every(self) -> float:
        return min(HEARTBEAT_SECONDS, 2 * PULSE.limit() / TICKS_A_LIMIT)

    def _write_progress(self) -> None:
        now, at = time.monotonic(), PULSE.at
        ProgressBeat(
            worker=self._worker,
            pid=self.identity.pid,
            host=self.identity.host,
            boot_id=self.identity.boot_id,
            phase=PULSE.phase,
            step=PULSE.step,
            reports=PULSE.reports,
            time=time.time() - (now - at),
            idle=now - at,
            limit=PULSE.limit(),
            stalled=self.watchdog.stalled,
            every=self._every(),
            monotonic=now,
        ).write(self._run.progress)
