"""The progress that a worker reports with its heartbeat: `logs/progress.json`, from which readers see that it hangs.

A heartbeat comes from a thread, which outlives a step that hangs; so each beat says when the work last came further.
The worker judges its own steps and says so in the beat. A worker that was stopped (SIGSTOP), or whose threads all wait
for one, sends no beat: there a reader on the same boot of the same machine judges by the monotonic clock, which both
share and which stands still while the machine sleeps.
"""

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from focus_engine.launch.process import boot_id, host_name, process_start, process_state
from focus_engine.small_files import read_json, replace_text

OVERDUE = 1.8
"""A beat is overdue after that many intervals."""


@dataclass(frozen=True, kw_only=True)
class ProgressBeat:
    """One beat of a worker, or of rank 0 of one.

    Attributes:
        worker: when the worker of the run started, as in `worker.json`: the beat of another worker does not count.
        pid: the process that trains.
        host: name of its machine.
        boot_id: identity of that machine's boot; None where the system has none.
        phase: what it does, in words.
        step: finished optimiser steps.
        reports: number of reports of progress.
        time: when the latest report was [Unix seconds].
        idle: seconds between that report and this beat.
        limit: seconds without a report that count as a stall.
        stalled: whether the worker found that it hangs.
        every: seconds between two beats.
        monotonic: monotonic clock of this beat [s].
    """

    worker: float
    pid: int
    host: str
    boot_id: str | None
    phase: str
    step: int
    reports: int
    time: float
    idle: float
    limit: float
    stalled: bool
    every: float
    monotonic: float

    def write(self, path: Path) -> None:
        """Replace the file at `path`. Raises OSError."""
        replace_text(path, json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, path: Path) -> "ProgressBeat | None":
        """Return the beat in the file at `path`, or None when there is none that can be read."""
        try:
            row = read_json(path)
            kinds = {"pid": int, "host": str, "phase": str, "step": int, "reports": int, "stalled": bool}
            numbers = ("worker", "time", "idle", "limit", "every", "monotonic")
            values = {name: kind(row[name]) for name, kind in kinds.items()}
            values["phase"] = values["phase"][:80]
            values |= {name: float(row[name]) for name in numbers}
            boot = row["boot_id"]
            if not all(math.isfinite(values[name]) for name in numbers):
                return None
            return cls(boot_id=None if boot is None else str(boot), **values)
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    def idle_now(self, silence: float) -> float | None:
        """Return the seconds without progress if that is a stall, else None.

        `silence` is the age of the beat in seconds by the clock that stamps the file, for a worker of another host.
        """
        here = self.host == host_name() and self.boot_id == boot_id()
        age = time.monotonic() - self.monotonic if here else silence
        if here and age < 0.0:  # a container with a clock of its own
            return None
        overdue = here and age > OVERDUE * self.every
        if not self.stalled and not (overdue and self.idle + age > self.limit):
            return None
        return None if here and process_start(self.pid) is None else self.idle + age  # a rank may have ended

    def words(self, idle: float) -> str:
        """Return what hangs, as the reason of a stalled run."""
        span = f"{idle:.0f} s" if idle < 120 else f"{idle / 60:.0f} min"
        where = f"no progress for {span} in phase '{self.phase}' after step {self.step}"
        if self.host == host_name() and process_state(self.pid) in {"T", "t"}:
            return f"{where}: process {self.pid} is stopped; kill -CONT {self.pid} lets it go on"
        return f"{where}: logs/worker.log shows what each of its threads waits for"
