"""What counts as an improvement, and when training stops by itself: pure arithmetic on validation losses."""

import math
from dataclasses import dataclass, replace

RELATIVE_THRESHOLD = 1e-4
"""An epoch improves when its val loss < best x (1 - this): the law of the plateau rule."""


def improves(loss: float, best: float, threshold: float) -> bool:
    """Whether `loss` is lower than `best` by more than the relative `threshold`; NaN never improves."""
    return loss < (best * (1 - threshold) if math.isfinite(best) else best)


@dataclass(frozen=True)
class EarlyStopping:
    """Counts epochs without improvement, after warmup only.

    Attributes:
        best: loss of the last epoch that improved.
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
        """Whether training ends now; patience 0 never ends it."""
        return patience > 0 and self.count >= patience
