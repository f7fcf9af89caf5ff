"""Writing the sbatch script of a run into its folder, and submitting it."""

import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from focus_engine.atomic import write_atomically
from focus_engine.cache import cache_folder
from focus_engine.errors import FocusError, InputError
from focus_engine.launch.run_lock import run_lock
from focus_engine.launch.slurm.jobs import SLURM, SubmittedJob, cluster_name
from focus_engine.launch.slurm.options import SlurmOptions, merged, read_defaults
from focus_engine.launch.start import check_can_start
from focus_engine.runs.folder import RunFolder

SUBMIT_SECONDS = 60.0


def job_script(run: RunFolder, options: SlurmOptions, *, resume: bool, devices: int | None = None) -> str:
    """Return the sbatch script of `run`: header, the user's setup, and the worker, which replaces the shell.

    `devices` is the number of GPUs per node that train together.
    """
    header: list[tuple[str, str]] = [
        ("job-name", f"focus-{_plain(run.name)}"),
        ("output", _header_path(run.logs / "slurm-%j.out")),
        ("open-mode", "append"),
        ("signal", f"B:USR1@{options.notice}"),
        ("requeue", ""),
        ("nodes", str(options.nodes or 1)),
        ("ntasks-per-node", "1"),
    ]
    named = {"partition": options.partition, "account": options.account, "time": options.time}
    header += [(key, value) for key, value in named.items() if value is not None]
    header += [("gpus-per-node", str(options.gpus))] if options.gpus else []
    given = dict(options.sbatch)
    header = [(key, given.pop(key, value)) for key, value in header]
    lines = [f"#SBATCH --{key}" + (f"={value}" if value else "") for key, value in [*header, *given.items()]]
    worker = [sys.executable, "-m", "focus_engine.worker", str(run.path), "--slurm"]
    worker += ["--resume"] if resume else []
    worker += ["--devices", str(devices)] if devices else []
    setup = ["", "# Setup of this cluster (~/.config/focus/slurm.yaml)", *options.setup.splitlines()]
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            "",
            "# Written by focus start --slurm, which submitted it.",
            f"# {options.notice} s before the time limit SLURM sends USR1: the worker saves a checkpoint and asks",
            "# to be requeued. Started again by SLURM, it goes on from its last checkpoint.",
            *(setup if options.setup.strip() else []),
            "",
            f"export FOCUS_CACHE={shlex.quote(str(cache_folder().absolute()))}",
            "",
            "# exec: the signals go to the worker itself.",
            f"exec {shlex.join(worker)}",
            "",
        ]
    )


def _plain(name: str) -> str:
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in name)


def _header_path(path: Path) -> str:
    text = str(path)
    if any(character in text for character in "\n'\"\\"):
        raise InputError(f"{path}: a path with quotes, backslashes or line breaks cannot stand in a SLURM script")
    return f'"{text}"' if " " in text else text


def submit_run(
    run: RunFolder, given: SlurmOptions, *, resume: bool = False, devices: int | None = None
) -> tuple[SubmittedJob, SlurmOptions]:
    """Write the script of `run`, submit it, and return the job and the options used.

    Raises:
        RunConflictError: the run is alive already, or is done.
        InputError: the options are wrong, or SLURM refuses them.
        FocusError: there is no SLURM here, or it does not answer.
    """
    if shutil.which("sbatch") is None:
        raise FocusError("--slurm: there is no sbatch on this machine: log in to the cluster, or start without --slurm")
    cluster = cluster_name()
    options = merged(read_defaults(cluster), given)
    if devices is None and options.gpus is not None and options.gpus > 1:
        devices = options.gpus
    with run_lock(run):
        check_can_start(run, resume=resume)
        run.stop_request.unlink(missing_ok=True)
        with write_atomically(run.slurm_script) as temporary:
            temporary.write_text(job_script(run, options, resume=resume, devices=devices), encoding="utf-8")
        job = SubmittedJob(_sbatch(run), cluster, time.time())
        job.write(run)
    SLURM.forget()
    return job, options


def _sbatch(run: RunFolder) -> str:
    """Submit the script of `run` and return the job's number."""
    command = ["sbatch", "--parsable", str(run.slurm_script)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SUBMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise FocusError(
            f"sbatch did not answer within {SUBMIT_SECONDS:.0f} s: look with squeue before another try"
        ) from None
    if answer.returncode:
        said = " ".join(answer.stderr.split()).replace("sbatch: error: ", "")
        kind = FocusError if "connect" in said or "contact" in said else InputError
        raise kind(f"SLURM refuses the job: {said}; its script is {run.slurm_script}")
    return answer.stdout.strip().partition(";")[0]
