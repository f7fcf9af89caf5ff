"""The event table: the types of the events in `logs/events.jsonl`, one JSON object per line.

The worker writes the log; the terminal, the figures and `focus ls` know a run only through it. Each class below is
one event type: its docstring says when it is written, its attributes what each field holds and in which unit. Every
line also has `type` and `time` (Unix seconds); the first line of a worker has `schema`. Readers skip unknown types and
fields, so that they can read the logs of later versions. An unknown number is null, never invented.

A resumed run goes on in the same file. `RunStarted.epoch` then says after which epoch it goes on: events of later
epochs that come earlier in the file were lost with the worker and are superseded.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from focus_engine.events.event import Event as Event  # noqa: PLC0414  (re-exported: the table includes its base)
from focus_engine.events.outputs import AveragesSaved as AveragesSaved  # noqa: PLC0414
from focus_engine.events.outputs import Calibrated as Calibrated  # noqa: PLC0414
from focus_engine.events.outputs import CheckpointSaved as CheckpointSaved  # noqa: PLC0414
from focus_engine.events.outputs import SamplesDrawn as SamplesDrawn  # noqa: PLC0414
from focus_engine.events.statistics import StatisticsMeasured as StatisticsMeasured  # noqa: PLC0414

SCHEMA = 1
"""Version of this table; raised when a field changes its meaning, not when one is added."""

EndState = Literal["finished", "early_stopped", "stopped", "failed"]
Phase = Literal["warmup", "training"]
Number = float | None


@dataclass(frozen=True, kw_only=True)
class WorkerStarting(Event):
    """A worker process exists; torch is not loaded yet. The first line of each worker.

    Attributes:
        schema: version of the event table.
        pid: process id of the worker.
        host: name of its machine.
        boot_id: identity of that machine's boot; null where the system has none.
        process_start: start time of the process in the system's own clock, as text; reveals a recycled pid.
        focus_version: version of FOCUS.
        resume: whether it goes on from a checkpoint.
        foreground: whether it belongs to a terminal (`focus train`).
    """

    type: ClassVar[str] = "worker_starting"
    schema: int = SCHEMA
    pid: int
    host: str
    boot_id: str | None
    process_start: str | None
    focus_version: str
    resume: bool
    foreground: bool


@dataclass(frozen=True, kw_only=True)
class Queued(Event):
    """The worker waits for a free device (`focus start --queue`); written when its place changes.

    Attributes:
        place: place in the queue of this machine, 1 is next; 0 when it has its devices.
        devices: the devices that it waits for, or has.
        training: names of the runs that train on them now.
    """

    type: ClassVar[str] = "queued"
    place: int
    devices: tuple[str, ...]
    training: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """Data, network and state are ready; the first step follows.

    Attributes:
        method: diffusion, flow or edm.
        epoch: finished epochs: 0 for a new run; else training goes on after this epoch.
        num_epochs: maximum number of epochs.
        steps_per_epoch: optimiser steps in an epoch.
        warmup_epochs: epochs of linear warmup.
        batch_size: maps per batch.
        accumulate: batches per optimiser step.
        n_parameters: weights of the network.
        maps: number of training, validation and test maps.
        simulations: number of training, validation and test simulations.
        map_shape: channels, height, width.
        box_size: side of the box [Mpc/h].
        param_names: parameters the network is conditioned on.
        resident: whether the training maps are held on the device.
        terminal_snr: signal-to-noise ratio at t = T of the Fourier mode with most power; null where it has no meaning.
        precision: float32 or bf16.
        seed: seed of the run.
        threads: CPU threads of the arithmetic (part of the run: sums depend on it).
        ranks: processes that train together, one per device.
        step: optimiser steps done: 0 for a new run.
        device: torch's name of the device.
        device_name: its maker's name.
        git_commit: commit of the working folder; null outside a repository.
        versions: of python, torch, numpy and focus.
        config: the whole checked config, keys spelled as in the file.
        config_sha256: its digest.
        data_fingerprint: digest of the maps and parameters.
        init_from: the weights that the run began from: file, experiment, epoch, SHA-256, and in words what differs
            there; null where they were random.
    """

    type: ClassVar[str] = "run_started"
    method: str
    epoch: int
    num_epochs: int
    steps_per_epoch: int
    warmup_epochs: int
    batch_size: int
    accumulate: int
    n_parameters: int
    maps: tuple[int, int, int]
    simulations: tuple[int, int, int]
    map_shape: tuple[int, ...]
    box_size: float
    param_names: tuple[str, ...]
    resident: bool
    terminal_snr: Number
    precision: str
    seed: int
    threads: int
    device: str
    device_name: str
    git_commit: str | None
    versions: dict[str, str]
    config: dict[str, Any] = field(default_factory=dict)
    config_sha256: str
    data_fingerprint: str
    ranks: int = 1
    step: int = 0
    init_from: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class DataProgress(Event):
    """Universes are being simulated or maps read before training can start.

    Attributes:
        what: in words, such as "simulating universes".
        done: number that is ready.
        total: number in all.
    """

    type: ClassVar[str] = "data_progress"
    what: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class StepProgress(Event):
    """The progress inside an epoch; written at most once a second.

    Attributes:
        epoch: the running epoch, from 1.
        batch: finished batches of this epoch.
        n_batches: batches in an epoch.
        step: optimiser steps since the start of the run.
        train_loss: mean loss of this epoch so far.
        lr: learning rate of this step.
        grad_norm: gradient norm before clipping, of this step.
        maps_per_second: training speed.
        data_wait: share of the time spent waiting for data, 0 to 1.
        eta_epoch: seconds left in this epoch.
        device_memory: memory allocated on the device [bytes]; null on CPU.
    """

    type: ClassVar[str] = "step_progress"
    epoch: int
    batch: int
    n_batches: int
    step: int
    train_loss: Number
    lr: float
    grad_norm: Number
    maps_per_second: Number
    data_wait: Number
    eta_epoch: Number
    device_memory: int | None


@dataclass(frozen=True, kw_only=True)
class BudgetRead(Event):
    """The clock was read: how much of training.max_minutes is used. A resumed run repeats the readings that it finds.

    Learning rates depend on time by these readings alone.

    Attributes:
        step: optimiser steps done.
        seconds: wall time that all workers of the run have used.
        share: of training.max_minutes, 0 to 1.
    """

    type: ClassVar[str] = "budget_read"
    step: int
    seconds: float
    share: float


@dataclass(frozen=True, kw_only=True)
class EpochFinished(Event):
    """An epoch is finished. Repeats the whole summary, so that the last such event alone gives the state of the run.

    Attributes:
        epoch: the epoch, from 1.
        num_epochs: maximum number of epochs.
        phase: warmup or training, of this epoch.
        step: optimiser steps since the start of the run.
        train_loss: mean training loss.
        val_loss: loss of the EMA weights on fixed strata; it decides about best, plateau and early stopping.
        val_loss_raw: the same for the raw weights.
        lr: learning rate of this epoch, of its last step where it changes by step.
        next_lr: learning rate of the next step.
        lr_cut: whether the plateau rule cut the rate after this epoch.
        grad_norm: mean gradient norm before clipping.
        seconds: wall time of the epoch.
        maps_per_second: training speed.
        data_wait: share of the time spent waiting for data, 0 to 1.
        is_best: strictly lowest val loss so far.
        best_val_loss: lowest val loss so far.
        best_epoch: its epoch.
        scheduler: plateau, cosine, trapezoid, linear, step or none.
        bad_epochs: epochs without improvement, up to plateau_patience, before a cut sets it to 0.
        plateau_patience: bad epochs until the rate is cut; null without plateau.
        early_stop_count: epochs without improvement for early stopping.
        early_stop_patience: training stops at this count; null when it never does.
        pk_error: latest median |ratio - 1| of P(k) of samples during training (see `statistics`).
        pk_error_std: its standard error.
        pk_error_null: its mean for a perfect generator measured with as many maps.
        eta_seconds: seconds left if all epochs run, or until max_minutes are used.
        budget_used: used share of the budget of epochs or minutes, 0 to 1, whichever is more.
    """

    type: ClassVar[str] = "epoch_finished"
    epoch: int
    num_epochs: int
    phase: Phase
    step: int
    train_loss: Number
    val_loss: Number
    val_loss_raw: Number
    lr: float
    next_lr: float
    lr_cut: bool
    grad_norm: Number
    seconds: float
    maps_per_second: Number
    data_wait: Number
    is_best: bool
    best_val_loss: Number
    best_epoch: int | None
    scheduler: str
    bad_epochs: int
    plateau_patience: int | None
    early_stop_count: int
    early_stop_patience: int | None
    pk_error: Number
    eta_seconds: Number
    pk_error_std: Number = None
    pk_error_null: Number = None
    budget_used: Number = None


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """A warning; training goes on.

    Attributes:
        code: a stable word for scripts, such as "data_wait" or "samples".
        message: what is wrong and what to do, for people.
    """

    type: ClassVar[str] = "warning"
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class StopRequested(Event):
    """The run was asked to stop; written by the worker when it sees the request.

    Attributes:
        when: "epoch" (after the current one) or "now" (within a step, at the last checkpoint).
        host: the machine that the request comes from; null when unknown.
        user: its user; null when unknown.
        requested: when it was made [Unix seconds]; null when unknown.
    """

    type: ClassVar[str] = "stop_requested"
    when: Literal["epoch", "now"]
    host: str | None = None
    user: str | None = None
    requested: Number = None


@dataclass(frozen=True, kw_only=True)
class StopWithdrawn(Event):
    """A request to stop after the current epoch was withdrawn in time."""

    type: ClassVar[str] = "stop_withdrawn"


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The worker's last event: the outcome of the run.

    Attributes:
        state: finished, early_stopped, stopped or failed.
        reason: why, in words.
        epoch: epochs that the last checkpoint holds.
        seconds: wall time of this worker.
        peak_memory: peak memory of the process, or of the device on a GPU [bytes].
    """

    type: ClassVar[str] = "run_ended"
    state: EndState
    reason: str
    epoch: int
    seconds: float
    peak_memory: int | None


EVENT_TYPES: dict[str, type[Event]] = {
    kind.type: kind
    for kind in (
        WorkerStarting,
        Queued,
        DataProgress,
        RunStarted,
        StepProgress,
        BudgetRead,
        EpochFinished,
        CheckpointSaved,
        AveragesSaved,
        Calibrated,
        StatisticsMeasured,
        SamplesDrawn,
        Warned,
        StopRequested,
        StopWithdrawn,
        RunEnded,
    )
}
"""Every event type by its `type`."""
