"""How a worker is asked to train: what `focus train`, `focus start` and a SLURM script pass on."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How one worker trains its run.

    Attributes:
        resume: go on from the last checkpoint.
        device: overrides the config's device.
        devices: overrides training.devices.
        queue: wait until the device has a free slot.
        foreground: the worker belongs to a terminal: Ctrl-C and a hangup stop it.
        slurm: the worker is a SLURM job: SIGUSR1 says that its time is nearly over.
        lock: the lock of the run that the worker holds, as a restart inherits it (`launch/run_lock.py`).
    """

    resume: bool = False
    device: str | None = None
    devices: int | None = None
    queue: bool = False
    foreground: bool = False
    slurm: bool = False
    lock: str = ""
