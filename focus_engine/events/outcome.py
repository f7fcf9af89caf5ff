"""How a training ends: what the loop tells the worker."""

from dataclasses import dataclass

from focus_engine.events.table import EndState


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        state: finished, early_stopped or stopped.
        why: in words.
        where: how far it came, in words; empty where the state says it.
        save: whether the state holds part of an epoch that is worth a checkpoint.
    """

    state: EndState
    why: str
    where: str = ""
    save: bool = False

    @property
    def reason(self) -> str:
        """Why and where, as a run's last word says it."""
        return "; ".join(part for part in (self.why, self.where) if part)
