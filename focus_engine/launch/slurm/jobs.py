"""The state of SLURM jobs: `squeue` for all of the user's, `scontrol` and `sacct` for one that left the queue.

Each query has a time limit and its answer is kept for a few seconds, so that a list of a hundred runs asks SLURM once.
A cluster that does not answer is no error: the run's own evidence then decides.
"""

import json
import math
import os
import re
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass, replace

from focus_engine.atomic import write_atomically
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import read_json

ANSWER_SECONDS = 5.0
"""Time limit of a query."""
FRESH_SECONDS = 3.0
"""How long an answer is used."""
JOB_VARIABLE = "SLURM_JOB_ID"
JOB_ID = re.compile(r"[0-9]{1,20}([_+][0-9]{1,20})?")
WAITING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
ACTIVE = {"RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "STOPPED", "RESIZING"}
ENDS = {
    "CANCELLED": "was cancelled",
    "TIMEOUT": "ran out of its wall-clock time",
    "PREEMPTED": "was preempted by another job",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "lost its node while that booted",
    "OUT_OF_MEMORY": "ran out of memory",
    "DEADLINE": "passed its deadline",
    "FAILED": "failed",
    "COMPLETED": "has ended",
}
"""How a job ended, in words, by SLURM's state."""


@dataclass(frozen=True)
class SubmittedJob:
    """The job of a run: `slurm.json` in its folder.

    Attributes:
        job_id: SLURM's number.
        cluster: its name.
        submitted: when [Unix seconds].
    """

    job_id: str
    cluster: str | None
    submitted: float

    def write(self, run: RunFolder) -> None:
        """Write the job to `slurm.json` in the run's folder. Raises OSError."""
        with write_atomically(run.slurm_job) as temporary:
            temporary.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, run: RunFolder) -> "SubmittedJob | None":
        """Return the job of `run`, or None when it has none."""
        try:
            row = read_json(run.slurm_job)
            cluster = None if row["cluster"] is None else str(row["cluster"])
            job_id = str(row["job_id"])
            # It becomes an argument of scancel, where `--user=NAME` would cancel other jobs.
            sound = JOB_ID.fullmatch(job_id) and math.isfinite(submitted := float(row["submitted"]))
            return cls(job_id, cluster, submitted) if sound else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def is_ours(self) -> bool:
        """Whether this process runs inside the job."""
        return os.environ.get(JOB_VARIABLE) == self.job_id


@dataclass(frozen=True)
class Job:
    """The state of a job as SLURM reports it.

    Attributes:
        job_id: its number.
        state: SLURM's name of it, such as PENDING.
        reason: why it waits, such as Resources; empty when SLURM gives none.
        nodes: where it runs.
        partition: its partition.
        seconds_left: until its wall-clock limit; None without one.
    """

    job_id: str
    state: str
    reason: str = ""
    nodes: str = ""
    partition: str = ""
    seconds_left: float | None = None

    @property
    def waits(self) -> bool:
        """Whether the job waits to start, for the first time or again."""
        return self.state in WAITING

    @property
    def active(self) -> bool:
        """Whether the job is running."""
        return self.state in ACTIVE


class Slurm:
    """Queries the cluster and keeps its answers for `FRESH_SECONDS`."""

    def __init__(self) -> None:
        self._queue: tuple[float, dict[str, Job] | None] = (-FRESH_SECONDS, None)
        self._gone: dict[str, tuple[float, Job | None]] = {}

    def job(self, job_id: str) -> Job | None:
        """Return the state of a job; None when SLURM does not know it or does not answer."""
        queue = self._all()
        if queue is None:
            return None
        if job_id in queue:
            return queue[job_id]
        asked, known = self._gone.get(job_id, (-FRESH_SECONDS, None))
        if time.monotonic() - asked >= FRESH_SECONDS and (known is None or known.waits or known.active):
            known = _of_scontrol(job_id) or _of_sacct(job_id)
            self._gone[job_id] = time.monotonic(), known
        return known

    def forget(self) -> None:
        """Drop the kept answers, after a job was submitted or cancelled."""
        self._queue, self._gone = (-FRESH_SECONDS, None), {}

    @property
    def answers(self) -> bool:
        """Whether the cluster answers."""
        return self._all() is not None

    def _all(self) -> dict[str, Job] | None:
        asked, queue = self._queue
        if time.monotonic() - asked >= FRESH_SECONDS:
            text = ask(["squeue", "--noheader", f"--user={os.getuid()}", "--format=%i|%T|%r|%N|%P|%L"])
            queue = None if text is None else {job.job_id: job for job in map(_of_line, text.splitlines()) if job}
            self._queue = time.monotonic(), queue
        return queue


