"""The identity of a process: boot id, pid and start time.

A pid alone is not enough, because systems recycle it.
"""

import json
import math
import os
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from focus_engine.small_files import read_json

Life = Literal["alive", "dead", "elsewhere"]


@dataclass(frozen=True)
class ProcessIdentity:
    """Identifies one process on one boot of one machine.

    Attributes:
        pid: process id.
        host: name of the machine.
        boot_id: identity of its boot; None where the system has none.
        process_start: start time in the system's own clock, as text; None where it cannot be read.
        started: when the identity was taken [Unix seconds].
    """

    pid: int
    host: str
    boot_id: str | None
    process_start: str | None
    started: float

    @classmethod
    def of_this_process(cls) -> "ProcessIdentity":
        """Return the identity of the calling process, taken now."""
        return cls(os.getpid(), host_name(), boot_id(), process_start(os.getpid()), time.time())

    def life(self) -> Life:
        """Return whether the process is alive; `elsewhere` when it is another machine's and cannot be checked."""
        if self.host != host_name():
            return "elsewhere"
        if self.boot_id is not None and boot_id() is not None and self.boot_id != boot_id():
            return "dead"
        start = process_start(self.pid)
        return "alive" if start is not None and start == self.process_start else "dead"

    def to_json(self) -> str:
        """Return the identity as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, path: Path) -> "ProcessIdentity | None":
        """Return the identity in the file at `path`, or None when it cannot be read."""
        try:
            return cls.from_row(read_json(path))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "ProcessIdentity":
        """Return the identity that another process wrote. Raises KeyError, TypeError or ValueError if it is none."""
        boot, start = (None if row[name] is None else str(row[name]) for name in ("boot_id", "process_start"))
        if type(row["pid"]) is not int or not math.isfinite(started := float(row["started"])):
            raise ValueError("no process")
        return cls(row["pid"], str(row["host"]), boot, start, started)


def host_name() -> str:
    """Return the name of this machine; `$FOCUS_HOST` overrides it where several share one name."""
    return os.environ.get("FOCUS_HOST") or socket.gethostname()


def boot_id() -> str | None:
    """Return the identity of this boot, or None where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def process_start(pid: int) -> str | None:
    """Return the start time of a living process in the system's own format, or None when it is gone.

    A zombie counts as gone: it no longer runs and only waits to be collected. One of several threads is none: while a
    thread calls exec, as for a restart of a stalled worker, the first one is a zombie for a moment.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _process_start_by_ps(pid)
    except OSError:
        return None
    state, *rest = status[status.rfind(b")") + 2 :].split()
    threads, start = int(rest[16]), rest[18].decode()
    return None if state in {b"Z", b"X"} and threads <= 1 else start


def process_state(pid: int) -> str | None:
    """Return the letter of the state of a process (R, S, D, T: stopped, ...); None where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return status[status.rfind(b")") + 2 :][:1].decode()


def _process_start_by_ps(pid: int) -> str | None:
    """Return the start time where there is no /proc (macOS)."""
    ask = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    answer = subprocess.run(ask, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None
