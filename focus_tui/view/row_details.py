"""The optional columns of a list of runs: loss curve, time per epoch and device, read from the log."""

from array import array
from bisect import bisect_right
from dataclasses import replace

from focus_engine.events.log import KindReader
from focus_engine.events.table import EpochFinished, Event, RunStarted
from focus_engine.runs.folder import RunFolder
from focus_tui.view.columns import RunRow

DETAIL_BYTES = 1 << 23
"""Bytes read from the end of a log; of a longer log, the first epochs are missing."""
EPOCHS = 5
"""Number of latest epochs over which the time per epoch is averaged."""


class DetailReader:
    """Follows the log of a run and keeps what the optional columns show of it."""

    def __init__(self, run: RunFolder) -> None:
        self._reader = KindReader(run.events, (EpochFinished, RunStarted), DETAIL_BYTES)
        self._forget()

    def _forget(self) -> None:
        self._epochs: list[int] = []
        self._seconds = array("d")
        self._losses: list[float | None] = []
        self._device: str | None = None

    def added_to(self, row: RunRow) -> RunRow:
        """Return `row` with loss curve, time per epoch and device; unchanged if its log cannot be read."""
        try:
            events, restarted = self._reader.poll()
        except OSError:
            return row
        if restarted:
            self._forget()
        for event in events:
            self._add(event)
        seconds = self._seconds[-EPOCHS:]
        return replace(
            row,
            val_losses=tuple(self._losses),
            seconds_per_epoch=sum(seconds) / len(seconds) if seconds else None,
            device=self._device,
        )

    def _add(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._cut(event.epoch)
            self._device = event.device if event.device == "cpu" else f"{event.device} {event.device_name}"
        elif isinstance(event, EpochFinished):
            self._cut(event.epoch - 1)
            self._epochs.append(event.epoch)
            self._losses.append(event.val_loss)
            self._seconds.append(event.seconds)

    def _cut(self, epoch: int) -> None:
        """Drop the epochs after `epoch`, which a resume supersedes."""
        kept = bisect_right(self._epochs, epoch)
        del self._epochs[kept:], self._losses[kept:], self._seconds[kept:]
