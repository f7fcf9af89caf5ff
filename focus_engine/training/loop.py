"""The training loop: a generator of events, independent of disk, screen and worker process.

One loop serves every method: diffusion and flow differ only in `Process.loss`. The caller saves checkpoints, draws
and prints between the events. It may stop iterating after any event; the state then holds everything needed to resume.
"""

import math
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Literal

from focus_engine.data.batches import Batch
from focus_engine.events.outcome import Outcome
from focus_engine.events.table import AveragesSaved, BudgetRead, EpochFinished, Event
from focus_engine.training.budget import NOT_DUE, Limits
from focus_engine.training.pace import Pace
from focus_engine.training.ranks import Ranks
from focus_engine.training.schedule import is_at_its_end
from focus_engine.training.snapshots import due
from focus_engine.training.state import EpochSums, TrainState
from focus_engine.training.step import DivergedError, Readings, Training, make_step

Stop = Literal["epoch", "now"]
_STOPS: tuple[Stop | None, ...] = (None, "epoch", "now")


def train(
    training: Training, state: TrainState, stop_wanted: Callable[[], Stop | None]
) -> Generator[Event, None, Outcome]:
    """Train `state` in place, yielding StepProgress and EpochFinished; return the outcome.

    `stop_wanted` is called before each step and each validation batch ("now" ends at once), and after each epoch.
    With several ranks, the answer of rank 0 counts.

    Raises:
        DivergedError: loss or gradient became NaN or infinite; the state is unusable, the checkpoints are not affected.
    """
    stop_wanted = partial(_agreed, training.ranks, stop_wanted)
    while (outcome := _end_of_training(training, state)) is None:
        pace = Pace(training.batches, state.running)
        outcome = yield from _train_epoch(training, state, pace, stop_wanted)
        if outcome is not None and (outcome.state == "stopped" or state.running.batch == 0):
            return outcome
        event = _close_epoch(training, state, pace, stop_wanted)
        if event is None:
            return _stopped_now(state)
        yield event
        outcome = outcome or _end_of_training(training, state)
        if outcome is not None:
            return outcome
        if stop_wanted() is not None:
            return Outcome("stopped", "asked to stop", f"stopped after epoch {state.epoch}")
    return outcome


def _agreed(ranks: Ranks, stop_wanted: Callable[[], Stop | None]) -> Stop | None:
    return _STOPS[ranks.agree(_STOPS.index(stop_wanted()))]


def _end_of_training(training: Training, state: TrainState) -> Outcome | None:
    """Return the outcome if training is complete, which may hold already when a run is resumed; else None."""
    settings = training.settings
    if state.stopping.stops(settings.early_stopping.patience):
        count, best = state.stopping.count, state.best_epoch
        late = best is not None and best > state.epoch - count
        by = f" of {100 * settings.early_stopping.min_delta:g} %" if late else ""
        return Outcome("early_stopped", f"no improvement{by} for {count} epochs; best was epoch {best}")
    if state.epoch >= settings.num_epochs:
        return Outcome("finished", f"all {settings.num_epochs} epochs are done")
    return None


def _stopped_now(state: TrainState) -> Outcome:
    where = f"stopped in epoch {state.epoch + 1}"
    return Outcome("stopped", "asked to stop now", where, save=state.running.batch > 0)


def _minutes_used(training: Training, state: TrainState) -> Outcome:
    """Return the outcome when training.max_minutes are used: finished where the schedule is at its floor.

    The epoch that it ends is validated although it is shorter than others.
    Without a single step, as when preparing the data took all the time, nothing is finished.
    """
    settings, within = training.settings, state.running.batch > 0
    limit = f"time limit of {settings.max_minutes:g} min"
    if state.step and is_at_its_end(settings, state.budget.rate, state.epoch + within, state.step - 1):
        return Outcome("finished", f"{limit}: the {settings.scheduler.name} schedule is at its end")
    where = f"after epoch {state.epoch}" if state.epoch and not within else f"in epoch {state.epoch + 1}"
    return Outcome("stopped", limit, f"stopped {where}", save=within or not state.epoch)


