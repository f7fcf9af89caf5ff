"""The learning-rate schedule: linear warmup, then plateau, cosine, step or constant. Pure arithmetic.

Epochs count from 1. During warmup epoch e of w trains at lr x e / w, so that epoch w trains at the full rate.
The plateau rule is torch's ReduceLROnPlateau with `patience - 1` (tested against it).
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


def learning_rate(epoch: int, training: TrainingBlock, plateau: Plateau) -> float:
    """Return the learning rate of `epoch` (from 1)."""
    block, lr = training.scheduler, training.lr
    warmup = block.warmup_epochs
    if epoch <= warmup:
        return lr * epoch / warmup
    after = epoch - warmup - 1  # epochs trained since warmup
    match block.name:
        case "plateau":
            return plateau.rate
        case "cosine":
            span = block.T_max or max(1, training.num_epochs - warmup)
            turn = math.pi * min(after, span) / span
            return block.eta_min + (lr - block.eta_min) * (1 + math.cos(turn)) / 2
        case "step":
            return lr * block.gamma ** (after // block.step_size)
        case _:
            return lr
