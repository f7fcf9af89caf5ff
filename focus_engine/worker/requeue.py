"""Workers that are SLURM jobs: whether the cluster stopped one, asking to be requeued, and going on after that."""

import os
import time

from focus_engine.events.outcome import Outcome
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.state import HEARTBEAT_SECONDS, UNREACHABLE_SECONDS, summarise
from focus_engine.launch.summary import LIVE_STATES
from focus_engine.runs.folder import RunFolder
from focus_engine.worker.options import WorkerOptions
from focus_engine.worker.recorder import say
from focus_engine.worker.stop import StopSwitch

POLL_SECONDS = 0.5
REQUEUE = 75
"""Exit code of a SLURM job that was stopped by the cluster and wants to go on (EX_TEMPFAIL)."""


def wants_requeue(switch: StopSwitch, options: WorkerOptions) -> bool:
    """Whether the worker, a SLURM job, was stopped by the cluster and not by its user."""
    if not options.slurm:
        return False
    from focus_engine.launch.slurm.jobs import JOB_VARIABLE, was_preempted  # noqa: PLC0415  (only in jobs of a cluster)

    return switch.out_of_time or (switch.terminated and was_preempted(os.environ.get(JOB_VARIABLE, "")))


def end_reason(outcome: Outcome, switch: StopSwitch, options: WorkerOptions) -> str:
    """Return why the run ended; for a job that the cluster stopped, why that was and that it asks to be requeued."""
    if outcome.state != "stopped" or not wants_requeue(switch, options):
        return outcome.reason
    why = "the SLURM job's time is nearly over" if switch.out_of_time else "another SLURM job takes the node"
    return f"{why}; {outcome.where or 'stopped before training began'}; the job asks to be requeued"


def was_requeued(run: RunFolder) -> bool:
    """Whether SLURM has started this job before, so that it must go on from the last checkpoint."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") not in {"", "0"} and run.events.is_file()


def wait_until_unreachable(run: RunFolder) -> None:
    """Wait until the heartbeat of the worker that this job had on another node is overdue, for at most that long.

    A node that fails records no outcome, and SLURM may start its job elsewhere while the last heartbeat is still
    fresh. A worker that keeps beating is alive: the start is then refused, because two would write into one folder.
    """
    identity = ProcessIdentity.read(run.worker)
    if identity is None or identity.life() != "elsewhere":
        return
    deadline = time.monotonic() + UNREACHABLE_SECONDS + HEARTBEAT_SECONDS
    waits = False
    while summarise(run).state in LIVE_STATES and time.monotonic() < deadline:
        if not waits:
            say(f"the last heartbeat of the worker on {identity.host} is recent: waiting until it counts as gone")
        waits = True
        time.sleep(POLL_SECONDS)


def requeue_job() -> int:
    """Ask SLURM to queue this job again, which ends this process; return the exit code in case it does not."""
    from focus_engine.launch.slurm.jobs import JOB_VARIABLE, requeue  # noqa: PLC0415  (only in jobs of a cluster)

    objection = requeue(os.environ.get(JOB_VARIABLE, ""))
    if objection is not None:
        say(f"SLURM does not requeue the job: {objection}; go on with focus resume --slurm")
    return REQUEUE if objection is not None else 0
