"""The outcome of a training, which the loop returns to the worker."""

from dataclasses import dataclass

from focus_engine.events.table import EndState


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        state: finished, early_stopped or stopped.
        why: in words.
        where: how far it came, in words; empty where `why` says it.
        save: whether there is part of an epoch that is worth a checkpoint.
    """

    state: EndState
    why: str
    where: str = ""
    save: bool = False

    @property
    def reason(self) -> str:
        """Why and where in one text, the reason in RunEnded."""
        return "; ".join(part for part in (self.why, self.where) if part)
