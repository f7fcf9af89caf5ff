"""`focus status`: the state of one run, or JSON. Imports neither typer nor pydantic, to start fast."""

import json
from typing import Any

from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import Labels
from focus_tui.cli.listing import read_row, row_document
from focus_tui.terminal import out, visible
from focus_tui.view.words import age, duration, status_lines


def print_status(run: RunFolder, *, as_json: bool = False) -> None:
    """Print the state of `run`, its checkpoints, its SLURM job and its labels."""
    row = read_row(run)
    if as_json:
        job = job_document(run)
        proofs = proof_document(run)
        more = ({} if job is None else {"slurm": job}) | ({"checkpoints": proofs} if proofs else {})
        document = row_document(row) | more
        out(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False))
        return
    state = [*status_lines(row.summary), *proof_lines(run), *job_lines(run, row.summary)]
    for line in [*state, *label_lines(row.labels)]:
        out(line)


def label_lines(labels: Labels) -> list[str]:
    """Return the labels of a run as lines of `focus status`."""
    note = [visible(line) for line in labels.note.splitlines()]
    rows = [
        *([("tags", " ".join(labels.tags))] if labels.tags else []),
        *(("" if number else "note", line) for number, line in enumerate(note)),
        *([("archived", "yes: not in the list")] if labels.archived else []),
    ]
    return [f"  {label:<11} {text}" for label, text in rows]


def proof_document(run: RunFolder) -> dict[str, dict[str, Any]]:
    """Return what `focus status --json` says of the last and the best checkpoint: condition, and when it was read.

    Both are null where the file was not read since it was written.
    """
    from focus_engine.runs.proofs import proof_of

    known = {
        kind: proof_of(run, path)
        for kind, path in (("last", run.checkpoint_last), ("best", run.checkpoint_best))
        if path.is_file()
    }
    return {
        kind: {"condition": proof and proof.condition, "read": proof and proof.when} for kind, proof in known.items()
    }


def proof_lines(run: RunFolder, now: float | None = None) -> list[str]:
    """Return the line of `focus status` that says when each checkpoint was last read and checked in full."""
    from focus_engine.seal import is_sealed

    paths = {"last": run.checkpoint_last, "best": run.checkpoint_best}
    words = []
    for kind, proof in proof_document(run).items():
        if proof["condition"] is not None:
            words.append(f"{kind} {proof['condition']} {age(proof['read'], now)} ago")
        elif is_sealed(paths[kind]):
            words.append(f"{kind} not read since it was written")
        else:
            words.append(f"{kind} unproved (of an earlier FOCUS)")
    return [f"  {'checkpoints':<11} {', '.join(words)}"] if words else []


def job_document(run: RunFolder) -> dict[str, Any] | None:
    """Return the object on the SLURM job of `run` in `focus status --json`; None without a job."""
    if not run.slurm_job.is_file():
        return None
    from focus_engine.launch.slurm.join import job_of  # 0.02 s, only for runs of a cluster

    if (held := job_of(run)) is None:
        return None
    job = held.job
    known = {"state": None, "reason": None, "nodes": None, "partition": None, "seconds_left": None}
    if job is not None:
        known |= {name: getattr(job, name) or None for name in known}
    return {"job_id": held.submitted.job_id, "cluster": held.submitted.cluster, **known}


def job_lines(run: RunFolder, summary: RunSummary) -> list[str]:
    """Return the lines on the SLURM job of `run` in `focus status`."""
    if not run.slurm_job.is_file():
        return []
    from focus_engine.launch.slurm.join import job_of, time_words

    if (held := job_of(run)) is None:
        return []
    job = held.job
    if job is None:
        return [f"  {'SLURM':<11} job {visible(held.submitted.job_id)}, no longer known to SLURM"]
    on = f" on {visible(job.partition)}" if job.partition else ""
    node = f", node {visible(job.nodes)}" if job.nodes else ""
    lines = [f"  {'SLURM':<11} job {visible(job.job_id)}, {visible(job.state.lower())}{on}{node}"]
    if (words := time_words(summary, job, duration)) is not None:
        lines.append(f"  {'time limit':<11} {words}")
    return lines
