"""Files that are whole or absent.

Everything that FOCUS writes for later goes to a temporary neighbour first, reaches the disk, and replaces the
old file in one step, so that a full disk, a kill or a power cut leaves the last good file intact. Temporaries
have random names: one that a killed process left behind never blocks the next save.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what was written there replaces `path` when the block ends well.

    When the block raises, the temporary is removed and `path` stays as it was. Raises OSError as writing does.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    with suppress(OSError):  # some file systems can't sync a folder; the file itself is safe by then
        _sync(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporaries that killed processes left in `folder`; nobody else may be writing there now."""
    for path in folder.glob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.[0-9a-f]{8}\.tmp", path.name):
            with suppress(OSError):
                path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
