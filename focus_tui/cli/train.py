"""Commands that train: check, train, start, resume, stop."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from focus_engine.errors import FocusError, InputError
from focus_engine.runs.folder import RunFolder, find_run
from focus_tui.cli.choose import Exp, Json, NamedExp, Trust, chosen_run, complete_names, root_of
from focus_tui.cli.command import Command
from focus_tui.cli.launching import check_config, device_of, launch
from focus_tui.cli.named import quoted_name
from focus_tui.cli.slurm import Account, Nodes, Partition, Sbatch, Slurm, SlurmRequest, Time, submit
from focus_tui.terminal import out, say, visible

Gpu = Annotated[int | None, typer.Option("--gpu", min=0, metavar="N", help="Train on this GPU.", show_default=False)]
Gpus = Annotated[
    int | None,
    typer.Option("--gpus", min=1, metavar="N", help="Train on N GPUs together [training.devices].", show_default=False),
]


def train(
    context: typer.Context,
    exp: Exp = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Train with this config …")] = None,
    exp_dir: Annotated[
        Path | None, typer.Option("--exp_dir", "--exp-dir", metavar="DIR", help="… in this folder (made if need be).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the last checkpoint.")] = False,
    gpu: Gpu = None,
    gpus: Gpus = None,
    _trust: Trust = False,
) -> None:
    """Train in the foreground.

    With progress bar and epoch blocks; Ctrl-C stops cleanly after a checkpoint.

    Example: focus train --config config.yaml --exp_dir runs/a
    """
    run = _run_to_train(context, exp, config, exp_dir)
    check_config(run)
    from focus_tui.compute.training import train as train_here

    train_here(run, resume=resume, device=device_of(gpu, gpus), devices=gpus)


def start(
    context: typer.Context,
    exps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EXP...",
            help="Names or paths [that of the current folder, else the latest].",
            show_default=False,
            autocompletion=complete_names,
        ),
    ] = None,
    gpu: Gpu = None,
    gpus: Gpus = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Wait until the device is free [where several are given].")
    ] = False,
    slurm: Slurm = False,
    partition: Partition = None,
    time_limit: Time = None,
    nodes: Nodes = None,
    account: Account = None,
    sbatch: Sbatch = None,
    _trust: Trust = False,
) -> None:
    """Train in the background.

    Survives logout; returns at once. Several are queued: as many train at once as there are GPUs (FOCUS_SLOTS: runs
    on each; one on a machine without GPU), oldest first. One that cannot start does not hold up the others.

    Example: focus start experiment_diffusion --gpu 1
    """
    root = root_of(context)
    runs = [find_run(name, root) for name in dict.fromkeys(exps)] if exps else [chosen_run(context, None)]
    slurm_request = SlurmRequest(partition, time_limit, nodes, account, sbatch)
    if slurm:
        _submit(runs, resume=False, gpu=gpu, gpus=gpus, queue=queue, request=slurm_request)
        return
    slurm_request.refuse_without_slurm()
    if len(runs) == 1:
        launch(runs[0], resume=False, gpu=gpu, gpus=gpus, queue=queue)
    else:
        start_queued(runs, gpu=gpu, gpus=gpus)


def _submit(
    runs: Sequence[RunFolder], *, resume: bool, gpu: int | None, gpus: int | None, queue: bool, request: SlurmRequest
) -> None:
    """Submit runs to SLURM, which manages queue and devices."""
    if gpu is not None or queue:
        raise InputError(f"{'--queue' if queue else '--gpu'}: not with --slurm, which has its own; ask for --gpus N")
    for run in runs:
        check_config(run)
        out(submit(run, resume=resume, gpus=gpus, request=request))
        say(f"watch  focus status {quoted_name(run)}\nstop   focus stop {quoted_name(run)}\nscript {run.slurm_script}")


def start_queued(runs: Sequence[RunFolder], *, gpu: int | None = None, gpus: int | None = None) -> None:
    """Queue several runs. One that cannot start is reported, the others start; then raises typer.Exit."""
    failed: list[FocusError] = []
    for run in runs:
        try:
            launch(run, resume=False, gpu=gpu, gpus=gpus, queue=True)
        except FocusError as error:
            failed.append(error)
            say(f"focus: {error}")
    if failed:
        raise typer.Exit(failed[0].exit_code)


def resume(
    context: typer.Context,
    exp: Exp = None,
    gpu: Gpu = None,
    gpus: Gpus = None,
    queue: Annotated[bool, typer.Option("--queue", help="Wait until the device is free.")] = False,
    slurm: Slurm = False,
    partition: Partition = None,
    time_limit: Time = None,
    nodes: Nodes = None,
    account: Account = None,
    sbatch: Sbatch = None,
    _trust: Trust = False,
) -> None:
    """Resume training from the last checkpoint.

    In the background; from epoch 1 if there is no checkpoint yet.

    Example: focus resume experiment_diffusion
    """
    run = chosen_run(context, exp)
    slurm_request = SlurmRequest(partition, time_limit, nodes, account, sbatch)
    if slurm:
        _submit([run], resume=True, gpu=gpu, gpus=gpus, queue=queue, request=slurm_request)
        return
    slurm_request.refuse_without_slurm()
    launch(run, resume=True, gpu=gpu, gpus=gpus, queue=queue)


def check(
    context: typer.Context,
    exp: Exp = None,
    gpu: Gpu = None,
    as_json: Json = False,
) -> None:
    """Rehearse a training.

    Config, data, a few steps on the device: time per epoch, peak memory, disk for checkpoints. Starts nothing.

    Example: focus check experiment_diffusion
    """
    run = chosen_run(context, exp)
    check_config(run)
    from focus_tui.compute.checking import check as rehearse

    rehearse(run, device=device_of(gpu), as_json=as_json)


def stop(
    context: typer.Context,
    exp: NamedExp,
    now: Annotated[bool, typer.Option("--now", help="Stop within a step, with a checkpoint.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has stopped.")] = False,
) -> None:
    """Stop training after the current epoch. `focus resume` goes on from there.

    Example: focus stop experiment_diffusion --now
    """
    from focus_engine.launch.start import request_stop
    from focus_engine.launch.state import summarise
    from focus_engine.launch.summary import LIVE_STATES

    run = find_run(exp, root_of(context))
    summary = request_stop(run, "now" if now else "epoch")
    if summary.state == "queued" and summarise(run).state != "queued":
        say(f"{visible(run.name)} has left the queue: it was {summary.reason}")
        return
    when = "now, with a checkpoint" if now else f"after epoch {(summary.epoch or 0) + 1}"
    say(f"{visible(run.name)} stops {when}; go on later: focus resume {quoted_name(run)}")
    if summary.state == "unreachable":
        say(f"but {summary.reason}: it stops when it is reachable again")
    elif summary.state == "stalled":
        how = "--now ends it without another checkpoint" if not now else "its last checkpoint is kept"
        say(f"but {summary.reason}: {how}")
    if wait and summary.state != "unreachable":
        while (summary := summarise(run)).state in LIVE_STATES:
            time.sleep(0.2)
        say(f"{visible(run.name)}: {summary.state}, {summary.reason}")


def _run_to_train(context: typer.Context, exp: str | None, config: Path | None, exp_dir: Path | None) -> RunFolder:
    if config is None and exp_dir is None:
        return chosen_run(context, exp)
    if exp is not None:
        raise InputError(f"give either the experiment {exp!r} or --config and --exp_dir, not both")
    if config is None and exp_dir is not None:
        return find_run(str(exp_dir.absolute()), root_of(context))
    if config is not None and exp_dir is None:
        raise InputError(f"--config {config} needs --exp_dir DIR: the folder for checkpoints and logs")
    from focus_engine.runs.create import adopt_config

    assert config is not None and exp_dir is not None  # noqa: S101, PT018  (for the type checker: both are given here)
    return adopt_config(config, exp_dir)


COMMANDS = tuple(Command(function, "train") for function in (check, train, start, stop, resume))
