"""The worker's heartbeat: `worker.json`, by which other hosts see that the worker is alive."""

import contextlib
import os
import threading

from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.state import HEARTBEAT_SECONDS
from focus_engine.runs.folder import RunFolder


class Heartbeat:
    """Writes `worker.json` and touches it every `HEARTBEAT_SECONDS`, from a thread, while the process lives."""

    def __init__(self, run: RunFolder) -> None:
        self._path = run.worker
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="focus-heartbeat", daemon=True)

    def start(self) -> ProcessIdentity:
        """Write this process's identity, start the thread and return the identity. Raises OSError."""
        identity = ProcessIdentity.of_this_process()
        temporary = self._path.with_name("worker.json.new")
        temporary.write_text(identity.to_json() + "\n", encoding="utf-8")
        temporary.replace(self._path)
        self._thread.start()
        return identity

    def stop(self) -> None:
        """Stop touching the file."""
        self._stop.set()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(self._path)