SLURM = Slurm()
"""The answers that this process shares."""


def ask(command: list[str]) -> str | None:
    """Return the output of a SLURM command; None without SLURM, or when the command fails or does not answer."""
    if shutil.which(command[0]) is None:
        return None
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


def cluster_name() -> str | None:
    """Return the name of the cluster; None where there is none."""
    text = ask(["scontrol", "show", "config"]) or ""
    found = re.search(r"^ClusterName\s*=\s*(\S+)", text, re.MULTILINE)
    return found.group(1) if found else None


def _of_line(line: str) -> Job | None:
    parts = line.split("|")
    if len(parts) != 6:
        return None
    job_id, state, reason, nodes, partition, left = parts
    shown = "" if reason in {"None", "(null)"} else reason
    return Job(job_id, state, shown, nodes, partition, seconds_of(left))


def seconds_of(text: str) -> float | None:
    """Return SLURM's `D-HH:MM:SS` in seconds; None for UNLIMITED and other words."""
    days, dash, rest = text.strip().rpartition("-")
    parts = rest.split(":")
    if (
        len(text) > 40
        or not all(part.isdecimal() for part in parts)
        or (dash and not days.isdecimal())
        or len(parts) > 3
    ):
        return None
    numbers = [int(part) for part in parts]
    if dash:  # D-HH, D-HH:MM or D-HH:MM:SS
        numbers += [0] * (3 - len(numbers))
    else:  # MM:SS or HH:MM:SS
        numbers = [0] * (3 - len(numbers)) + numbers
    hours, minutes, seconds = numbers
    return float(((int(days) if dash else 0) * 24 + hours) * 3600 + minutes * 60 + seconds)


def _of_scontrol(job_id: str) -> Job | None:
    text = ask(["scontrol", "--oneliner", "show", "job", job_id])
    if not text:
        return None
    values = dict(part.partition("=")[::2] for part in text.split())
    nodes, reason = values.get("NodeList", ""), values.get("Reason", "")
    job = Job(job_id, values.get("JobState", "UNKNOWN"), "" if reason == "None" else reason)
    return replace(job, nodes="" if nodes == "(null)" else nodes, partition=values.get("Partition", ""))


def _of_sacct(job_id: str) -> Job | None:
    columns = "JobID,State,NodeList,Partition"
    text = ask(["sacct", "--noheader", "--parsable2", f"--jobs={job_id}", f"--format={columns}"]) or ""
    for line in text.splitlines():
        number, state, nodes, partition = (line.split("|") + [""] * 4)[:4]
        if number == job_id:  # the ids of its steps contain a dot
            return Job(job_id, (state.split() or ["UNKNOWN"])[0], nodes=nodes, partition=partition)
    return None


def was_preempted(job_id: str) -> bool:
    """Whether SLURM is preempting the job for another one."""
    text = ask(["scontrol", "--oneliner", "show", "job", job_id]) or ""
    values = dict(part.partition("=")[::2] for part in text.split())
    preempted = values.get("PreemptTime", "None") not in {"None", "Unknown", ""}
    return preempted and values.get("JobState") != "CANCELLED"


def requeue(job_id: str) -> str | None:
    """Ask SLURM to queue the running job again; return its error message, or None when it agreed."""
    try:
        command = ["scontrol", "requeue", job_id]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if answer.returncode == 0 else answer.stderr.strip() or f"scontrol ended with {answer.returncode}"


def cancel(job_id: str) -> str | None:
    """Cancel a job that has not started; return SLURM's error message, or None when it agreed."""
    SLURM.forget()
    try:
        command = ["scancel", job_id]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if answer.returncode == 0 else answer.stderr.strip() or f"scancel ended with {answer.returncode}"
