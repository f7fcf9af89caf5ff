"""The budget of a training: how much of num_epochs and max_minutes is used, and the learning rate that follows from it.

The clock enters the training state only by readings: at the first step, then whenever another 1/256 of max_minutes is
used. Each reading is an event in the log before its step is made. Between two readings the used time goes on at the
pace of the last two, so that every rate follows from recorded readings. A resumed run repeats the steps that were
lost with the readings that the log holds, and so with the same rates.

Laws of the rate: the schedule falls from lr, from the end of warmup on, and is at its floor when either budget ends.
Warmup takes at most half of the budget. When a resume changes the budget, the rate passes linearly, over a tenth of
what is left, from where it was to where the schedule has it as if the budget had been this from the start.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.training.schedule import Plateau, falling, learning_rate, runs_on_budget, warmup_rate

READINGS = 256
"""Readings of the clock in a whole budget of minutes."""
WARMUP_SHARE = 0.5
"""Largest share of the budget that warmup takes, for schedules that run on the budget."""
PASSAGE_SHARE = 0.1
"""Share of the rest of the budget over which the rate passes to the schedule of a changed budget."""
NOT_DUE = -1.0


class Clock:
    """The wall clock of a run: the seconds of all its workers together.

    The time between workers, and the time that a killed worker spent after its last reading or checkpoint, is not
    in it.
    """

    def __init__(
        self, used: float = 0.0, began: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Start at `used` seconds of former workers when `now` shows `began`, by default at once."""
        self._used, self._now = used, now
        self._began = now() if began is None else began
        self._replayed: dict[int, float] = {}

    def seconds(self) -> float:
        """Return the seconds used so far."""
        return self._used + self._now() - self._began

    def replay(self, readings: Mapping[int, float]) -> None:
        """Return these `readings` (seconds by step) at their steps, and none before the last of them is reached."""
        self._replayed = dict(readings)

    def reading(self, step: int, last: float | None, limit: float) -> float:
        """Return the reading before `step`, or NOT_DUE.

        `last` is the reading before this one, None before the first; `limit` is the budget [s].
        """
        if step <= max(self._replayed, default=-1):
            if step not in self._replayed:
                return NOT_DUE
            self._used, self._began = max(self._replayed[step], last or 0.0), self._now()
            return self._used
        seconds = max(self.seconds(), last or 0.0)
        due = last is None or seconds - last >= limit / READINGS or seconds >= limit > last
        return seconds if due else NOT_DUE


@dataclass(frozen=True)
class Limits:
    """The two budgets of a run.

    Attributes:
        epochs: training.num_epochs.
        seconds: training.max_minutes [s]; infinite where there is none.
    """

    epochs: int
    seconds: float = math.inf

    @classmethod
    def of(cls, training: TrainingBlock) -> "Limits":
        """Return the limits of a training block."""
        return cls(training.num_epochs, math.inf if training.max_minutes is None else 60 * training.max_minutes)


@dataclass(frozen=True)
class Mark:
    """A point of a training.

    Attributes:
        epochs: epochs done, with the done share of the running one.
        seconds: seconds used.
        rate: learning rate there.
    """

    epochs: float = 0.0
    seconds: float = 0.0
    rate: float = 0.0

    def share_to(self, point: "Mark", limits: Limits) -> float:
        """Return the used share, 0 to 1, of what was left of the budget here when training is at `point`."""
        by_epochs = _share(point.epochs - self.epochs, limits.epochs - self.epochs)
        if not math.isfinite(limits.seconds):
            return by_epochs
        return max(by_epochs, _share(point.seconds - self.seconds, limits.seconds - self.seconds))


def _share(used: float, whole: float) -> float:
    return min(1.0, max(0.0, used / whole)) if whole > 0 else 1.0


@dataclass(frozen=True)
class Place:
    """Where a training is, counted in steps.

    Attributes:
        epoch: the running epoch, from 1.
        part: share of its steps that is done, 0 to 1.
        step: steps done since the start of the run.
    """

    epoch: int
    part: float
    step: int


