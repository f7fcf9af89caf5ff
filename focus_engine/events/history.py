"""What counts of a run that was resumed: the one fold of the epochs, spectra and samples in its log.

A worker that is killed takes with it what it did after its last checkpoint, and the log keeps it: `RunStarted.epoch`
says after which epoch training went on, and what stands above it in the file is superseded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeVar

from focus_engine.events.table import EpochFinished, Event, PowerSpectrumMeasured, RunStarted, SamplesDrawn

ByEpoch = TypeVar("ByEpoch", bound=EpochFinished | PowerSpectrumMeasured | SamplesDrawn)


@dataclass(frozen=True)
class History:
    """What of a run counts, in order of the epochs.

    Attributes:
        epochs: whole epochs.
        spectra: P(k) of samples.
        samples: thumbnails.
        seams: epochs after which training was resumed.
    """

    epochs: tuple[EpochFinished, ...] = ()
    spectra: tuple[PowerSpectrumMeasured, ...] = ()
    samples: tuple[SamplesDrawn, ...] = ()
    seams: tuple[int, ...] = ()

    def then(self, event: Event) -> "History":
        """Return what counts after `event` too."""
        match event:
            case RunStarted():
                return self._resumed(event.epoch)
            case EpochFinished():
                return replace(self, epochs=(*_until(self.epochs, event.epoch - 1), event))
            case PowerSpectrumMeasured():
                return replace(self, spectra=(*_until(self.spectra, event.epoch - 1), event))
            case SamplesDrawn():
                return replace(self, samples=(*_until(self.samples, event.epoch - 1), event))
            case _:
                return self

    def _resumed(self, epoch: int) -> "History":
        """Training goes on after `epoch`; what stands above it was lost with its worker."""
        seams = tuple(seam for seam in self.seams if seam < epoch)
        return History(
            epochs=_until(self.epochs, epoch),
            spectra=_until(self.spectra, epoch),
            samples=_until(self.samples, epoch),
            seams=(*seams, epoch) if epoch else seams,
        )


def history_of(events: Iterable[Event]) -> History:
    """Return what counts of `events`, the whole log of a run or its end."""
    return reduce(History.then, events, History())


def without_superseded(events: Iterable[Event]) -> list[Event]:
    """Return `events` without the epochs, spectra and samples that do not count."""
    told = list(events)
    history = history_of(told)
    counting = {id(one) for one in (*history.epochs, *history.spectra, *history.samples)}
    by_epoch = (EpochFinished, PowerSpectrumMeasured, SamplesDrawn)
    return [event for event in told if not isinstance(event, by_epoch) or id(event) in counting]


def _until(known: tuple[ByEpoch, ...], epoch: int) -> tuple[ByEpoch, ...]:
    """Return what is known of the epochs up to `epoch`; as it is when that is all of it."""
    if known and known[-1].epoch > epoch:
        return tuple(one for one in known if one.epoch <= epoch)
    return known
