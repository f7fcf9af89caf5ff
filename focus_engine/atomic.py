"""Writing files atomically: a file is complete or absent.

A file is written under a temporary name in the same folder, synchronised to disk, and then renamed over the old file.
A full disk, a kill or a power cut therefore leaves the last good file intact. Temporary names are random, so that a
leftover of a killed process never blocks the next save.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file written there replaces `path` when the block succeeds.

    When the block raises, the temporary file is removed and `path` is unchanged. Raises OSError.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with naming(path):
            yield temporary
            sync(temporary)
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_names(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError of the block that names no file name `path`: of a write, read or sync the system tells no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes from `folder`; no other process may be writing there."""
    for path in folder.glob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.[0-9a-f]{8}\.tmp", path.name):
            with suppress(OSError):
                path.unlink()


def sync_names(*folders: Path) -> None:
    """Wait until the disk holds the names in `folders`; no error, because some file systems cannot sync a folder."""
    for folder in folders:
        with suppress(OSError):
            sync(folder)


def sync(path: Path) -> None:
    """Wait until the disk holds what was written to a file, or the names in a folder. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
