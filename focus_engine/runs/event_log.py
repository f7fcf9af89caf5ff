"""Appending to and following `events.jsonl`.

One line is one `write`, so lines of two writers never mix on a local disk. Readers keep a byte offset and poll
`stat`, because file notifications do not exist on NFS; a torn last line is normal and is read again later.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from focus_engine.events import EpochFinished, Event, parse_event

TAIL_BYTES = 1 << 12
"""How much of the end of a log is read first; four times as much until a summary is found."""


def append_event(path: Path, event: Event) -> None:
    """Append `event` to the log at `path`, made if need be. Raises OSError when the disk refuses."""
    line = (event.to_json() + "\n").encode()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a writer died inside its last line
            line = b"\n" + line
        if os.write(descriptor, line) != len(line):
            raise OSError(28, "the disk took only a part of an event", str(path))
    finally:
        os.close(descriptor)


def read_events(path: Path) -> list[Event]:
    """Return every event of the log, in order; a log that is not there yet has none."""
    return EventTail(path).poll()


class EventTail:
    """Follows a log from a byte offset; `poll` returns what came since the last call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._file_id: tuple[int, int] | None = None

    def poll(self) -> list[Event]:
        """Return the events written since the last poll; starts anew when the file was replaced or cut."""
        try:
            with self._path.open("rb") as log:
                status = os.fstat(log.fileno())
                file_id = (status.st_dev, status.st_ino)
                if file_id != self._file_id or status.st_size < self._offset:
                    self._file_id, self._offset = file_id, 0
                if status.st_size == self._offset:
                    return []
                log.seek(self._offset)
                chunk = log.read()
        except (FileNotFoundError, NotADirectoryError):
            return []
        whole = chunk[: chunk.rfind(b"\n") + 1]
        self._offset += len(whole)
        return list(_parse_lines(whole))


def read_recent_events(path: Path) -> list[Event]:
    """Return the end of the log, back to its last epoch or end: enough to summarise a run without reading it all."""
    try:
        with path.open("rb") as log:
            size = os.fstat(log.fileno()).st_size
            length = TAIL_BYTES
            while True:
                start = max(0, size - length)
                log.seek(start)
                chunk = log.read(size - start)
                if start:
                    chunk = chunk[chunk.find(b"\n") + 1 :]
                events = list(_parse_lines(chunk))
                if start == 0 or any(isinstance(event, EpochFinished) for event in events):
                    return events
                length *= 4
    except (FileNotFoundError, NotADirectoryError):
        return []


def _parse_lines(chunk: bytes) -> Iterator[Event]:
    for line in chunk.split(b"\n"):
        if line and (event := parse_event(line)) is not None:
            yield event
