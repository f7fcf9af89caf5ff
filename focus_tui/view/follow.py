"""`focus logs`: prints the epoch blocks of a run, those so far or also those to come.

Blocks go to stdout, notes and the progress line to stderr. Following ends when the run ends or is lost; Ctrl-C ends
the following and leaves the run alone.
"""

import shutil
import sys
import time

from focus_engine.events.epoch_block import epoch_block
from focus_engine.events.log import EventTail
from focus_engine.events.table import EpochFinished, Event, RunEnded
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import LIVE_STATES, RunSummary
from focus_engine.runs.folder import RunFolder
from focus_tui.terminal import out, say, visible
from focus_tui.view.words import event_note, progress_line

POLL_SECONDS = 0.2
STATE_SECONDS = 2.0
"""Seconds between two checks of whether the run is still live."""


def print_log(run: RunFolder, *, follow: bool, last: int | None, raw: bool) -> None:
    """Print the log of `run`; with `follow`, until the run ends."""
    tail = EventTail(run.events)
    events = tail.poll()
    if not events:
        say(f"{visible(run.name)} has not started yet: focus start {visible(run.name)}")
        return
    printer = Printer(raw=raw)
    for event in _recent(events, last):
        printer.show(event, live=False)
    if follow:
        try:
            _follow(run, tail, printer)
        finally:
            printer.clear()


class Printer:
    """Prints events, and on a terminal a progress line below them."""

    def __init__(self, *, raw: bool = False) -> None:
        self._raw = raw
        self._line = False
        self._interactive = sys.stderr.isatty()

    def show(self, event: Event, *, live: bool = True) -> None:
        """Print one event; a progress line only if the event is `live`."""
        if self._raw:
            out(event.to_json())
        elif isinstance(event, EpochFinished):
            self.clear()
            out(epoch_block(event).removesuffix("\n"))
        elif (words := event_note(event)) is not None:
            self.clear()
            say(f"-- {words}")
        elif live and (line := progress_line(event, shutil.get_terminal_size().columns - 1)) is not None:
            self.progress(line)

    def progress(self, line: str) -> None:
        """Replace the progress line by `line`; print nothing if stderr is no terminal."""
        if self._interactive:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._line = True

    def clear(self) -> None:
        """Erase the progress line."""
        if self._line:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._line = False


def _recent(events: list[Event], last: int | None) -> list[Event]:
    """Return the events that belong to the last `last` epochs; all events if it is None."""
    epochs = [number for number, event in enumerate(events) if isinstance(event, EpochFinished)]
    if last is None or last >= len(epochs):
        return events
    return events[epochs[len(epochs) - last - 1] + 1 :]


def _follow(run: RunFolder, tail: EventTail, printer: Printer) -> None:
    """Print events until the run has ended or its state is no longer live."""
    summary, checked = summarise(run), time.monotonic()
    while True:
        if time.monotonic() - checked >= STATE_SECONDS:
            before, summary, checked = summary.state, summarise(run), time.monotonic()
            if summary.state == "stalled" != before:
                _report_trouble(summary, printer)
        events = tail.poll()  # after the state check, so that the last events of a dying worker are printed
        for event in events:
            printer.show(event)
        sys.stdout.flush()
        if events and isinstance(events[-1], RunEnded):
            return
        if summary.state not in LIVE_STATES:
            _report_trouble(summary, printer)
            return
        time.sleep(POLL_SECONDS)


def _report_trouble(summary: RunSummary, printer: Printer) -> None:
    if summary.state in {"stalled", "lost", "unreachable"}:
        printer.clear()
        say(f"-- {summary.state}: {visible(summary.reason or '')}")
