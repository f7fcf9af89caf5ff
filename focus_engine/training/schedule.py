"""The shape of the learning-rate schedules. Pure arithmetic.

plateau, step, none and a cosine with T_max run by epoch: after w epochs of linear warmup, in which epoch e (from 1)
trains at lr x e / w. cosine without T_max, trapezoid and linear run on the used share of the budget, by step
(`training/budget.py`). The plateau rule is torch's ReduceLROnPlateau with `patience - 1` (tested against it).
"""

import math
from dataclasses import dataclass, replace

from focus_engine.config.blocks.training import SchedulerBlock, TrainingBlock
from focus_engine.training.stopping import RELATIVE_THRESHOLD, improves


@dataclass(frozen=True)
class Plateau:
    """The state of the plateau rule.

    Attributes:
        rate: learning rate after warmup, including cuts.
        best: validation loss of the last epoch that improved.
        bad_epochs: epochs since then, or since the last cut.
    """

    rate: float
    best: float = math.inf
    bad_epochs: int = 0

    def after(self, loss: float, *, warming_up: bool) -> "Plateau":
        """Return the state after an epoch with this validation loss; epochs in warmup never count as bad."""
        if improves(loss, self.best, RELATIVE_THRESHOLD):
            return replace(self, best=loss, bad_epochs=0)
        return self if warming_up else replace(self, bad_epochs=self.bad_epochs + 1)

    def cut(self, block: SchedulerBlock) -> "Plateau":
        """Return the state after a cut if `patience` bad epochs are reached, else the state itself."""
        if block.name != "plateau" or self.bad_epochs < block.patience:
            return self
        return replace(self, rate=max(self.rate * block.factor, min(block.min_lr, self.rate)), bad_epochs=0)


def runs_on_budget(block: SchedulerBlock) -> bool:
    """Whether the schedule runs on the used share of the budget, and not by epoch."""
    return block.name in {"trapezoid", "linear"} or (block.name == "cosine" and block.T_max is None)


def is_at_its_end(training: TrainingBlock, rate: float, epoch: int, step: int) -> bool:
    """Whether the schedule is at its floor when the minutes are used up after a step at `rate`.

    `epoch` (from 1) and `step` (from 0) are those of that step: low rates of the warmup are not the floor.
    """
    block = training.scheduler
    warming_up = warmup_rate(training, epoch, step) is not None
    return runs_on_budget(block) or (block.name == "cosine" and rate <= block.eta_min and not warming_up)


def falling(block: SchedulerBlock, used: float) -> float:
    """Return how far the rate is above its floor, 1 to 0, where `used` (0 to 1) is the used share of the budget.

    The trapezoid is that of 2405.18392: constant, then a fall over the last `decay_share`, linear or as 1 - sqrt.
    """
    used = min(1.0, max(0.0, used))
    if block.name == "cosine":
        return (1 + math.cos(math.pi * used)) / 2
    if block.name == "linear":
        return 1 - used
    fallen = max(0.0, 1 - (1 - used) / block.decay_share)
    return 1 - (math.sqrt(fallen) if block.decay == "sqrt" else fallen)


def warmup_rate(training: TrainingBlock, epoch: int, step: int) -> float | None:
    """Return the rate in warmup, by step where warmup_steps is given, else by epoch; None after warmup.

    `epoch` is the running one, from 1; `step` is the number of steps done.
    """
    block = training.scheduler
    if block.warmup_steps is not None:
        return training.lr * (step + 1) / block.warmup_steps if step < block.warmup_steps else None
    return training.lr * epoch / block.warmup_epochs if epoch <= block.warmup_epochs else None


def learning_rate(epoch: int, training: TrainingBlock, plateau: Plateau) -> float:
    """Return the learning rate of `epoch` (from 1) by a schedule that runs by epoch, warmup by step aside."""
    block, lr = training.scheduler, training.lr
    warmup = block.warmup_epochs if block.warmup_steps is None else 0
    if epoch <= warmup:
        return lr * epoch / warmup
    after = epoch - warmup - 1  # epochs trained since warmup
    match block.name:
        case "plateau":
            return plateau.rate
        case "cosine":
            span = block.T_max or 1
            turn = math.pi * min(after, span) / span
            return block.eta_min + (lr - block.eta_min) * (1 + math.cos(turn)) / 2
        case "step":
            return lr * block.gamma ** (after // block.step_size)
        case _:
            return lr
