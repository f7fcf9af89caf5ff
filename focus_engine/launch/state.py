"""The state of a run, proved from its log and the process table; never assumed.

The end of the log tells what the worker did last, `worker.json` which process it is, and the system whether that
process is alive. A run whose worker is gone without a RunEnded event is `lost`, not `running`.
"""

import os
import tempfile
import time
from functools import reduce
from pathlib import Path
from typing import Any

from focus_engine.config.methods import DEFAULT_METHOD, method_named
from focus_engine.events.history import without_superseded
from focus_engine.events.log import read_recent_events
from focus_engine.events.statistics import POWER_ERROR
from focus_engine.events.table import (
    EpochFinished,
    Event,
    Queued,
    RunEnded,
    RunStarted,
    StatisticsMeasured,
    StepProgress,
    StopRequested,
    StopWithdrawn,
    WorkerStarting,
)
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.summary import LIVE_STATES, RunSummary, State
from focus_engine.runs.folder import RunFolder

HEARTBEAT_SECONDS = 10.0
"""Interval at which a worker touches its `worker.json`."""
UNREACHABLE_SECONDS = 90.0
"""Age of the heartbeat from which a worker on another host counts as unreachable."""
_CLEARED: dict[str, Any] = {"reason": None, "eta_seconds": None, "queue_place": None}


def summarise(run: RunFolder) -> RunSummary:
    """Return the summary of `run` from the end of its log, the state of its worker process and its SLURM job."""
    summary = _without_job(run)
    if not run.slurm_job.is_file():
        return summary
    from focus_engine.launch.slurm.join import joined  # noqa: PLC0415  (only for runs of a cluster)

    return joined(run, summary)


def _without_job(run: RunFolder) -> RunSummary:
    summary = _read_summary(run)
    # A worker may write its last event and exit after the log was read and before its process was checked; the event
    # is in the log by now.
    return _read_summary(run) if summary.state == "lost" else summary


def _read_summary(run: RunFolder) -> RunSummary:
    events = read_recent_events(run.events)
    start = {"name": run.name, "path": str(run.path), "method": _method_in(run)}
    values: dict[str, Any] = reduce(_fold, without_superseded(events), start)
    identity = ProcessIdentity.read(run.worker)
    if identity is not None and events:
        values |= {"pid": identity.pid, "host": identity.host, "started": identity.started}
    if values.get("state") in LIVE_STATES:
        values |= _verified(run, identity, values["state"])
    return RunSummary(**values)


def _fold(values: dict[str, Any], event: Event) -> dict[str, Any]:
    """Return the fields of the summary after one more event."""
    changes: dict[str, Any] = {}
    match event:
        case WorkerStarting():
            changes = {"pid": event.pid, "host": event.host, "state": "starting", **_CLEARED}
        case Queued():
            changes = _queued(event, values)
        case RunStarted():
            changes = {
                "state": "running",
                "method": event.method,
                "num_epochs": event.num_epochs,
                "epoch": event.epoch,
                "phase": "warmup" if event.epoch < event.warmup_epochs else "training",
            }
        case StepProgress():
            changes = {"state": _busy(values), "step": event.step, "lr": event.lr}
        case EpochFinished():
            shared = RunSummary.__dataclass_fields__.keys() & EpochFinished.__dataclass_fields__.keys()
            changes = {"state": _busy(values)} | {name: getattr(event, name) for name in shared}
        case StatisticsMeasured():
            changes = _scored(event)
        case StopRequested() | StopWithdrawn() if values.get("state") in LIVE_STATES:  # else the run had ended
            changes = {"state": "stopping" if isinstance(event, StopRequested) else "running"}
        case RunEnded():
            changes = _CLEARED | {"state": event.state, "reason": event.reason}
    return {**values, **changes, "updated": event.time}


def _scored(event: StatisticsMeasured) -> dict[str, Any]:
    score = event.measure(POWER_ERROR)
    if score is None:
        return {}
    return {"pk_error": score.value, "pk_error_std": score.error, "pk_error_null": score.null}


def _queued(event: Queued, values: dict[str, Any]) -> dict[str, Any]:
    stopping = values.get("state") == "stopping"
    if event.place == 0:
        return _CLEARED | {"state": "stopping" if stopping else "starting"}
    there = f"; training there: {', '.join(event.training)}" if event.training else ""
    reason = f"place {event.place} in the queue for {' or '.join(event.devices)}{there}"
    return {"state": "stopping" if stopping else "queued", "queue_place": event.place, "reason": reason}


def _busy(values: dict[str, Any]) -> State:
    return "stopping" if values.get("state") == "stopping" else "running"


def _verified(run: RunFolder, identity: ProcessIdentity | None, state: State) -> dict[str, Any]:
    """Return the changes that the process or heartbeat makes to a run that its log shows as alive."""
    life = "dead" if identity is None else identity.life()
    if life == "alive":  # the StopRequested event may be further back in the log than was read
        return {"state": "stopping" if state == "running" and run.stop_request.exists() else state}
    if life == "elsewhere" and identity is not None:
        silence = _heartbeat_age(run)
        if silence <= UNREACHABLE_SECONDS:
            return {"state": state}
        reason = f"its worker on {identity.host} has sent no heartbeat for {silence / 60:.0f} min"
        return _CLEARED | {"state": "unreachable", "reason": reason}
    who = "its worker" if identity is None else f"its worker (process {identity.pid} on {identity.host})"
    reason = f"{who} is gone and recorded no outcome: killed, out of memory, or the machine restarted"
    return _CLEARED | {"state": "lost", "reason": reason}


def _heartbeat_age(run: RunFolder) -> float:
    try:
        return max(0.0, _disk_time(run.logs) - run.worker.stat().st_mtime)
    except OSError:
        return float("inf")


def _disk_time(folder: Path) -> float:
    """Return the time by the clock that stamps the files in `folder` [Unix seconds]; a file server has its own.

    Read from a new unnamed file; where nothing can be written, this machine's clock is used.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def _method_in(run: RunFolder) -> str | None:
    """Return the method named in the config's text, read without the schema so that `focus ls` stays fast."""
    try:
        lines = run.config.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        if line.startswith("method:"):
            word = line.removeprefix("method:").split("#")[0].strip().strip("'\"")
            return str(method_named(word)) or DEFAULT_METHOD
    return DEFAULT_METHOD
