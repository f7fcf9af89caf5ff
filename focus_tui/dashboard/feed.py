"""The only disk reader of the dashboard: one thread that polls the runs and posts what changed.

It polls `stat`, because NFS has no file notifications, and polls what is on the screen more often than the rest.
A folder that disappears or a torn log can cost a run its row for a moment, but never ends the thread.
Widgets never read files.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from textual.message import Message

from focus_engine.events.log import LogReader
from focus_engine.launch.lost import claim_lost, notify_lost
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import LIVE_STATES, RunSummary
from focus_engine.runs.folder import RunFolder, list_runs
from focus_engine.runs.labels import read_labels
from focus_tui.dashboard.free_memory import leave_modules_out_of_collections, return_free_memory
from focus_tui.view.columns import RunRow
from focus_tui.view.machine import MachineLoad, MachineReader
from focus_tui.view.row_details import DetailReader
from focus_tui.view.run_view import RunView, fold

LIST_SECONDS = 2.0
"""Least time between two listings of the experiments folder."""
LIVENESS_SECONDS = 1.0
"""Time between two liveness checks of a live run."""
LIST_INTERVAL_RATIO = 50
"""Least wait before the next listing, in units of the time a listing takes; this limits listings to 2 % of a core."""
LOAD_SECONDS = 2.0
TRIM_SECONDS = 20.0
"""Time between two returns of free memory to the system."""
FIRST_ROWS = 60
"""Rows that are read before the list is first shown; it is shown again once all rows are read."""

Stamp = tuple[float, ...]


def _thinned_lines(chunk: bytes, end: int, stride: int) -> list[bytes]:
    from focus_tui.view.thin import thinned_lines  # numpy: 0.06 s that the first frame does not wait for

    return thinned_lines(chunk, end, stride)


class RunsRead(Message):
    """The rows of all runs, posted when one has changed.

    Attributes:
        rows: one row per run, sorted by name.
        complete: whether all runs have been read; the first list is posted in two parts.
        problem: why the folder cannot be read; empty if it can.
    """

    def __init__(self, rows: tuple[RunRow, ...], *, complete: bool = True, problem: str = "") -> None:
        super().__init__()
        self.rows = rows
        self.complete = complete
        self.problem = problem


class RunRead(Message):
    """The view of a followed run that has changed."""

    def __init__(self, view: RunView) -> None:
        super().__init__()
        self.view = view


class RunGone(Message):
    """A followed run whose folder no longer exists."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self.run = run


class MachineRead(Message):
    """The current load of this machine."""

    def __init__(self, load: MachineLoad) -> None:
        super().__init__()
        self.load = load


class Feed(Protocol):
    """The interface of a reader of runs."""

    def start(self, post: Callable[[Message], object]) -> None:
        """Start posting messages."""

    def stop(self) -> None:
        """Stop posting; return when the thread has ended."""

    def follow(self, runs: Sequence[RunFolder]) -> None:
        """Post a `RunRead` for each of `runs` now and whenever it changes; stop following the others."""

    def set_visible(self, paths: Sequence[str]) -> None:
        """Read the curves of the runs at `paths`, whose rows are on the screen."""

    def refresh(self) -> None:
        """Poll everything now."""


@dataclass
class _ListedRun:
    """A listed run as last read."""

    stamp: Stamp
    row: RunRow
    detailed: Stamp | None = None
    checked_at: float = 0.0
    details: DetailReader | None = None


