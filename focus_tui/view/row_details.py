"""The optional columns of a list of runs: loss curve, time per epoch and device, read from the whole log."""

from dataclasses import replace
from pathlib import Path

from focus_engine.events.log import read_events_of
from focus_engine.events.table import EpochFinished, RunStarted
from focus_engine.runs.folder import RunFolder
from focus_tui.view.columns import RunRow

DETAIL_BYTES = 1 << 23
"""Bytes read from the end of a log; of a longer log, the first epochs are missing."""
EPOCHS = 5
"""Number of latest epochs over which the time per epoch is averaged."""


def with_details(row: RunRow) -> RunRow:
    """Return `row` with loss curve, time per epoch and device; unchanged if its log cannot be read."""
    from focus_tui.view.run_view import RunView, fold  # numpy: 0.1 s that a plain `focus ls` does without

    try:
        events = read_events_of(RunFolder(Path(row.summary.path)).events, (EpochFinished, RunStarted), DETAIL_BYTES)
    except OSError:
        return row
    view = fold(RunView(summary=row.summary), events)
    seconds = [event.seconds for event in view.epochs[-EPOCHS:]]
    return replace(
        row,
        val_losses=tuple(event.val_loss for event in view.epochs),
        seconds_per_epoch=sum(seconds) / len(seconds) if seconds else None,
        device=_device(view.started),
    )


def _device(started: RunStarted | None) -> str | None:
    if started is None:
        return None
    return started.device if started.device == "cpu" else f"{started.device} {started.device_name}"
