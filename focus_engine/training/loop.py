"""The training loop: a generator of events, independent of disk, screen and worker process.

One loop serves every method: diffusion and flow differ only in `Process.loss`. The caller saves checkpoints, draws
and prints between the events. It may stop iterating after any event; the state then holds everything needed to resume.
"""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.data.batches import Batch, Batches
from focus_engine.data.randomness import keyed_integer
from focus_engine.errors import FocusError
from focus_engine.events.outcome import Outcome
from focus_engine.events.table import AveragesSaved, BudgetRead, EpochFinished, Event
from focus_engine.generative.process import Network, Process
from focus_engine.generative.sampling import Precision
from focus_engine.models.batch_parts import WHOLE, BatchParts
from focus_engine.training.budget import NOT_DUE, Clock, Limits
from focus_engine.training.pace import Pace
from focus_engine.training.ranks import ALONE, Ranks
from focus_engine.training.schedule import runs_on_budget
from focus_engine.training.snapshots import due
from focus_engine.training.state import EpochSums, TrainState
from focus_engine.training.validation import Validation

Stop = Literal["epoch", "now"]
_STOPS: tuple[Stop | None, ...] = (None, "epoch", "now")


class DivergedError(FocusError):
    """The loss or the gradient became NaN or infinite."""


@dataclass(frozen=True, eq=False)
class Training:
    """The inputs of the training loop that stay fixed.

    Attributes:
        settings: the config's training block.
        process: the generative process, which defines the loss.
        batches: batches of training maps.
        validation: measures the validation loss.
        precision: context of network evaluations.
        clock: the wall clock of the run, which uses up training.max_minutes; that of rank 0 counts.
        ranks: the ranks of a distributed training.
        replica: the module evaluated in training, such as a distributed one; None: the state's network.
        parts: how threads share a batch.
    """

    settings: TrainingBlock
    process: Process
    batches: Batches
    validation: Validation
    precision: Precision
    clock: Clock = field(default_factory=Clock)
    ranks: Ranks = ALONE
    replica: torch.nn.Module | None = None
    parts: BatchParts = WHOLE

    def called(self, network: torch.nn.Module) -> torch.nn.Module:
        """Return the module to evaluate in training: the replica if there is one, else `network`."""
        return network if self.replica is None else self.replica  # a compiled module has no truth value

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps per epoch."""
        return math.ceil(len(self.batches) / self.settings.accumulate)


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
        count = state.stopping.count
        return Outcome("early_stopped", f"no improvement for {count} epochs; best was epoch {state.best_epoch}")
    if state.epoch >= settings.num_epochs:
        return Outcome("finished", f"all {settings.num_epochs} epochs are done")
    return None


def _stopped_now(state: TrainState) -> Outcome:
    where = f"stopped in epoch {state.epoch + 1}"
    return Outcome("stopped", "asked to stop now", where, save=state.running.batch > 0)


def _minutes_used(training: Training, state: TrainState) -> Outcome:
    """Return the outcome when training.max_minutes are used: finished where the schedule falls with the budget.

    Such a schedule is at its floor, and the epoch that it ends is validated although it is shorter than others.
    Without a single step, as when preparing the data took all the time, nothing is finished.
    """
    settings, within = training.settings, state.running.batch > 0
    limit = f"time limit of {settings.max_minutes:g} min"
    if runs_on_budget(settings.scheduler) and state.step:
        return Outcome("finished", f"{limit}: the {settings.scheduler.name} schedule is at its end")
    where = f"after epoch {state.epoch}" if state.epoch and not within else f"in epoch {state.epoch + 1}"
    return Outcome("stopped", limit, f"stopped {where}", save=within or not state.epoch)


def _train_epoch(
    training: Training, state: TrainState, pace: Pace, stop_wanted: Callable[[], Stop | None]
) -> Generator[Event, None, Outcome | None]:
    """Train the rest of the current epoch; return an outcome if it must end before the last batch."""
    settings, sums = training.settings, state.running
    epoch = state.epoch + 1
    training.called(state.network).train()
    for group_of_batches in _groups(training.batches.epoch(epoch, start=sums.batch), settings.accumulate):
        if stop_wanted() == "now":
            return _stopped_now(state)
        yield from _read_clock(training, state)
        if state.budget.is_up(settings):
            return _minutes_used(training, state)
        _set_rate(training, state)
        grad_norm = _step(training, state, epoch, group_of_batches)
        used = state.budget.used(state.place(training.steps_per_epoch))
        if state.averages is not None and due(state.averages, used):
            yield AveragesSaved(step=state.step, used=used)
        if pace.due():
            yield pace.event(state, grad_norm)
    return None


def _read_clock(training: Training, state: TrainState) -> Iterator[BudgetRead]:
    """Take a reading of the clock of rank 0 into the state when one is due; yield it, to be logged before the step."""
    limit, budget, ranks = Limits.of(training.settings).seconds, state.budget, training.ranks
    if math.isinf(limit):
        return
    last = None if budget.step < 0 else budget.seconds
    seconds = ranks.sum(training.clock.reading(state.step, last, limit) if ranks.lead else 0.0)
    if seconds != NOT_DUE:
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


def _step(training: Training, state: TrainState, epoch: int, group: list[Batch]) -> float:
    """Make one optimiser step on the batches of `group`; return the gradient norm before clipping."""
    settings, sums = training.settings, state.running
    ranks, network = training.ranks, training.called(state.network)
    maps_in_group = sum(batch.whole for batch in group)
    state.optimizer.zero_grad(set_to_none=True)
    for place, batch in enumerate(group, 1):
        with ranks.accumulating(network, hold=place < len(group)):
            loss = _add_gradients(training, network, epoch, sums.batch, batch, maps_in_group / ranks.size)
        sums.batch += 1
        sums.loss += ranks.sum(loss)
        if not math.isfinite(sums.loss):
            raise DivergedError(f"the training loss became {sums.loss} in epoch {epoch}, batch {sums.batch}")
    sums.maps += maps_in_group
    limit = settings.gradient_clip or math.inf
    grad_norm = float(torch.nn.utils.clip_grad_norm_(state.network.parameters(), limit))
    if not math.isfinite(grad_norm):
        raise DivergedError(f"the gradient became {grad_norm} in epoch {epoch}, batch {sums.batch}")
    state.optimizer.step()
    state.ema.update(state.network)
    if state.averages is not None:
        state.averages.update(state.network)
    state.step += 1
    sums.steps += 1
    sums.grad_norm += grad_norm
    return grad_norm


def _add_gradients(
    training: Training, network: torch.nn.Module, epoch: int, index: int, batch: Batch, maps: float
) -> float:
    """Add the gradient of the batch's loss over `maps` to those of the weights; return the loss summed over maps."""
    draws = _draw(training, epoch, index, batch)

    def losses_of(part: slice) -> Tensor:
        return batch.weight * _losses(training, network, batch, draws, part)

    if training.parts.count(len(batch.maps)) == 1:
        losses = losses_of(slice(None))
        (losses.sum() / maps).backward()  # type: ignore[no-untyped-call]
        return float(losses.detach().double().sum())
    weights = [weight for weight in network.parameters() if weight.requires_grad]

    def gradients_of(part: slice) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        losses = losses_of(part)
        return losses.detach(), torch.autograd.grad(losses.sum() / maps, weights, allow_unused=True)

    total = 0.0
    for losses, gradients in training.parts.map(gradients_of, len(batch.maps)):  # summed in order: always equal
        total += float(losses.double().sum())
        _add(weights, gradients)
    return total