def _train_epoch(
    training: Training, state: TrainState, pace: Pace, stop_wanted: Callable[[], Stop | None]
) -> Generator[Event, None, Outcome | None]:
    """Train the rest of the current epoch; return an outcome if it must end before the last batch."""
    settings, sums = training.settings, state.running
    epoch, readings = state.epoch + 1, Readings(training.ranks)
    training.called(state.network).train()
    for group_of_batches in _groups(training.batches.epoch(epoch, start=sums.batch), settings.accumulate):
        if stop_wanted() == "now":
            readings.read(sums, epoch)
            return _stopped_now(state)
        yield from _read_clock(training, state, readings)
        if state.budget.is_up(settings):
            readings.read(sums, epoch)
            return _minutes_used(training, state)
        _set_rate(training, state)
        make_step(training, state, group_of_batches, readings)
        used = state.budget.used(state.place(training.steps_per_epoch))
        if state.averages is not None and due(state.averages, used):
            readings.read(sums, epoch)
            yield AveragesSaved(step=state.step, used=used)
        if training.ranks.agree(int(pace.due())):
            readings.read(sums, epoch)
            yield pace.event(state, readings.norm)
    readings.read(sums, epoch)
    return None


def _read_clock(training: Training, state: TrainState, readings: Readings) -> Iterator[BudgetRead]:
    """Take a reading of the clock of rank 0 into the state when one is due; yield it, to be logged before the step."""
    limit, budget, ranks = Limits.of(training.settings).seconds, state.budget, training.ranks
    if math.isinf(limit):
        return
    last = None if budget.step < 0 else budget.seconds
    seconds = ranks.sum(training.clock.reading(state.step, last, limit) if ranks.lead else 0.0)
    if seconds != NOT_DUE:
        readings.read(state.running, state.epoch + 1)
        state.budget = budget.read(state.step, seconds)
        yield BudgetRead(step=state.step, seconds=seconds, share=min(1.0, seconds / limit))


def _set_rate(training: Training, state: TrainState) -> None:
    """Give the optimiser the learning rate of the next step."""
    place = state.place(training.steps_per_epoch)
    state.budget = state.budget.before_step(training.settings, state.plateau, place)
    for group in state.optimizer.param_groups:
        group["lr"] = state.budget.rate


def _groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    group: list[Batch] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _close_epoch(
    training: Training, state: TrainState, pace: Pace, stop_wanted: Callable[[], Stop | None]
) -> EpochFinished | None:
    """Validate, update plateau and early stopping, and return the epoch's event; None if stopped during validation."""
    settings, sums, scheduler = training.settings, state.running, training.settings.scheduler
    epoch = state.epoch + 1
    speed, data_wait = pace.maps_per_second(), pace.data_wait()
    state.network.eval()
    measured = training.validation.losses(state.ema.module, state.network, cut_short=lambda: stop_wanted() == "now")
    if measured is None:
        return None
    val_loss, val_loss_raw = measured
    if not math.isfinite(val_loss) or not math.isfinite(val_loss_raw):
        raise DivergedError(f"the validation loss of epoch {epoch} became NaN or infinite")
    warming_up = state.budget.warming_up(settings, epoch, state.step)
    lr = state.budget.rate
    judged = state.plateau.after(val_loss, warming_up=warming_up)
    state.plateau = judged.cut(scheduler)
    min_delta = settings.early_stopping.min_delta
    state.stopping = state.stopping.after(val_loss, warming_up=warming_up, min_delta=min_delta)
    is_best = val_loss < state.best_val_loss
    if is_best:
        state.best_val_loss, state.best_epoch = val_loss, epoch
    state.epoch, state.running = epoch, EpochSums()
    place = state.place(training.steps_per_epoch)
    seconds = pace.seconds()
    return EpochFinished(
        epoch=epoch,
        num_epochs=settings.num_epochs,
        phase="warmup" if warming_up else "training",
        step=state.step,
        train_loss=sums.mean_loss,
        val_loss=val_loss,
        val_loss_raw=val_loss_raw,
        lr=lr,
        next_lr=state.budget.before_step(settings, state.plateau, place).rate,
        lr_cut=state.plateau.rate < judged.rate,
        grad_norm=sums.mean_grad_norm,
        seconds=seconds,
        maps_per_second=speed,
        data_wait=data_wait,
        is_best=is_best,
        best_val_loss=state.best_val_loss,
        best_epoch=state.best_epoch,
        scheduler=scheduler.name,
        bad_epochs=judged.bad_epochs,
        plateau_patience=scheduler.patience if scheduler.name == "plateau" else None,
        early_stop_count=state.stopping.count,
        early_stop_patience=settings.early_stopping.patience or None,
        pk_error=state.pk_error,
        pk_error_std=state.pk_error_std,
        pk_error_null=state.pk_error_null,
        eta_seconds=_eta(training, seconds, settings.num_epochs - epoch),
        budget_used=state.budget.used(place),
    )


def _eta(training: Training, seconds: float, epochs_left: int) -> float:
    """Return the seconds that are left of the budget that ends first."""
    return min(seconds * epochs_left, max(0.0, Limits.of(training.settings).seconds - training.clock.seconds()))
