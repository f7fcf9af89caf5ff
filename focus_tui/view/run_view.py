"""`RunView`: the events of a run folded into one frozen view, and the sentences derived from it. Pure.

Only this module interprets events for the dashboard: a widget draws a `RunView` and nothing else. Epochs superseded
by a resume are left out (`focus_engine.events.history`), so that no curve shows them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from focus_engine.config.advice import data_wait_advice
from focus_engine.events.history import History
from focus_engine.events.statistics import LivePower
from focus_engine.events.table import (
    CheckpointSaved,
    DataProgress,
    EpochFinished,
    Event,
    RunEnded,
    RunStarted,
    SamplesDrawn,
    StatisticsMeasured,
    StepProgress,
    Warned,
    WorkerStarting,
)
from focus_engine.launch.summary import RunSummary
from focus_tui.view.words import event_note, percent, state_words

if TYPE_CHECKING:
    from focus_tui.view.arrays import Array, StepSeries

MAX_LOG = 5_000
"""The most log lines kept; `focus logs` prints all of them."""
MAX_WARNINGS = 50
POWER_OFF = 0.10
"""Relative deviation of P(k) from real maps above which the dashboard gives advice."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RunView:
    """The data that a screen shows of one run.

    Attributes:
        summary: its verified state; set by the feed, unchanged by `fold`.
        worker: the event of the latest worker.
        started: its `RunStarted` event, which holds the whole config.
        history: epochs, statistics and samples, without those superseded by a resume.
        step: the latest progress inside the current epoch; None between epochs.
        steps: measurements inside epochs; None before the first.
        data: progress of preparing the data, before training starts.
        checkpoints: the latest checkpoint of each kind.
        warnings: warnings of the latest worker.
        ended: its `RunEnded` event; None while it may be live.
        log: the latest events that have a line in the log.
    """

    summary: RunSummary
    worker: WorkerStarting | None = None
    started: RunStarted | None = None
    history: History = field(default_factory=History)
    step: StepProgress | None = None
    steps: "StepSeries | None" = None
    data: DataProgress | None = None
    checkpoints: tuple[CheckpointSaved, ...] = ()
    warnings: tuple[Warned, ...] = ()
    ended: RunEnded | None = None
    log: tuple[Event, ...] = ()

    @property
    def epochs(self) -> tuple[EpochFinished, ...]:
        """Epochs, without those superseded by a resume."""
        return self.history.epochs

    @property
    def resumed_after(self) -> tuple[int, ...]:
        """Epochs after which training was resumed."""
        return self.history.resumed_after

    @property
    def spectra(self) -> tuple[LivePower, ...]:
        """P(k) of samples, by epoch."""
        return self.history.spectra

    @property
    def samples(self) -> tuple[SamplesDrawn, ...]:
        """Thumbnails, by epoch."""
        return self.history.samples

    def values(self, name: str) -> "Array":
        """Return a numeric field of the epochs as an array (n,), NaN where unknown."""
        from focus_tui.view.arrays import floats

        return floats([getattr(event, name) for event in self.epochs])

    @property
    def cuts(self) -> tuple[int, ...]:
        """Epochs after which the plateau rule cut the learning rate."""
        return tuple(event.epoch for event in self.epochs if event.lr_cut)

    @property
    def best_epoch(self) -> int | None:
        """Epoch of the lowest val loss."""
        return self.epochs[-1].best_epoch if self.epochs else None

    @property
    def warmup_epochs(self) -> int:
        """Epochs of linear warmup; 0 when unknown."""
        return 0 if self.started is None else self.started.warmup_epochs

    @property
    def early_stopped(self) -> bool:
        """Whether early stopping ended the run."""
        return self.summary.state == "early_stopped"


def fold(view: RunView, events: Sequence[Event]) -> RunView:
    """Return `view` updated by the `events` that follow it."""
    values = {one.name: getattr(view, one.name) for one in fields(view)}
    log: list[Event] = []
    steps: list[StepProgress] = []  # not yet in the arrays, which grow once and not once per event
    for event in events:
        if isinstance(event, StepProgress):
            steps.append(event)
            values |= {"step": event, "data": None}
            continue
        if event_note(event) is not None or isinstance(event, EpochFinished):
            log.append(event)
        if isinstance(event, RunStarted) and (known := _with_steps(values["steps"], steps)) is not None:
            values["steps"] = known.until(event.epoch)
            steps.clear()
        values |= _changes(values, event)
    values["steps"] = _with_steps(values["steps"], steps)
    return RunView(**values | {"log": (*view.log, *log)[-MAX_LOG:]})


def _with_steps(known: "StepSeries | None", steps: Sequence[StepProgress]) -> "StepSeries | None":
    """Return the series `known` followed by `steps`."""
    if not steps:
        return known
    from focus_tui.view.arrays import StepSeries  # numpy: 0.06 s before the first frame

    return StepSeries.of(steps) if known is None else known.then(steps)


