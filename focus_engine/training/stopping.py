"""The criteria for improvement and early stopping: pure arithmetic on validation losses."""

import math
from dataclasses import dataclass, replace

RELATIVE_THRESHOLD = 1e-4
"""The plateau rule counts an epoch as improved if its validation loss < best x (1 - this)."""


def improves(loss: float, best: float, threshold: float) -> bool:
    """Return whether `loss` is below `best` by more than the relative `threshold`; NaN never improves."""
    return loss < (best * (1 - threshold) if math.isfinite(best) else best)


@dataclass(frozen=True)
class EarlyStopping:
    """A count of epochs without improvement after warmup.

    Attributes:
        best: validation loss of the last epoch that improved.
        count: epochs since then.
    """

    best: float = math.inf
    count: int = 0

    def after(self, loss: float, *, warming_up: bool, min_delta: float) -> "EarlyStopping":
        """Return the state after an epoch with this validation loss."""
        if improves(loss, self.best, min_delta):
            return EarlyStopping(loss, 0)
        return self if warming_up else replace(self, count=self.count + 1)

    def stops(self, patience: int) -> bool:
        """Return whether training ends now; patience 0 disables early stopping."""
        return patience > 0 and self.count >= patience
