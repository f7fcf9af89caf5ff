"""The state of a run, proved from its log and the process table; never assumed.

The end of the log tells what the worker did last, `worker.json` which process it is, and the system whether that
process is alive. A run whose worker is gone without a RunEnded event is `lost`, one whose worker makes no progress is
`stalled`, and neither is `running`. A stop file makes a live run `stopping`.
"""

import re
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
    WorkerStarting,
)
from focus_engine.launch.disk_time import age_on_disk
from focus_engine.launch.process import ProcessIdentity, host_name
from focus_engine.launch.progress_beat import ProgressBeat
from focus_engine.launch.summary import LIVE_STATES, RunSummary, State
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import read_text

HEARTBEAT_SECONDS = 5.0
"""Longest interval at which a worker touches its `worker.json` and writes its `progress.json`."""
UNREACHABLE_SECONDS = 90.0
"""Age of the heartbeat from which a worker on another host counts as unreachable."""
_METHOD = re.compile(r"^method:([^#\n]*)", re.MULTILINE)
_OF_AN_EPOCH = tuple(RunSummary.__dataclass_fields__.keys() & EpochFinished.__dataclass_fields__.keys())
"""Fields that a summary takes from the event of an epoch."""
_CLEARED: dict[str, Any] = {"reason": None, "eta_seconds": None, "queue_place": None}


def summarise(run: RunFolder) -> RunSummary:
    """Return the summary of `run` from the end of its log, the state of its worker process and its SLURM job."""
    try:
        summary = _without_job(run)
        if not run.slurm_job.is_file():
            return summary
    except PermissionError as error:  # a run of another user
        reason = f"{error.filename}: no permission to read it"
        return RunSummary(name=run.name, path=str(run.path), state="unreachable", reason=reason)
    from focus_engine.launch.slurm.join import joined  # noqa: PLC0415  (only for runs of a cluster)

    return joined(run, summary)


def _without_job(run: RunFolder) -> RunSummary:
    summary = _read_summary(run)
    # A worker may write its last event and exit after the log was read and before its process was checked; the event
    # is in the log by now.
    return _read_summary(run) if summary.state == "lost" else summary


def _read_summary(run: RunFolder) -> RunSummary:
    events = read_recent_events(run.events)
    values: dict[str, Any] = {"name": run.name, "path": str(run.path), "method": _method_in(run)}
    for event in without_superseded(events):
        values.update(_changes(event))
    identity = ProcessIdentity.read(run.worker)
    if identity is not None and events:
        values |= {"pid": identity.pid, "host": identity.host, "started": identity.started}
    if values.get("state") in LIVE_STATES:
        values |= _verified(run, identity, values["state"])
    return RunSummary(**values)


def _changes(event: Event) -> dict[str, Any]:
    """Return the fields of the summary that one more event sets."""
    changes: dict[str, Any] = {}
    match event:
        case WorkerStarting():
            changes = {"pid": event.pid, "host": event.host, "state": "starting", **_CLEARED}
        case Queued():
            changes = _queued(event)
        case RunStarted():
            changes = {
                "state": "running",
                "method": event.method,
                "num_epochs": event.num_epochs,
                "epoch": event.epoch,
                "phase": "warmup" if event.epoch < event.warmup_epochs else "training",
            }
        case StepProgress():
            changes = {"state": "running", "step": event.step, "lr": event.lr}
        case EpochFinished():
            changes = {"state": "running"} | {name: getattr(event, name) for name in _OF_AN_EPOCH}
        case StatisticsMeasured():
            changes = _scored(event)
        case RunEnded():
            changes = _CLEARED | {"state": event.state, "reason": event.reason}
    return changes | {"updated": event.time}


def _scored(event: StatisticsMeasured) -> dict[str, Any]:
    score = event.measure(POWER_ERROR)
    if score is None:
        return {}
    return {"pk_error": score.value, "pk_error_std": score.error, "pk_error_null": score.null}


def _queued(event: Queued) -> dict[str, Any]:
    if event.place == 0:
        return _CLEARED | {"state": "starting"}
    there = f"; training there: {', '.join(event.training)}" if event.training else ""
    reason = f"place {event.place} in the queue for {' or '.join(event.devices)}{there}"
    return {"state": "queued", "queue_place": event.place, "reason": reason}


def _verified(run: RunFolder, identity: ProcessIdentity | None, state: State) -> dict[str, Any]:
    """Return the changes that the process or heartbeat makes to a run that its log shows as alive."""
    life = "dead" if identity is None else identity.life()
    silence = age_on_disk(run.worker) if life == "elsewhere" else 0.0
    if identity is not None and silence > UNREACHABLE_SECONDS:
        reason = f"its worker on {identity.host} has sent no heartbeat for {silence / 60:.0f} min"
        return _CLEARED | {"state": "unreachable", "reason": reason}
    if identity is not None and life != "dead":
        asked = run.stop_request.exists()  # a file, because only the worker writes the log
        return _stalled(run, identity) or {"state": "stopping" if asked else state}
    who = "its worker" if identity is None else f"its worker (process {identity.pid} on {identity.host})"
    reason = f"{who} is gone and recorded no outcome: killed, out of memory, or the machine restarted"
    return _CLEARED | {"state": "lost", "reason": reason}


def _stalled(run: RunFolder, identity: ProcessIdentity) -> dict[str, Any]:
    """Return the changes that a stall makes, as the worker or its overdue beat tells it; none without a stall."""
    beat = ProgressBeat.read(run.progress)
    if beat is None or beat.worker != identity.started:  # of an earlier worker
        return {}
    idle = beat.idle_now(0.0 if beat.host == host_name() else age_on_disk(run.progress))
    if idle is None:
        return {}
    return _CLEARED | {"state": "stalled", "reason": beat.words(idle)}


def _method_in(run: RunFolder) -> str | None:
    """Return the method named in the config's text, read without the schema so that `focus ls` stays fast."""
    try:
        found = _METHOD.search(read_text(run.config))
    except (OSError, UnicodeDecodeError):
        return None
    if found is None:
        return DEFAULT_METHOD
    return str(method_named(found[1].strip().strip("'\""))) or DEFAULT_METHOD