def _changes(values: Mapping[str, Any], event: Event) -> dict[str, Any]:
    """Return the fields of the view that `event` changes; those of steps and of the log are left to `fold`."""
    changes: dict[str, Any] = {}
    match event:
        case WorkerStarting():
            changes = {"worker": event, "ended": None, "step": None, "warnings": ()}
        case RunStarted():
            changes = {"started": event, "data": None, "step": None, "history": values["history"].then(event)}
        case DataProgress():
            changes = {"data": event}
        case EpochFinished():
            changes = {"history": values["history"].then(event), "step": None}
        case StatisticsMeasured() | SamplesDrawn():
            changes = {"history": values["history"].then(event)}
        case CheckpointSaved():
            others = tuple(one for one in values["checkpoints"] if one.kind != event.kind)
            changes = {"checkpoints": (*others, event)}
        case Warned():
            changes = {"warnings": (*values["warnings"], event)[-MAX_WARNINGS:]}
        case RunEnded():
            changes = {"ended": event, "step": None, "data": None}
    return changes


def phase_words(summary: RunSummary, warmup_epochs: int | None = None) -> str:
    """Return the phase as the table shows it: `WARMUP 3/5`, `TRAINING`, `early stopped @ 112`, `lost`."""
    if summary.state == "early_stopped":
        return f"early stopped @ {summary.epoch}"
    if summary.state not in {"running", "stopping"}:
        return state_words(summary)
    if summary.phase == "warmup" and warmup_epochs:  # the summary holds the phase of the last complete epoch
        running = (summary.epoch or 0) + 1
        return f"WARMUP {running}/{warmup_epochs}" if running <= warmup_epochs else "TRAINING"
    return (summary.phase or "training").upper()


def plateau_words(view: RunView) -> str:
    """Return when the learning rate drops next and when training stops, if the loss does not improve."""
    if not view.epochs:
        return "no epoch yet"
    last = view.epochs[-1]
    if view.summary.state == "early_stopped":
        return f"stopped early: {last.early_stop_count} epochs without improvement"
    if last.phase == "warmup" and last.epoch < view.warmup_epochs:
        return f"warmup: the rate rises until epoch {view.warmup_epochs}; bad epochs count after it"
    sentences = [words for words in (_rate_words(view, last), _stop_words(last)) if words]
    return "; ".join(sentences) or "constant rate, no early stopping"


def _rate_words(view: RunView, last: EpochFinished) -> str:
    if last.scheduler == "plateau" and last.plateau_patience:
        settings = ((view.started.config.get("training") or {}) if view.started else {}).get("scheduler") or {}
        low, factor = settings.get("min_lr"), settings.get("factor")
        if low is not None and last.next_lr <= low * (1 + 1e-9):
            return f"LR stays at its minimum {last.next_lr:.1e}"
        rate = "drops" if factor is None else f"drops to {max(low or 0.0, last.next_lr * factor):.1e}"
        return f"LR {rate} after {_more(last.plateau_patience - last.bad_epochs, 'bad epoch')}"
    return "" if last.scheduler == "none" else f"LR follows {last.scheduler}: next {last.next_lr:.1e}"


def _stop_words(last: EpochFinished) -> str:
    if not last.early_stop_patience:
        return ""
    return f"training stops after {_more(last.early_stop_patience - last.early_stop_count, '')}".rstrip()


def _more(count: int, unit: str) -> str:
    count = max(1, count)
    return f"{count} more {unit}{'s' if unit and count > 1 else ''}"


def advice(view: RunView) -> tuple[str, ...]:
    """Return advice derived from the run's numbers, most urgent first."""
    return tuple(words for words in (_data_advice(view), _power_advice(view), _overfit_advice(view)) if words)


def _data_advice(view: RunView) -> str:
    source = view.step or (view.epochs[-1] if view.epochs else None)
    data = (view.started.config.get("data") or {}) if view.started else {}
    return data_wait_advice(None if source is None else source.data_wait, data.get("num_workers"))


def _power_advice(view: RunView) -> str:
    """Return the range of k where P(k) deviates by more than 10 %, twice its error and twice a perfect score."""
    if not view.spectra:
        return ""
    import numpy as np

    from focus_tui.view.arrays import floats, ratio_errors

    last = view.spectra[-1]
    k, off = np.array(last.k), floats(last.ratio) - 1
    known = np.isfinite(off) & (k < 0.8 * last.k_nyquist)
    if not known.any() or np.median(np.abs(off[known])) <= max(POWER_OFF, 2 * (last.score.null or 0.0)):
        return ""
    side = 1 if np.median(off[known]) > 0 else -1
    beyond = known & (side * off > np.maximum(POWER_OFF, 2 * ratio_errors(last)))
    if not beyond.any():
        return ""
    mean = float(np.mean(np.abs(off[beyond])))
    where = f"k = {k[beyond].min():.2g} to {k[beyond].max():.2g} h/Mpc"
    return f"P(k) {percent(mean)} {'high' if side > 0 else 'low'} at {where} (epoch {last.epoch})"


def _overfit_advice(view: RunView) -> str:
    """Return a warning if the training loss still falls while the validation loss has risen for 5 epochs or more."""
    last = view.epochs[-1] if view.epochs else None
    if last is None or last.best_epoch is None or last.best_val_loss is None or last.val_loss is None:
        return ""
    before = next((one for one in view.epochs if one.epoch == last.best_epoch), None)
    if before is None or before.train_loss is None or last.train_loss is None or last.epoch - before.epoch < 5:
        return ""
    if last.val_loss < 1.1 * last.best_val_loss or last.train_loss >= before.train_loss:
        return ""
    worse = percent(last.val_loss / last.best_val_loss - 1)
    return f"overfitting: val loss {worse} above its best at epoch {last.best_epoch} while train loss falls"
