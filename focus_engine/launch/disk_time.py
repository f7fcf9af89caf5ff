"""The clock of a disk: a file server stamps files by its own, which may differ from that of this machine."""

import os
import tempfile
import time
from pathlib import Path


def disk_time(folder: Path) -> float:
    """Return the time by the clock that stamps the files in `folder` [Unix seconds].

    Read from a new unnamed file; where nothing can be written, this machine's clock is used.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def age_on_disk(path: Path) -> float:
    """Return the age of the file at `path` by the clock of its disk [s]; infinite without the file."""
    try:
        return max(0.0, disk_time(path.parent) - path.stat().st_mtime)
    except OSError:
        return float("inf")
