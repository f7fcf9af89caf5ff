"""The summary of a run completed by the state of its SLURM job."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from focus_engine.launch.slurm.jobs import ENDS, SLURM, Job, SubmittedJob
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder


@dataclass(frozen=True)
class JobOfRun:
    """The job of a run as it was submitted, and its state; None when SLURM no longer knows it."""

    submitted: SubmittedJob
    job: Job | None


def job_of(run: RunFolder) -> JobOfRun | None:
    """Return the job of `run`, or None when it was not submitted."""
    submitted = SubmittedJob.read(run)
    return None if submitted is None else JobOfRun(submitted, SLURM.job(submitted.job_id))


def joined(run: RunFolder, summary: "RunSummary") -> "RunSummary":
    """Return `summary` with what only SLURM knows: that the job waits, or that SLURM ended it.

    The run's own log comes first. SLURM is asked only about a run that has not begun since it was submitted, that has
    stopped and may be requeued, or whose worker is gone without a recorded outcome.
    """
    submitted = SubmittedJob.read(run)
    if submitted is None:
        return summary
    if submitted.is_ours:
        return _seen_from_within(summary)
    began = summary.updated is not None and summary.updated > submitted.submitted
    if began and summary.state not in {"stopped", "lost", "unreachable"}:
        return summary
    job = SLURM.job(submitted.job_id)
    name = f"SLURM job {submitted.job_id}"
    if job is None:
        return summary if began else _unknown(summary, name)
    if job.waits:
        why = f" ({job.reason})" if job.reason else ""
        on = f" on {job.partition}" if job.partition else ""
        return _queued(summary, f"{name} is pending{on}{why}" + _goes_on(summary, began))
    if job.active:
        return _active(summary, job, name, began)
    return summary if summary.state == "stopped" and began else _ended(summary, job, name, began)


def _seen_from_within(summary: "RunSummary") -> "RunSummary":
    """Return the summary as the job itself sees it: SLURM runs a job once, so an unreachable worker is gone."""
    if summary.state != "unreachable":
        return summary
    return replace(summary, state="lost", reason=f"{summary.reason}; SLURM has started its job anew")


def _unknown(summary: "RunSummary", name: str) -> "RunSummary":
    if not SLURM.answers:
        return _queued(summary, f"{name}: SLURM does not answer")
    return replace(summary, state="lost", reason=f"{name} is unknown to SLURM by now, and its worker never began")


def _ended(summary: "RunSummary", job: Job, name: str, began: bool) -> "RunSummary":
    how = ENDS.get(job.state, f"ended as {job.state}")
    if began:
        return replace(
            summary, state="lost", reason=f"{name} {how}, and its worker recorded no outcome", eta_seconds=None
        )
    reason = f"{name} {how} before its worker began"
    if job.state == "CANCELLED":
        return replace(summary, state="stopped", reason=reason, eta_seconds=None)
    return replace(summary, state="failed", reason=reason, eta_seconds=None)


def _queued(summary: "RunSummary", reason: str) -> "RunSummary":
    return replace(summary, state="queued", reason=reason, eta_seconds=None)


def _active(summary: "RunSummary", job: Job, name: str, began: bool) -> "RunSummary":
    if not began:
        return replace(summary, state="starting", reason=f"{name} begins on {job.nodes or 'its node'}")
    if summary.state == "unreachable":
        return replace(summary, reason=f"{summary.reason}; SLURM says that {name} runs on {job.nodes}")
    return summary


def _goes_on(summary: "RunSummary", began: bool) -> str:
    return f"; goes on after epoch {summary.epoch}" if began and summary.epoch else ""


def time_words(summary: "RunSummary", job: Job, span: Callable[[float], str]) -> str | None:
    """Return in words whether the run will finish in its job's time; `span` formats seconds. None when unknown."""
    if job.seconds_left is None or not job.active:
        return None
    left = f"{span(job.seconds_left)} left"
    if summary.eta_seconds is None:
        return left
    if summary.eta_seconds <= job.seconds_left:
        return f"{left}, needs {span(summary.eta_seconds)}"
    return f"will not finish: {left}, needs {span(summary.eta_seconds)}; will requeue"
