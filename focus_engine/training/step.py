"""One optimiser step: its random draws, its gradients, and what the host reads of them afterwards.

A step makes the host wait for nothing, so that a GPU always has work queued. Losses and gradient norms stay on the
device until `Readings.read`, which the loop calls before it yields an event, so that events and checkpoints hold every
step. Between two events, at most about a second of training apart, a NaN remains unseen.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.data.batches import Batch, Batches
from focus_engine.data.randomness import keyed_integer
from focus_engine.errors import FocusError
from focus_engine.generative.process import Network, Process
from focus_engine.generative.sampling import Precision
from focus_engine.models.batch_parts import WHOLE, BatchParts
from focus_engine.training.budget import Clock
from focus_engine.training.ranks import ALONE, Ranks
from focus_engine.training.state import EpochSums, TrainState
from focus_engine.training.validation import Validation


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


@dataclass
class Readings:
    """Losses and gradient norms that the host has not read yet.

    Attributes:
        ranks: the ranks of a distributed training, which read at the same steps.
        norm: the last gradient norm that was read.
    """

    ranks: Ranks
    norm: float = math.nan
    _losses: list[Tensor] = field(default_factory=list)
    _norms: list[Tensor] = field(default_factory=list)
    _batches_at_norm: list[int] = field(default_factory=list)

    def add_loss(self, loss: Tensor) -> None:
        """Add the loss summed over the maps of a batch, a scalar on the device."""
        self._losses.append(loss.detach().double())

    def add_norm(self, norm: Tensor) -> None:
        """Add the gradient norm of the step that ends here, a scalar on the device."""
        self._norms.append(norm.detach().double())
        self._batches_at_norm.append(len(self._losses))

    def read(self, sums: EpochSums, epoch: int) -> None:
        """Wait for the device and add all to `sums` in the order of the batches.

        Raises:
            DivergedError: a loss or a gradient is not finite.
        """
        if not self._losses:
            return
        values = torch.stack([*self._losses, *self._norms]).tolist()
        losses, norms = self.ranks.sums(values[: len(self._losses)]), values[len(self._losses) :]
        before, ends = sums.batch - len(losses), self._batches_at_norm
        self._losses, self._norms, self._batches_at_norm = [], [], []
        done = 0
        for end, norm in zip(ends, norms, strict=True):
            for batch, loss in enumerate(losses[done:end], before + done + 1):
                sums.loss += loss
                if not math.isfinite(sums.loss):
                    raise DivergedError(f"the training loss became {sums.loss} in epoch {epoch}, batch {batch}")
            if not math.isfinite(norm):
                raise DivergedError(f"the gradient became {norm} in epoch {epoch}, batch {before + end}")
            sums.grad_norm += norm
            self.norm, done = norm, end


def make_step(training: Training, state: TrainState, group: list[Batch], readings: Readings) -> None:
    """Make one optimiser step on the batches of `group`, without waiting for the device."""
    sums, epoch = state.running, state.epoch + 1
    ranks, network = training.ranks, training.called(state.network)
    maps_in_group = sum(batch.whole for batch in group)
    state.optimizer.zero_grad(set_to_none=True)
    for place, batch in enumerate(group, 1):
        with ranks.accumulating(network, hold=place < len(group)):
            readings.add_loss(add_gradients(training, network, epoch, sums.batch, batch, maps_in_group / ranks.size))
        sums.batch += 1
    sums.maps += maps_in_group
    readings.add_norm(apply_gradients(training, state))
    state.step += 1
    sums.steps += 1


def apply_gradients(training: Training, state: TrainState) -> Tensor:
    """Clip the gradients, update weights and averages; return the gradient norm before clipping, on the device."""
    limit = training.settings.gradient_clip or math.inf
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), limit)
    state.optimizer.step()
    state.ema.update(state.network)
    if state.averages is not None:
        state.averages.update(state.network)
    return norm


def add_gradients(
    training: Training, network: torch.nn.Module, epoch: int, index: int, batch: Batch, maps: float
) -> Tensor:
    """Add the gradient of the batch's loss over `maps` to those of the weights; return its sum over maps."""
    draws = _draw(training, epoch, index, batch)

    def losses_of(part: slice) -> Tensor:
        return batch.weight * _losses(training, network, batch, draws, part)

    if training.parts.count(len(batch.maps)) == 1:
        losses = losses_of(slice(None))
        (losses.sum() / maps).backward()  # type: ignore[no-untyped-call]
        return losses.detach().double().sum()
    weights = [weight for weight in network.parameters() if weight.requires_grad]

    def gradients_of(part: slice) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        losses = losses_of(part)
        return losses.detach(), torch.autograd.grad(losses.sum() / maps, weights, allow_unused=True)

    totals = []
    for losses, gradients in training.parts.map(gradients_of, len(batch.maps)):  # summed in order: always equal
        totals.append(losses.double().sum())
        _add(weights, gradients)
    return torch.stack(totals).sum()


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