def _add(weights: list[torch.nn.Parameter], gradients: tuple[Tensor | None, ...]) -> None:
    """Add gradients to those of the weights; None where the loss does not depend on a weight."""
    sums, terms = [], []
    for weight, gradient in zip(weights, gradients, strict=True):
        if gradient is None:
            continue
        if weight.grad is None:
            weight.grad = gradient
        else:
            sums.append(weight.grad)
            terms.append(gradient)
    if sums:
        torch._foreach_add_(sums, terms)


@dataclass(frozen=True, eq=False)
class _Draws:
    """Times, noise and dropped conditions of the maps of a batch."""

    u: Tensor
    noise: Tensor
    dropped: Tensor


def _draw(training: Training, epoch: int, index: int, batch: Batch) -> _Draws:
    """Return the draws of a batch, keyed by (seed, epoch, batch).

    They are drawn for the whole batch, from which each rank takes its part.
    """
    settings, device = training.settings, batch.maps.device
    generator = torch.Generator(device)
    generator.manual_seed(keyed_integer("training", settings.seed, epoch, index))
    count, part = batch.whole, batch.part
    offset = torch.rand((), generator=generator, device=device)
    # One time in each of B equal strata (2107.00630, appendix I.1): same density, lower variance of the gradient.
    u = (offset + torch.arange(count, device=device) / count) % 1.0
    noise = torch.randn((count, *batch.maps.shape[1:]), generator=generator, device=device)
    dropped = torch.rand(count, generator=generator, device=device) < settings.cfg_prob
    return _Draws(u[part], noise[part], dropped[part])


def _losses(training: Training, network: Network, batch: Batch, draws: _Draws, part: slice) -> Tensor:
    """Return the loss of each map of a part of a batch, (b,)."""
    with training.precision():
        return training.process.loss(
            network,
            batch.maps[part],
            batch.cond[part],
            u=draws.u[part],
            noise=draws.noise[part],
            unconditional=draws.dropped[part],
        )


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
