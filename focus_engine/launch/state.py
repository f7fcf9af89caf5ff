"""What a run is doing, proved from its log and the process table; never assumed.

The log's end says what the worker last did, `worker.json` says which process it is, and the system says whether
that process lives. A run whose worker is gone without a last word is `lost`, not `running`.
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
from focus_engine.events.table import (
    EpochFinished,
    Event,
    PowerSpectrumMeasured,
    Queued,
    RunEnded,
    RunStarted,
    StepProgress,
    StopRequested,
    StopWithdrawn,
    WorkerStarting,
)
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.summary import LIVE_STATES, RunSummary, State
from focus_engine.runs.folder import RunFolder

HEARTBEAT_SECONDS = 10.0
"""How often a worker touches its `worker.json`."""
UNREACHABLE_SECONDS = 90.0
"""A worker on another host whose heartbeat is older than this is unreachable."""
_NOTHING_SAID: dict[str, Any] = {"reason": None, "eta_seconds": None, "queue_place": None}


def summarise(run: RunFolder) -> RunSummary:
    """Return where `run` stands, from the end of its log and the evidence of its worker, and of its SLURM job."""
    summary = _own(run)
    if not run.slurm_job.is_file():
        return summary
    from focus_engine.launch.slurm.join import joined  # noqa: PLC0415  (only for runs of a cluster)

    return joined(run, summary)


def _own(run: RunFolder) -> RunSummary:
    summary = _look(run)
    # A worker may say its last word and go between a look at the log and one at its process: what it said before it
    # went is in the log now.
    return _look(run) if summary.state == "lost" else summary


def _look(run: RunFolder) -> RunSummary:
    events = read_recent_events(run.events)
    start = {"name": run.name, "path": str(run.path), "method": _method_in(run)}
    values: dict[str, Any] = reduce(_fold, without_superseded(events), start)
    identity = ProcessIdentity.read(run.worker)
    if identity is not None and events:
        values |= {"pid": identity.pid, "host": identity.host, "started": identity.started}
    if values.get("state") in LIVE_STATES:
        values |= _proved(run, identity, values["state"])
    return RunSummary(**values)


def _fold(values: dict[str, Any], event: Event) -> dict[str, Any]:
    """One event more: what is known now."""
    changes: dict[str, Any] = {}
    match event:
        case WorkerStarting():
            changes = {"pid": event.pid, "host": event.host, "state": "starting", **_NOTHING_SAID}
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
        case PowerSpectrumMeasured():
            changes = {"pk_error": event.median_abs_error}
        case StopRequested() | StopWithdrawn() if values.get("state") in LIVE_STATES:  # else it came too late
            changes = {"state": "stopping" if isinstance(event, StopRequested) else "running"}
        case RunEnded():
            changes = _NOTHING_SAID | {"state": event.state, "reason": event.reason}
    return {**values, **changes, "updated": event.time}


def _queued(event: Queued, values: dict[str, Any]) -> dict[str, Any]:
    stopping = values.get("state") == "stopping"
    if event.place == 0:
        return _NOTHING_SAID | {"state": "stopping" if stopping else "starting"}
    there = f"; training there: {', '.join(event.training)}" if event.training else ""
    reason = f"place {event.place} in the queue for {' or '.join(event.devices)}{there}"
    return {"state": "stopping" if stopping else "queued", "queue_place": event.place, "reason": reason}


def _busy(values: dict[str, Any]) -> State:
    return "stopping" if values.get("state") == "stopping" else "running"


def _proved(run: RunFolder, identity: ProcessIdentity | None, state: State) -> dict[str, Any]:
    """What the evidence makes of a run whose log ends as if it lived."""
    life = "dead" if identity is None else identity.life()
    if life == "alive":  # the request may stand farther back in the log than its end was read
        return {"state": "stopping" if state == "running" and run.stop_request.exists() else state}
    if life == "elsewhere" and identity is not None:
        silence = _heartbeat_age(run)
        if silence <= UNREACHABLE_SECONDS:
            return {"state": state}
        reason = f"its worker on {identity.host} has given no sign of life for {silence / 60:.0f} min"
        return _NOTHING_SAID | {"state": "unreachable", "reason": reason}
    who = "its worker" if identity is None else f"its worker (process {identity.pid} on {identity.host})"
    reason = f"{who} is gone without a last word: killed, out of memory, or the machine restarted"
    return _NOTHING_SAID | {"state": "lost", "reason": reason}


def _heartbeat_age(run: RunFolder) -> float:
    try:
        return max(0.0, _disk_time(run.logs) - run.worker.stat().st_mtime)
    except OSError:
        return float("inf")


def _disk_time(folder: Path) -> float:
    """What the clock says that stamps the files in `folder`: a file server's may differ from ours [Unix seconds].

    Asked by making a file without a name; where nothing can be written, our own clock must do.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def _method_in(run: RunFolder) -> str | None:
    """The method named in the config's text; the schema is not loaded, because `focus ls` must be quick."""
    try:
        lines = run.config.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        if line.startswith("method:"):
            word = line.removeprefix("method:").split("#")[0].strip().strip("'\"")
            return str(method_named(word)) or DEFAULT_METHOD
    return DEFAULT_METHOD
