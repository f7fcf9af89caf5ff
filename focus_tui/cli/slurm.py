"""SLURM options of `focus start` and `focus resume`, and submitting by them."""

from dataclasses import dataclass, fields
from typing import Annotated

import typer

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder
from focus_tui.terminal import visible

Slurm = Annotated[bool, typer.Option("--slurm", help="Submit it as a SLURM job.")]
Partition = Annotated[str | None, typer.Option(metavar="NAME", help="SLURM partition.", show_default=False)]
Time = Annotated[str | None, typer.Option("--time", metavar="LIMIT", help="… wall-clock limit, D-HH:MM:SS.")]
Nodes = Annotated[int | None, typer.Option("--nodes", min=1, metavar="N", help="… nodes.", show_default=False)]
Account = Annotated[str | None, typer.Option(metavar="NAME", help="… account.", show_default=False)]
Sbatch = Annotated[
    list[str] | None, typer.Option("--sbatch", metavar="KEY=VALUE", help="… any other option of sbatch. Repeatable.")
]


@dataclass(frozen=True)
class SlurmRequest:
    """The SLURM options given on the command line."""

    partition: str | None
    time: str | None
    nodes: int | None
    account: str | None
    sbatch: list[str] | None

    def refuse_without_slurm(self) -> None:
        """Raise InputError if any option is given without --slurm."""
        if given := [f"--{one.name}" for one in fields(self) if getattr(self, one.name)]:
            raise InputError(f"{', '.join(given)}: only with --slurm")


def submit(run: RunFolder, *, resume: bool, gpus: int | None, request: SlurmRequest) -> str:
    """Submit `run`; return a sentence with the job id. Raises FocusError if SLURM refuses."""
    from focus_engine.launch.slurm.options import SlurmOptions, parse_sbatch
    from focus_engine.launch.slurm.submit import submit_run

    given = SlurmOptions(
        partition=request.partition,
        gpus=gpus,
        time=request.time,
        nodes=request.nodes,
        account=request.account,
        sbatch=parse_sbatch(request.sbatch or []),
    )
    job, options = submit_run(run, given, resume=resume)
    where = f" to {options.partition}" if options.partition else ""
    return f"submitted {visible(run.name)}{where}, SLURM job {job.job_id}"