class DiskFeed:
    """Reads the runs under `root` in a background thread."""

    def __init__(self, root: Path, refresh: float = 0.25) -> None:
        self._root = root
        self._period = refresh
        self._wake = threading.Event()
        self._done = False
        self._lock = threading.Lock()
        self._followed: dict[str, RunFolder] = {}
        self._visible: tuple[str, ...] = ()
        self._known: dict[str, _ListedRun] = {}
        self._readers: dict[str, tuple[LogReader, RunView]] = {}
        self._machine = MachineReader()
        self._thread: threading.Thread | None = None
        self._post: Callable[[Message], object] = lambda message: message
        self._next_list = self._next_load = 0.0
        self._next_trim = time.monotonic() + TRIM_SECONDS
        self._tidied = False
        self._listed: tuple[tuple[RunRow, ...], str] | None = None
        self._lost: set[tuple[str, float | None]] = set()

    def start(self, post: Callable[[Message], object]) -> None:
        """Start posting messages."""
        self._post = post
        self._thread = threading.Thread(target=self._run, name="focus-feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop posting; wait at most 0.5 s for the thread, because a disk may hang."""
        self._done = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(0.5)

    def follow(self, runs: Sequence[RunFolder]) -> None:
        """Post a `RunRead` for each of `runs` now and whenever it changes; stop following the others."""
        with self._lock:
            self._followed = {str(run.path): run for run in runs}
        self._wake.set()

    def set_visible(self, paths: Sequence[str]) -> None:
        """Read the curves of the runs at `paths`, whose rows are on the screen."""
        with self._lock:
            self._visible = tuple(paths)
        self._wake.set()

    def refresh(self) -> None:
        """Poll everything now."""
        self._next_list = self._next_load = 0.0
        self._wake.set()

    def _run(self) -> None:
        while not self._done:
            began = time.monotonic()
            self._poll()
            # Poll a slow disk (NFS, thousands of runs) less often, to spend at most 20 % of the time polling.
            self._wake.wait(max(self._period, 4 * (time.monotonic() - began)) if not self._wake.is_set() else 0)
            self._wake.clear()

    def _poll(self) -> None:
        now = time.monotonic()
        self._read_followed(now)
        if now >= self._next_list:
            self._read_list()
            took = time.monotonic() - now
            self._next_list = time.monotonic() + max(LIST_SECONDS, LIST_INTERVAL_RATIO * took)
        self._read_details()
        if now >= self._next_load:
            self._post(MachineRead(self._machine.read()))
            self._next_load = now + LOAD_SECONDS
        if now >= self._next_trim:
            self._tidy(now)

    def _tidy(self, now: float) -> None:
        if not self._tidied:
            leave_modules_out_of_collections()
        return_free_memory()
        self._tidied, self._next_trim = True, now + TRIM_SECONDS

    def _read_followed(self, now: float) -> None:
        with self._lock:
            followed = dict(self._followed)
        for path in self._readers.keys() - followed.keys():
            del self._readers[path]
        for path, run in followed.items():
            try:
                self._read_one(path, run, now)
            except OSError:
                self._forget(run)

    def _read_one(self, path: str, run: RunFolder, now: float) -> None:
        if not run.exists():
            self._forget(run)
            return
        fresh = path not in self._readers
        new = RunView(summary=RunSummary(name=run.name, path=path))
        reader, view = self._readers.get(path) or (LogReader(run.events, thin=_thinned_lines), new)
        chunk = reader.poll()
        if chunk.restarted:
            view = RunView(summary=view.summary)
        if fresh and chunk.more:
            self._post(RunRead(replace(fold(view, chunk.events), summary=self._summary(run))))
        while chunk.more and not self._done:  # a long log is posted again once all of it is read
            view = fold(view, chunk.events)
            chunk = reader.poll()
        known = self._known.get(path)
        due = known is None or now - known.checked_at >= LIVENESS_SECONDS
        if not (fresh or chunk.events or due):
            return
        summary = self._summary(run)
        if fresh or chunk.events or chunk.restarted or summary != view.summary:
            view = replace(fold(view, chunk.events), summary=summary)
            self._post(RunRead(view))
        self._readers[path] = (reader, view)

    def _forget(self, run: RunFolder) -> None:
        with self._lock:
            self._followed.pop(str(run.path), None)
        self._readers.pop(str(run.path), None)
        self._post(RunGone(run))

    def _summary(self, run: RunFolder) -> RunSummary:
        """Return the summary of a run after a liveness check, and store it in its row."""
        summary = self._summarised(run)
        if (known := self._known.get(str(run.path))) is not None:
            known.row, known.checked_at = replace(known.row, summary=summary), time.monotonic()
        return summary

    def _summarised(self, run: RunFolder) -> RunSummary:
        """Return the summary of a run; notify the user, once, of one that is lost."""
        summary = summarise(run)
        if summary.state == "lost" and (key := (summary.path, summary.started)) not in self._lost:
            self._lost.add(key)
            if claim_lost(run, summary):
                threading.Thread(target=notify_lost, args=(run, summary), name="focus-notify", daemon=True).start()
        return summary

    def _read_list(self) -> None:
        try:
            runs = list_runs(self._root)
        except OSError as error:
            self._publish(complete=True, problem=f"{self._root} cannot be read: {error.strerror}")
            return
        found = {str(run.path) for run in runs}
        for path in self._known.keys() - found:
            del self._known[path]
        first = self._listed is None
        for number, run in enumerate(runs, 1):
            if self._done:
                return
            self._read_row(run)
            if first and number == FIRST_ROWS and number < len(runs):
                self._publish(complete=False)
        self._publish(complete=True)

    def _publish(self, *, complete: bool, problem: str = "") -> None:
        rows = tuple(known.row for _, known in sorted(self._known.items()))
        if (rows, problem) != self._listed or not complete:
            self._listed = (rows, problem)
            self._post(RunsRead(rows, complete=complete, problem=problem))

    def _read_row(self, run: RunFolder) -> None:
        path = str(run.path)
        known = self._known.get(path)
        stamp = _stamp(run)
        if known is not None and known.stamp == stamp:
            live = known.row.summary.state in (*LIVE_STATES, "unreachable")
            if live and time.monotonic() - known.checked_at >= LIVENESS_SECONDS:
                self._summary(run)
            return
        try:
            summary, labels = self._summarised(run), read_labels(run)
        except OSError:
            return
        row = RunRow(summary, labels) if known is None else replace(known.row, summary=summary, labels=labels)
        details = None if known is None else known.details
        self._known[path] = _ListedRun(stamp, row, None, time.monotonic(), details)

    def _read_details(self) -> None:
        """Read curve, speed and device of the visible rows whose files have changed."""
        with self._lock:
            wanted = self._visible
        changed = False
        for path in wanted:
            known = self._known.get(path)
            if known is None or known.detailed == known.stamp:
                continue
            known.details = known.details or DetailReader(RunFolder(Path(path)))
            known.row, known.detailed = known.details.added_to(known.row), known.stamp
            changed = True
        if changed:
            self._publish(complete=True)


def _stamp(run: RunFolder) -> Stamp:
    """Return sizes and times of the files that a row is made from; a changed row has a changed stamp."""
    values: list[float] = []
    for path in (run.events, run.worker, run.stop_request, run.labels):
        try:
            status = path.stat()
            values += (status.st_mtime_ns, status.st_size) if path != run.worker else (status.st_ino,)
        except OSError:
            values.append(-1)
    return tuple(values)
