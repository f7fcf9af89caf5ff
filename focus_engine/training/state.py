"""The training state: everything that changes during training and that exact resuming needs.

It holds no random state, because every draw is keyed by (seed, epoch, batch) and can be repeated.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.events.statistics import Measure
from focus_engine.models.ema import ExponentialAverage
from focus_engine.models.power_average import PowerAverages
from focus_engine.training.budget import Budget, Place
from focus_engine.training.optimisers import build_optimiser
from focus_engine.training.schedule import Plateau
from focus_engine.training.stopping import EarlyStopping


@dataclass
class EpochSums:
    """Sums over the batches of the current epoch.

    Attributes:
        batch: batches done.
        loss: sum of the losses per map.
        maps: number of maps.
        grad_norm: sum of gradient norms before clipping.
        steps: optimiser steps.
    """

    batch: int = 0
    loss: float = 0.0
    maps: int = 0
    grad_norm: float = 0.0
    steps: int = 0

    @property
    def mean_loss(self) -> float:
        """Mean training loss so far; NaN before the first map."""
        return self.loss / self.maps if self.maps else math.nan

    @property
    def mean_grad_norm(self) -> float:
        """Mean gradient norm so far; NaN before the first step."""
        return self.grad_norm / self.steps if self.steps else math.nan


@dataclass
class TrainState:
    """The state of a network in training.

    Attributes:
        network: network with the raw weights, on the device.
        ema: moving average of the weights.
        optimizer: optimiser with its moments.
        plateau: state of the plateau rule.
        stopping: state of early stopping.
        epoch: epochs done.
        step: optimiser steps done.
        best_val_loss: lowest validation loss so far.
        best_epoch: epoch of that loss; None before the first epoch.
        pk_error: latest P(k) error of samples during training. Like the next two it is read from the log on resume
            and is not in checkpoints: the number of maps measured depends on the speed of the machine.
        pk_error_std: its standard error.
        pk_error_null: its mean for a perfect generator.
        running: sums of the current epoch.
        budget: used budget and learning rate.
        averages: power-function averages of the weights; None with `training.averages: false`.
    """

    network: nn.Module
    ema: ExponentialAverage
    optimizer: torch.optim.Optimizer
    plateau: Plateau
    stopping: EarlyStopping = field(default_factory=EarlyStopping)
    epoch: int = 0
    step: int = 0
    best_val_loss: float = math.inf
    best_epoch: int | None = None
    pk_error: float | None = None
    pk_error_std: float | None = None
    pk_error_null: float | None = None
    running: EpochSums = field(default_factory=EpochSums)
    budget: Budget = field(default_factory=Budget)
    averages: PowerAverages | None = None

    def place(self, steps_per_epoch: int) -> Place:
        """Return where the training is; at the end of an epoch, the beginning of the next."""
        return Place(self.epoch + 1, min(1.0, self.running.steps / steps_per_epoch), self.step)

    def to_dict(self) -> dict[str, Any]:
        """Return tensors and plain numbers, as accepted by `torch.load(weights_only=True)`."""
        averages = {} if self.averages is None else {"averages": self.averages.state_dict()}
        return averages | {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "plateau": asdict(self.plateau),
            "stopping": asdict(self.stopping),
            "running": asdict(self.running),
            "budget": self.budget.to_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "best_val_loss": self.best_val_loss,
            "best_epoch": self.best_epoch,
        }

    def load_dict(self, saved: dict[str, Any]) -> None:
        """Load the result of `to_dict`. Raises RuntimeError or KeyError if it is of another model."""
        self.network.load_state_dict(saved["network"])
        self.ema.load_state_dict(saved["ema"])
        self.optimizer.load_state_dict(saved["optimizer"])
        _lay_out_as_weights(self.optimizer)
        self.plateau = Plateau(**saved["plateau"])
        self.stopping = EarlyStopping(**saved["stopping"])
        self.running = EpochSums(**saved["running"])
        self.epoch, self.step = saved["epoch"], saved["step"]
        self.best_val_loss, self.best_epoch = saved["best_val_loss"], saved["best_epoch"]
        if self.averages is not None:
            if "averages" in saved:
                self.averages.load_state_dict(saved["averages"])
            else:  # of an earlier version, or not kept until now
                self.averages = PowerAverages(self.network, self.step)
        known = saved.get("budget")  # None in checkpoints of earlier versions
        self.budget = Budget(rate=self.optimizer.param_groups[0]["lr"]) if known is None else Budget.from_dict(known)

    def take_score(self, score: Measure | None) -> None:
        """Keep the latest score of P(k) of samples, which the next epochs report."""
        if score is not None:
            self.pk_error, self.pk_error_std, self.pk_error_null = score.value, score.error, score.null


def _lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give moments the memory layout of their weights, which fused optimisers require; a CPU saves another."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def new_state(network: nn.Module, training: TrainingBlock) -> TrainState:
    """Return the state before the first step; `network` must be on its device."""
    return TrainState(
        network=network,
        ema=ExponentialAverage(network, training.ema_decay),
        optimizer=build_optimiser(network, training),
        plateau=Plateau(rate=training.lr),
        averages=PowerAverages(network) if training.averages else None,
    )
