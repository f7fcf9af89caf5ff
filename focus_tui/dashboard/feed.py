"""The dashboard's only reader of disks: one thread that looks at the runs and posts what changed.

It polls `stat`, because file notifications do not exist on NFS, and asks often about what is on the screen, seldom
about the rest. Whatever it meets (folders that vanish, logs that are torn) costs a run its row for a moment and
never the thread its life. Widgets never read files.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from textual.message import Message

from focus_engine.events.log import LogReader
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import LIVE_STATES, RunSummary
from focus_engine.runs.folder import RunFolder, list_runs
from focus_engine.runs.labels import read_labels
from focus_tui.view.columns import RunRow
from focus_tui.view.machine import MachineLoad, MachineReader
from focus_tui.view.row_details import with_details
from focus_tui.view.run_view import RunView, fold
from focus_tui.view.thin import thinned_lines

LIST_SECONDS = 2.0
"""How often the folder of experiments is listed."""
PROOF_SECONDS = 1.0
"""How often a live run is asked for its proof of life."""
LIST_SHARE = 50
"""A list that takes long is read again after so many times as long: thousands of runs cost a core 2 %."""
LOAD_SECONDS = 2.0
FIRST_ROWS = 60
"""Rows that are read before the list is shown for the first time; then once more, when all are."""

Stamp = tuple[float, ...]


class RunsRead(Message):
    """The rows of all runs, whenever one has changed.

    Attributes:
        rows: a row a run, by name.
        complete: whether all runs have been read; the first lists come in parts.
        problem: why the folder cannot be read, in words.
    """

    def __init__(self, rows: tuple[RunRow, ...], *, complete: bool = True, problem: str = "") -> None:
        super().__init__()
        self.rows = rows
        self.complete = complete
        self.problem = problem


class RunRead(Message):
    """A followed run has changed."""

    def __init__(self, view: RunView) -> None:
        super().__init__()
        self.view = view


class RunGone(Message):
    """The folder of a followed run is no longer there."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self.run = run


class MachineRead(Message):
    """What this machine is doing."""

    def __init__(self, load: MachineLoad) -> None:
        super().__init__()
        self.load = load


class Feed(Protocol):
    """What the dashboard asks of whoever reads the runs for it."""

    def start(self, post: Callable[[Message], object]) -> None:
        """Begin to post messages."""

    def stop(self) -> None:
        """Post nothing more; return when no thread is left."""

    def follow(self, runs: Sequence[RunFolder]) -> None:
        """Post a `RunRead` for each of `runs` now and whenever it changes; forget the others."""

    def look_at(self, paths: Sequence[str]) -> None:
        """Read the curves of the rows at `paths`, which are on the screen."""

    def refresh(self) -> None:
        """Look at everything now."""


@dataclass
class _Known:
    """A run of the list as last seen."""

    stamp: Stamp
    row: RunRow
    detailed: Stamp | None = None
    proved: float = 0.0


class DiskFeed:
    """Reads the runs under `root` in a thread of its own."""

    def __init__(self, root: Path, refresh: float = 0.25) -> None:
        self._root = root
        self._period = refresh
        self._wake = threading.Event()
        self._done = False
        self._lock = threading.Lock()
        self._followed: dict[str, RunFolder] = {}
        self._looked_at: tuple[str, ...] = ()
        self._known: dict[str, _Known] = {}
        self._readers: dict[str, tuple[LogReader, RunView]] = {}
        self._machine = MachineReader()
        self._thread: threading.Thread | None = None
        self._post: Callable[[Message], object] = lambda message: message
        self._next_list = self._next_load = 0.0
        self._listed: tuple[tuple[RunRow, ...], str] | None = None

    def start(self, post: Callable[[Message], object]) -> None:
        """Begin to post messages."""
        self._post = post
        self._thread = threading.Thread(target=self._run, name="focus-feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Post nothing more; the thread may end a moment later, for a disk may hang."""
        self._done = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(0.5)

    def follow(self, runs: Sequence[RunFolder]) -> None:
        """Post a `RunRead` for each of `runs` now and whenever it changes; forget the others."""
        with self._lock:
            self._followed = {str(run.path): run for run in runs}
        self._wake.set()

    def look_at(self, paths: Sequence[str]) -> None:
        """Read the curves of the rows at `paths`, which are on the screen."""
        with self._lock:
            self._looked_at = tuple(paths)
        self._wake.set()

    def refresh(self) -> None:
        """Look at everything now."""
        self._next_list = self._next_load = 0.0
        self._wake.set()

    def _run(self) -> None:
        while not self._done:
            began = time.monotonic()
            self._look()
            # A disk that takes long (NFS, thousands of runs) is asked less often, so that it is not all we do.
            self._wake.wait(max(self._period, 4 * (time.monotonic() - began)) if not self._wake.is_set() else 0)
            self._wake.clear()

    def _look(self) -> None:
        now = time.monotonic()
        self._read_followed(now)
        if now >= self._next_list:
            self._read_list()
            took = time.monotonic() - now
            self._next_list = time.monotonic() + max(LIST_SECONDS, LIST_SHARE * took)
        self._read_details()
        if now >= self._next_load:
            self._post(MachineRead(self._machine.read()))
            self._next_load = now + LOAD_SECONDS

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
        reader, view = self._readers.get(path) or (LogReader(run.events, thin=thinned_lines), new)
        chunk = reader.poll()
        if chunk.restarted:
            view = RunView(summary=view.summary)
        if fresh and chunk.more:
            self._post(RunRead(replace(fold(view, chunk.events), summary=self._summary(run))))
        while chunk.more and not self._done:  # a long log is shown again when it is whole
            view = fold(view, chunk.events)
            chunk = reader.poll()
        known = self._known.get(path)
        due = known is None or now - known.proved >= PROOF_SECONDS
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
        """The proved summary of a run, kept for the list too."""
        summary = summarise(run)
        if (known := self._known.get(str(run.path))) is not None:
            known.row, known.proved = replace(known.row, summary=summary), time.monotonic()
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
            if live and time.monotonic() - known.proved >= PROOF_SECONDS:
                self._summary(run)
            return
        try:
            summary, labels = summarise(run), read_labels(run)
        except OSError:
            return
        row = RunRow(summary, labels) if known is None else replace(known.row, summary=summary, labels=labels)
        self._known[path] = _Known(stamp, row, None, time.monotonic())

    def _read_details(self) -> None:
        """Read curve, speed and device of the rows on the screen, where their logs have grown."""
        with self._lock:
            wanted = self._looked_at
        changed = False
        for path in wanted:
            known = self._known.get(path)
            if known is None or known.detailed == known.stamp:
                continue
            known.row, known.detailed = with_details(known.row), known.stamp
            changed = True
        if changed:
            self._publish(complete=True)


def _stamp(run: RunFolder) -> Stamp:
    """What changes whenever a row could: sizes and times of the files it is made of."""
    values: list[float] = []
    for path in (run.events, run.worker, run.stop_request, run.labels):
        try:
            status = path.stat()
            values += (status.st_mtime_ns, status.st_size) if path != run.worker else (status.st_ino,)
        except OSError:
            values.append(-1)
    return tuple(values)
