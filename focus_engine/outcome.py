"""How a training ends: what the loop tells the worker."""

from dataclasses import dataclass

from focus_engine.events import EndState


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        state: finished, early_stopped or stopped.
        reason: why, in words.
        save: whether the state holds part of an epoch that is worth a checkpoint.
    """

    state: EndState
    reason: str
    save: bool = False
