"""The history of a run that may have been resumed: the one fold of the epochs, statistics and samples in its log.

What a killed worker did after its last checkpoint is lost, but its events stay in the log. `RunStarted.epoch` says
after which epoch training went on; earlier events of later epochs are superseded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

from focus_engine.events.statistics import LivePower
from focus_engine.events.table import BudgetRead, EpochFinished, Event, RunStarted, SamplesDrawn, StatisticsMeasured

ByEpoch = TypeVar("ByEpoch", bound=EpochFinished | StatisticsMeasured | SamplesDrawn)


@dataclass(frozen=True)
class History:
    """The events of a run that are not superseded, in order of the epochs.

    Attributes:
        epochs: finished epochs.
        statistics: statistics of samples.
        samples: thumbnails of samples.
        resumed_after: epochs after which training was resumed.
    """

    epochs: tuple[EpochFinished, ...] = ()
    statistics: tuple[StatisticsMeasured, ...] = ()
    samples: tuple[SamplesDrawn, ...] = ()
    resumed_after: tuple[int, ...] = ()

    @property
    def spectra(self) -> tuple[LivePower, ...]:
        """P(k) of samples, in order of the epochs."""
        return tuple(event.power for event in self.statistics if event.power is not None)

    def then(self, event: Event) -> "History":
        """Return the history with `event` added."""
        match event:
            case RunStarted():
                return self._resumed(event.epoch)
            case EpochFinished():
                epochs = (*_until(self.epochs, event.epoch - 1), event)
                return History(epochs, self.statistics, self.samples, self.resumed_after)
            case StatisticsMeasured():
                statistics = (*_until(self.statistics, event.epoch - 1), event)
                return History(self.epochs, statistics, self.samples, self.resumed_after)
            case SamplesDrawn():
                samples = (*_until(self.samples, event.epoch - 1), event)
                return History(self.epochs, self.statistics, samples, self.resumed_after)
            case _:
                return self

    def _resumed(self, epoch: int) -> "History":
        """Return the history up to `epoch`, after which training goes on; later epochs were lost."""
        resumed_after = tuple(resume for resume in self.resumed_after if resume < epoch)
        return History(
            epochs=_until(self.epochs, epoch),
            statistics=_until(self.statistics, epoch),
            samples=_until(self.samples, epoch),
            resumed_after=(*resumed_after, epoch) if epoch else resumed_after,
        )


def history_of(events: Iterable[Event]) -> History:
    """Return the history in `events`, which are the whole log of a run or its end."""
    return reduce(History.then, events, History())


def readings_of(events: Iterable[Event]) -> dict[int, float]:
    """Return the readings of the clock (seconds by step) since the run last began at step 0.

    Readings of steps that were lost are kept, because a resumed run repeats them.
    """
    readings: dict[int, float] = {}
    for event in events:
        if isinstance(event, RunStarted) and event.step == 0:
            readings.clear()
        elif isinstance(event, BudgetRead):
            readings[event.step] = event.seconds
    return readings


def without_superseded(events: Iterable[Event]) -> list[Event]:
    """Return `events` without superseded epochs, statistics and samples."""
    every = list(events)
    history = history_of(every)
    kept = {id(one) for one in (*history.epochs, *history.statistics, *history.samples)}
    by_epoch = (EpochFinished, StatisticsMeasured, SamplesDrawn)
    return [event for event in every if not isinstance(event, by_epoch) or id(event) in kept]


def _until(known: tuple[ByEpoch, ...], epoch: int) -> tuple[ByEpoch, ...]:
    """Return the events of epochs up to `epoch`; the same tuple when that is all of them."""
    if known and known[-1].epoch > epoch:
        return tuple(one for one in known if one.epoch <= epoch)
    return known
