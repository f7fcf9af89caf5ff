"""The summary of a run: one row of `focus ls` and its JSON."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from focus_engine.events.table import EndState

State = Literal["created", "queued", "starting", "running", "stopping", "stalled", "lost", "unreachable"] | EndState

LIVE_STATES = ("queued", "starting", "running", "stopping", "stalled")
"""The states of a run whose worker exists."""


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The state and progress of a run: one row of `focus ls`, and its JSON object.

    Attributes:
        lr: learning rate of the last step or epoch.
        started: when its worker started [Unix seconds].
        updated: time of its last event [Unix seconds].
        eta_seconds: seconds left if all epochs run; null unless it is running.
        queue_place: its place in the queue while it is `queued`; 1 is next.
        reason: why it ended or what it waits for, in words.

    The other fields are those of `EpochFinished` and `WorkerStarting`; unknown values are None.
    """

    name: str
    path: str
    method: str | None = None
    state: State = "created"
    phase: str | None = None
    epoch: int | None = None
    num_epochs: int | None = None
    step: int | None = None
    lr: float | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_epoch: int | None = None
    bad_epochs: int | None = None
    plateau_patience: int | None = None
    early_stop_count: int | None = None
    early_stop_patience: int | None = None
    pk_error: float | None = None
    pk_error_std: float | None = None
    pk_error_null: float | None = None
    pid: int | None = None
    host: str | None = None
    started: float | None = None
    updated: float | None = None
    eta_seconds: float | None = None
    queue_place: int | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the documented JSON object of `focus ls --json` and `focus status --json`."""
        return asdict(self)
