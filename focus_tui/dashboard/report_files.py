"""The reports of `focus compare` in the figure folders of runs, which may have 100,000 other files."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from focus_engine.runs.comparison import REPORT_FILES

MAX_REPORT_BYTES = 50_000_000
"""Larger files are ignored, because no report is that large."""
SETTLED_SECONDS = 2.0
"""Two changes of a folder within the resolution of its clock leave the same time: it is listed again after this."""
LIST_RATIO = 50
"""Least time between two listings, in units of what one takes: at most 2 % of a core."""
Stamp = tuple[int, Path]


@dataclass
class _Folder:
    """A figure folder as last listed; times are of the monotonic clock [s]."""

    path: Path
    changed: int | None = None
    found: tuple[Stamp, ...] = ()
    listed: float = 0.0
    took: float = 0.0
    settled: bool = True

    def look(self) -> tuple[Stamp, ...]:
        """Return modification time [ns] and path of each report, from a listing where the folder has changed."""
        changed, now = _changed(self.path), time.monotonic()
        fresh = changed == self.changed and (self.settled or now < self.listed + SETTLED_SECONDS)
        if not fresh and now >= self.listed + LIST_RATIO * self.took:
            self.settled = changed == self.changed
            self.changed, self.found = changed, tuple(_reports(self.path))
            self.listed, self.took = now, time.monotonic() - now
        return self.found


class ReportFiles:
    """Lists the reports in folders; those that did not change cost one `stat` each."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [_Folder(path) for path in folders]

    def newest_first(self) -> list[Stamp]:
        """Return modification time [ns] and path of each report."""
        return sorted((stamp for folder in self._folders for stamp in folder.look()), reverse=True)


def _changed(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None


def _reports(folder: Path) -> Iterator[Stamp]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if fnmatchcase(entry.name, REPORT_FILES):
                with suppress(OSError):
                    status = entry.stat()
                    if status.st_size < MAX_REPORT_BYTES:
                        yield status.st_mtime_ns, Path(entry.path)