@dataclass(frozen=True)
class Budget:
    """What a training state holds of its budget.

    Attributes:
        step: step before which the clock was last read; -1: never.
        seconds: that reading.
        pace: seconds per step between the last two readings.
        limits: the budget for which the marks hold; None before the first step.
        start: where the first step was made.
        fall: where warmup ended and the schedule began to fall; None during warmup.
        change: where a resume last changed the limits.
        rate: learning rate of the last step.
    """

    step: int = -1
    seconds: float = 0.0
    pace: float = 0.0
    limits: Limits | None = None
    start: Mark = Mark()
    fall: Mark | None = None
    change: Mark | None = None
    rate: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Budget":
        """Return the budget of `to_dict`. Raises TypeError if `saved` is something else."""
        kinds: dict[str, Callable[..., Any]] = {"limits": Limits, "start": Mark, "fall": Mark, "change": Mark}
        return cls(**{key: kinds[key](**value) if isinstance(value, dict) else value for key, value in saved.items()})

    def read(self, step: int, seconds: float) -> "Budget":
        """Return the budget after the reading `seconds` before `step`."""
        pace = (seconds - self.seconds) / (step - self.step) if 0 <= self.step < step else 0.0
        return replace(self, step=step, seconds=seconds, pace=pace)

    def at(self, place: Place) -> Mark:
        """Return the point at `place`; after a reading, time goes on at the last pace until the next one."""
        gone = 0.0 if self.step < 0 else self.pace * (place.step - self.step)
        if self.limits is not None and math.isfinite(self.limits.seconds):
            gone = min(gone, self.limits.seconds / READINGS)
        return Mark(place.epoch - 1 + place.part, self.seconds + gone, self.rate)

    def used(self, place: Place) -> float:
        """Return the share of the budget that is used since the first step, 0 to 1."""
        return 0.0 if self.limits is None else self.start.share_to(self.at(place), self.limits)

    def is_up(self, training: TrainingBlock) -> bool:
        """Whether the minutes are used up, by the last reading."""
        return self.seconds >= Limits.of(training).seconds

    def warming_up(self, training: TrainingBlock, epoch: int, step: int) -> bool:
        """Whether `epoch`, after which `step` steps are done, belongs to warmup as a whole."""
        return self.fall is None and warmup_rate(training, epoch, step - 1) is not None

    def before_step(self, training: TrainingBlock, plateau: Plateau, place: Place) -> "Budget":
        """Return the budget with the learning rate of the next step, which is made at `place`."""
        now = self._with_limits(training, place)
        warming = warmup_rate(training, place.epoch, place.step)
        if not runs_on_budget(training.scheduler):
            rate = learning_rate(place.epoch, training, plateau) if warming is None else warming
            return replace(now, change=None, rate=rate)  # the rate of an epoch does not depend on the budget
        if now.fall is None:
            if warming is not None and now.used(place) < WARMUP_SHARE:
                return replace(now, rate=_passage(now, warming, place))
            reached = training.lr if warming is None else now.rate or warming
            now = replace(now, fall=replace(now.at(place), rate=reached))
        return replace(now, rate=_passage(now, _fallen(now, training, place), place))

    def _with_limits(self, training: TrainingBlock, place: Place) -> "Budget":
        """Take over the limits of `training`, marking the first step or the change."""
        limits, here = Limits.of(training), self.at(place)
        if limits == self.limits:
            return self
        if self.limits is not None:
            return replace(self, limits=limits, change=here)
        if place.step == 0:
            return replace(self, limits=limits, start=here)
        # The checkpoint is of a FOCUS whose schedules ran by epoch: warmup is over, and the rate is the optimiser's.
        past = Mark(min(here.epochs, training.scheduler.warmup_epochs), 0.0, training.lr)
        return replace(self, limits=limits, fall=past, change=here)


def _fallen(budget: Budget, training: TrainingBlock, place: Place) -> float:
    """Return the rate that the schedule has for these limits, once it falls."""
    if budget.fall is None or budget.limits is None:
        return training.lr
    floor, used = training.scheduler.eta_min, budget.fall.share_to(budget.at(place), budget.limits)
    return floor + (budget.fall.rate - floor) * falling(training.scheduler, used)


def _passage(budget: Budget, rate: float, place: Place) -> float:
    """Return `rate`, or soon after the limits changed a rate between the one before and `rate`."""
    if budget.change is None or budget.limits is None:
        return rate
    done = budget.change.share_to(budget.at(place), budget.limits) / PASSAGE_SHARE
    return rate if done >= 1 else (1 - done) * budget.change.rate + done * rate
