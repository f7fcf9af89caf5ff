"""The background worker: `python -m focus_engine.worker RUN_DIR` trains a run in this process."""

import argparse
import sys
from pathlib import Path

from focus_engine.errors import FocusError, InputError
from focus_engine.events.table import Event, RunStarted
from focus_engine.launch.threads import wait_asleep
from focus_engine.runs.folder import RunFolder
from focus_engine.worker.foreground import run_locked
from focus_engine.worker.guardian import guarded
from focus_engine.worker.options import WorkerOptions
from focus_engine.worker.recorder import describe_failure, say
from focus_engine.worker.requeue import REQUEUE, requeue_job, wait_until_unreachable, was_requeued


def main(arguments: list[str] | None = None) -> int:
    """Train the run that the arguments name; return 1 when training failed, 2 when the user's input is wrong."""
    parser = argparse.ArgumentParser(prog="python -m focus_engine.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--device")
    parser.add_argument("--devices", type=int)
    parser.add_argument("--queue", action="store_true")
    parser.add_argument("--slurm", action="store_true")
    given = parser.parse_args(arguments)
    wait_asleep()
    run = RunFolder(given.run.absolute())
    resume = given.resume or (given.slurm and was_requeued(run))
    options = WorkerOptions(
        resume=resume, device=given.device, devices=given.devices, queue=given.queue, slurm=given.slurm
    )
    try:
        if not run.exists():
            raise InputError(f"{run.path} is not an experiment: it has no config.yaml")
        if given.slurm and resume:
            wait_until_unreachable(run)
        with guarded(run):
            ended, code = run_locked(run, options, _narrate)
    except (FocusError, OSError) as error:
        say(describe_failure(error))
        return error.exit_code if isinstance(error, FocusError) else FocusError.exit_code
    say(f"{run.name} {ended.state.replace('_', ' ')}: {ended.reason}")
    return requeue_job() if code == REQUEUE else code


def _narrate(event: Event) -> None:
    if isinstance(event, RunStarted):
        say(f"training on {event.device_name}")


if __name__ == "__main__":
    sys.exit(main())
