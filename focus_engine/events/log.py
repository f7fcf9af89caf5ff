"""Appending to and following `events.jsonl`.

Each line is one `write`, so that lines of two writers never mix on a local disk. Readers keep a byte offset and poll
`stat`, because NFS has no file notifications. A torn last line is normal and is read again later.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EINVAL, EISDIR, ELOOP, ENXIO
from pathlib import Path
from typing import BinaryIO

from focus_engine.atomic import naming
from focus_engine.events.history import history_of
from focus_engine.events.line import parse_event
from focus_engine.events.table import EpochFinished, Event, StepProgress
from focus_engine.small_files import open_ordinary, open_to_append, read_at_most

TAIL_BYTES = 1 << 12
"""How much of the end of a log is read first; four times as much before it each time, until an epoch is found."""
MOST_TAIL_BYTES = 1 << 22
"""How much of it is read at once at most, which bounds the memory."""

Thin = Callable[[bytes, int, int], list[bytes]]
CHUNK_BYTES = 1 << 18
"""How much of a log is read at once: parsed, it takes about 2 MB, which a dashboard that reads long logs keeps."""
THINNED_BYTES = 1 << 22
"""A longer log is thinned: about this much of its step events is parsed."""
_STEP = b'{"type":"step_progress"'


def append_event(path: Path, event: Event) -> None:
    """Append `event` to the log at `path`, made if need be. Raises OSError when the disk refuses."""
    line = (event.to_json() + "\n").encode()
    descriptor = open_to_append(path)
    try:
        size = os.fstat(descriptor).st_size
        with naming(path):
            if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a writer died while writing its last line
                line = b"\n" + line
            if os.write(descriptor, line) != len(line):
                raise OSError(28, "the disk took only a part of an event")
    finally:
        os.close(descriptor)


def read_events(path: Path) -> list[Event]:
    """Return every event of the log, in order; none when there is no log yet."""
    return EventTail(path).poll()


class EventTail:
    """Follows a log; each `poll` returns the events written since the one before."""

    def __init__(self, path: Path) -> None:
        self._reader = LogReader(path, every_step=True)

    def poll(self) -> list[Event]:
        """Return the events written since the last poll; all of them when the file was replaced or truncated."""
        events: list[Event] = []
        while True:
            chunk = self._reader.poll()
            events += chunk.events
            if not chunk.more:
                return events


@dataclass(frozen=True)
class LogChunk:
    """The result of one poll of a log.

    Attributes:
        events: new events, in order.
        restarted: the file was replaced or truncated: what was read before is void.
        more: the log holds more than `CHUNK_BYTES` that are not read yet.
    """

    events: tuple[Event, ...] = ()
    restarted: bool = False
    more: bool = False


class LogReader:
    """Follows a log from a byte offset in chunks of bounded size.

    A log that is long when first read is thinned: of its step events an even share is parsed, because a curve of a
    million points looks the same as one of twenty thousand. All other events are kept.
    """

    def __init__(self, path: Path, *, every_step: bool = False, thin: Thin | None = None) -> None:
        """Follow the log at `path`; `thin` selects the lines of a long log (`thinned_lines` by default)."""
        self._path = path
        self._thin = thin or thinned_lines
        self._offset = 0
        self._file_id: tuple[int, int] | None = None
        self._stride = 1
        self._every_step = every_step

    def poll(self) -> LogChunk:
        """Return what was written since the last poll, at most `CHUNK_BYTES` of it."""
        restarted = False
        try:
            with _opened(self._path) as log:
                status = os.fstat(log.fileno())
                file_id = (status.st_dev, status.st_ino)
                if file_id != self._file_id or status.st_size < self._offset:
                    restarted = self._file_id is not None
                    self._file_id, self._offset = file_id, 0
                    self._stride = 1 if self._every_step else max(1, status.st_size // THINNED_BYTES)
                if status.st_size == self._offset:
                    return LogChunk(restarted=restarted)
                log.seek(self._offset)
                chunk = _whole_lines(log)
        except (FileNotFoundError, NotADirectoryError):
            return LogChunk(restarted=self._lost())
        end = chunk.rfind(b"\n") + 1
        self._offset += end
        more = len(chunk) >= CHUNK_BYTES and self._offset < status.st_size and end > 0
        lines = chunk[:end].split(b"\n") if self._stride == 1 else self._thin(chunk, end, self._stride)
        events = tuple(_parse(lines))
        if not more:
            self._stride = 1  # every later line is parsed
        return LogChunk(events, restarted, more)

    def _lost(self) -> bool:
        """Forget a log that is gone; return whether there was one."""
        was, self._file_id, self._offset = self._file_id is not None, None, 0
        return was


class KindReader:
    """Follows events of the given types in a log; other lines are not parsed. Holds one chunk of the log at a time."""

    def __init__(self, path: Path, kinds: Sequence[type[Event]], most: int) -> None:
        """Follow the log at `path`, of which the first poll reads the last `most` bytes."""
        self._path = path
        self._starts = tuple(b'{"type":"%s"' % kind.type.encode() for kind in kinds)
        self._most = most
        self._offset = 0
        self._file_id: tuple[int, int] | None = None

    def poll(self) -> tuple[list[Event], bool]:
        """Return the events since the last poll, and whether the log was replaced: what was read before is void."""
        try:
            with _opened(self._path) as log:
                return self._read(log)
        except (FileNotFoundError, NotADirectoryError):
            was, self._file_id = self._file_id is not None, None
            return [], was

    def _read(self, log: BinaryIO) -> tuple[list[Event], bool]:
        status, events, known = os.fstat(log.fileno()), list[Event](), self._file_id
        file_id = (status.st_dev, status.st_ino)
        if void := file_id != known or status.st_size < self._offset:
            self._file_id, self._offset = file_id, max(0, status.st_size - self._most)
        log.seek(self._offset)
        while (end := (chunk := _whole_lines(log)).rfind(b"\n") + 1) > 0:
            self._offset += end
            log.seek(self._offset)
            events += _parse(line for line in chunk[:end].split(b"\n") if line.startswith(self._starts))
        return events, void and known is not None


def _whole_lines(log: BinaryIO) -> bytes:
    """Return the next `CHUNK_BYTES` of a log, or one line that is longer."""
    chunk = log.read(CHUNK_BYTES)
    return chunk if b"\n" in chunk else chunk + log.readline()


def read_recent_events(path: Path) -> list[Event]:
    """Return the end of the log from the last epoch that is not superseded: enough for a summary of the run.

    Of step events only the last is parsed and returned, because each replaces the one before.
    """
    newest_first: list[Event] = []
    stepped = False
    for line in _lines_from_the_end(path):
        if not line or (stepped and line.startswith(_STEP)) or (event := parse_event(line)) is None:
            continue
        newest_first.append(event)
        stepped = stepped or isinstance(event, StepProgress)
        if isinstance(event, EpochFinished) and history_of(reversed(newest_first)).epochs:
            break
    return newest_first[::-1]


def _lines_from_the_end(path: Path) -> Iterator[bytes]:
    """Yield the lines of the log, the last first; none when there is no log yet. Reads no more than is asked for."""
    try:
        descriptor = _open(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        start, length, begun = os.fstat(descriptor).st_size, TAIL_BYTES, b""
        while start:
            end, start = start, max(0, start - length)
            os.lseek(descriptor, start, os.SEEK_SET)
            with naming(path):
                first, *whole = (read_at_most(descriptor, end - start) + begun).split(b"\n")
            yield from reversed(whole)
            begun = first  # its beginning may stand in the part before
            length = min(4 * length, MOST_TAIL_BYTES)
        yield begun
    finally:
        os.close(descriptor)


def thinned_lines(chunk: bytes, end: int, stride: int) -> list[bytes]:
    """Return the lines of `chunk[:end]`, with about one in `stride` of the step events."""
    lines = chunk[:end].split(b"\n")
    return [line for place, line in enumerate(lines) if not place % stride or not line.startswith(_STEP)]


def _parse(lines: Iterable[bytes]) -> Iterator[Event]:
    for line in lines:
        if line and (event := parse_event(line)) is not None:
            yield event


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Yield an open ordinary file. Raises FileNotFoundError for pipes and devices too, which are no log."""
    with naming(path), os.fdopen(_open(path), "rb") as log:
        yield log


def _open(path: Path) -> int:
    """Return the descriptor of an ordinary file. Raises FileNotFoundError for pipes and devices too."""
    try:
        return open_ordinary(path)
    except OSError as error:
        raise FileNotFoundError(str(path)) if error.errno in {EINVAL, ENXIO, EISDIR, ELOOP} else error from None
