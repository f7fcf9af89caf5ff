"""Launching a worker from the command line. Separate from `train`, because plain `focus start` runs without typer."""

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder
from focus_tui.cli.named import quoted_name
from focus_tui.terminal import out, say, visible


def launch(
    run: RunFolder, *, resume: bool = False, gpu: int | None = None, gpus: int | None = None, queue: bool = False
) -> None:
    """Check the config of `run`, start its worker and print its process. Raises FocusError as `start_run` does."""
    from focus_engine.launch.start import start_run

    check_config(run)
    identity = start_run(run, resume=resume, device=device_of(gpu, gpus), devices=gpus, queue=queue)
    did = "queued" if queue else "resumed" if resume else "started"
    out(f"{did} {visible(run.name)}, process {identity.pid}")
    say(f"watch  focus logs -f {quoted_name(run)}\nstop   focus stop {quoted_name(run)}")


def check_config(run: RunFolder) -> None:
    """Check the config of `run` before training starts, and print its warnings. Raises InputError."""
    from focus_engine.config.beginning import check_beginning
    from focus_engine.config.load import load_config
    from focus_engine.config.templates import check_method
    from focus_engine.runs.safety import open_to_everybody

    loaded = load_config(run.config)
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    for path in open_to_everybody(run):
        say(f"warning: everybody can write in {visible(str(path))}: chmod o-w {visible(str(path))}")
    check_method(loaded.config.method)
    if not run.has_checkpoints():
        check_beginning(loaded.config, str(loaded.path))


def device_of(gpu: int | None, gpus: int | None = None) -> str | None:
    """Return torch's name of the requested device. Raises InputError if there are fewer GPUs."""
    if gpus is None:
        return None if gpu is None else f"cuda:{gpu}"
    if gpu is not None:
        raise InputError(f"give --gpu {gpu} (an index) or --gpus {gpus} (a number), not both")
    from focus_engine.gpus import visible_gpus

    if (found := len(visible_gpus())) < gpus:
        have = f"this machine has {found}" if found else "FOCUS sees none on this machine"
        raise InputError(f"--gpus {gpus}: {have}; on a CPU, set training.devices to the number of processes")
    return "cuda"
