"""Stands between Python code and the disk: sees, records or refuses each file call below some folders.

It replaces the functions of `os` and `open` in this process. What Python files write is seen write by write, below
their buffers; what C code writes by itself is not, and FOCUS leaves no file to such code.
"""

# ruff: noqa: PTH100, PTH116, PTH119, PTH120

import builtins
import fcntl
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

REAL_OPEN = io.open


@dataclass(frozen=True)
class Op:
    """One change that was asked of the disk.

    Attributes:
        kind: a name enters or leaves a folder, or moves; bytes are written; a file is cut; a file or folder is synced.
        serial: the file or folder that it is about; numbers are never used twice.
        folder: folder of the name.
        name: name in that folder.
        old: folder and name before a move.
        offset: where bytes are written, or the size after a cut.
        data: bytes written.
        since: ops before this one are on disk once a sync has ended.
    """

    kind: Literal["enter", "leave", "move", "write", "cut", "sync"]
    serial: int
    folder: int = -1
    name: str = ""
    old: tuple[int, str] = (-1, "")
    offset: int = 0
    data: bytes = b""
    since: int = 0


class FileCalls:
    """The file calls of this process below `folders`, while `installed`. Thread-safe.

    Attributes:
        ops: the changes made, in order. The folder itself has the serial 0.
        folders: serials of folders.
    """

    def __init__(self, *folders: Path, reads: bool = False) -> None:
        self.ops: list[Op] = []
        self.folders = {0}
        self._roots = tuple(f"{os.path.abspath(folder)}/" for folder in folders)
        self._reads = reads
        self._lock = threading.RLock()
        self._paths: dict[int, str] = {}
        self._serials = {self._key(os.stat(folders[0])): 0}
        self._count = 0
        self._real = {name: getattr(os, name) for name in _PATCHED}

    def before(self, call: str, path: str) -> None:
        """Called before each file call; an OSError that it raises is what the caller gets."""

    @contextmanager
    def installed(self) -> Iterator["FileCalls"]:
        """Stand between until the block ends."""
        mine = {name: getattr(self, f"_{name}") for name in _PATCHED}
        try:
            for name, function in mine.items():
                setattr(os, name, function)
            io.open = builtins.open = self._open_file  # type: ignore[assignment]
            yield self
        finally:
            self.remove()

    def remove(self) -> None:
        """Stand between no longer, as in a process that was forked meanwhile."""
        for name, function in self._real.items():
            setattr(os, name, function)
        io.open = builtins.open = REAL_OPEN

    def watched(self, path: Any) -> str | None:
        """Return the absolute path if it lies below the folders."""
        if not isinstance(path, str | os.PathLike):
            return None
        absolute = os.path.abspath(path)
        return absolute if f"{absolute}/".startswith(self._roots) else None

    def note(self, kind: Any, serial: int, **more: Any) -> None:
        """Add an op."""
        with self._lock:
            self.ops.append(Op(kind, serial, **more))

    def written(self, descriptor: int, offset: int, data: bytes) -> None:
        """Note bytes that a write has left at an offset, in the order of the writes."""
        serial = self._serials.get(self._key(os.fstat(descriptor)))
        if serial is not None:
            self.note("write", serial, offset=offset, data=data)

    def opened(self, path: str, descriptor: int, *, existed: bool, truncates: bool) -> None:
        """Note what opening a file for writing has changed."""
        status = os.fstat(descriptor)
        if not existed:
            self._enter(path, status)
        elif truncates:
            self.note("cut", self._serials.get(self._key(status), -1))

    @staticmethod
    def _key(status: os.stat_result) -> tuple[int, int]:
        return status.st_dev, status.st_ino

    def _enter(self, path: str, status: os.stat_result, *, known: bool = False, folder: bool = False) -> None:
        if not known:
            self._count += 1
            self._serials[self._key(status)] = self._count
        serial = self._serials.get(self._key(status), -1)
        if folder:
            self.folders.add(serial)
        self.note("enter", serial, **self._place(path))

    def _place(self, path: str) -> dict[str, Any]:
        return {
            "folder": self._serials.get(self._key(os.stat(os.path.dirname(path))), -1),
            "name": os.path.basename(path),
        }

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        given = self.watched(path) if dir_fd is None else None
        if given is None:
            return self._real["open"](path, flags, mode, dir_fd=dir_fd)
        self.before("open", given)
        with self._lock:
            existed = os.path.lexists(given)
            descriptor = self._real["open"](path, flags, mode)
            self._paths[descriptor] = given
            if flags & (os.O_CREAT | os.O_TRUNC):
                self.opened(given, descriptor, existed=existed, truncates=bool(flags & os.O_TRUNC))
            return descriptor

    def _close(self, descriptor: int) -> None:
        self._paths.pop(descriptor, None)
        self._real["close"](descriptor)

    def _write(self, descriptor: int, data: Any) -> int:
        path = self._paths.get(descriptor)
        if path is None:
            return self._real["write"](descriptor, data)
        self.before("write", path)
        with self._lock:
            offset = _offset(descriptor)
            count = self._real["write"](descriptor, data)
            self.written(descriptor, offset, bytes(data)[:count])
            return count

    def _read(self, descriptor: int, count: int) -> bytes:
        if (path := self._paths.get(descriptor)) is not None:
            self.before("read", path)
        return self._real["read"](descriptor, count)

    def _ftruncate(self, descriptor: int, size: int) -> None:
        if (path := self._paths.get(descriptor)) is not None:
            self.before("truncate", path)
        with self._lock:
            self._real["ftruncate"](descriptor, size)
            if (serial := self._serials.get(self._key(os.fstat(descriptor)))) is not None:
                self.note("cut", serial, offset=size)

    def _fsync(self, descriptor: int) -> None:
        if (path := self._paths.get(descriptor)) is not None:
            self.before("fsync", path)
        since = len(self.ops)
        self._real["fsync"](descriptor)
        if (serial := self._serials.get(self._key(os.fstat(descriptor)))) is not None:
            self.note("sync", serial, since=since)

    def _replace(self, source: Any, target: Any, **more: Any) -> None:
        self._move("replace", source, target, more)

    def _rename(self, source: Any, target: Any, **more: Any) -> None:
        self._move("rename", source, target, more)

    def _move(self, call: str, source: Any, target: Any, more: dict[str, Any]) -> None:
        old, new = self.watched(source), self.watched(target)
        if old is None or new is None:
            self._real[call](source, target, **more)
            return
        self.before("rename", new)
        with self._lock:
            serial = self._serials.get(self._key(os.lstat(old)), -1)
            self._real[call](source, target)
            before = self._place(old)
            self.note("move", serial, **self._place(new), old=(before["folder"], before["name"]))

    def _link(self, source: Any, target: Any, **more: Any) -> None:
        new = self.watched(target)
        if new is not None:
            self.before("link", new)
        with self._lock:
            self._real["link"](source, target, **more)
            if new is not None:
                self._enter(new, os.stat(new), known=True)

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._leave("unlink", path, dir_fd)

    _remove = _unlink

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._leave("rmdir", path, dir_fd)

    def _leave(self, call: str, path: Any, dir_fd: int | None) -> None:
        given = self.watched(path) if dir_fd is None else None
        if given is not None:
            self.before(call, given)
        with self._lock:
            self._real[call](path, dir_fd=dir_fd)
            if given is not None:
                self.note("leave", -1, **self._place(given))

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        given = self.watched(path) if dir_fd is None else None
        if given is not None:
            self.before("mkdir", given)
        with self._lock:
            self._real["mkdir"](path, mode, dir_fd=dir_fd)
            if given is not None:
                self._enter(given, os.stat(given), folder=True)

    def _open_file(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Callable[..., int] | None = None,
    ) -> Any:
        path = self._paths.get(file) if isinstance(file, int) else self.watched(file)
        writes = bool(set(mode) & set("wxa+"))
        if path is None or opener is not None or not (writes or self._reads):
            return REAL_OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
        given = file if isinstance(file, int) else None
        raw = _RawFile(self, path, mode.replace("b", "").replace("t", ""), writes=writes, descriptor=given)
        if buffering == 0:
            return raw
        kind = io.BufferedRandom if "+" in mode else io.BufferedWriter if writes else io.BufferedReader
        buffer = kind(raw)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)


_PATCHED = (
    "open",
    "close",
    "write",
    "read",
    "ftruncate",
    "fsync",
    "replace",
    "rename",
    "link",
    "unlink",
    "remove",
    "rmdir",
    "mkdir",
)


class _RawFile(io.FileIO):
    """A file below its buffer."""

    def __init__(self, calls: FileCalls, path: str, mode: str, *, writes: bool, descriptor: int | None) -> None:
        self._calls, self._path = calls, path
        if descriptor is not None:  # opened, and noted, before
            super().__init__(descriptor, mode)
            return
        calls.before("open", path)
        with calls._lock:
            existed = os.path.lexists(path)
            super().__init__(path, mode)
            if writes:
                calls.opened(path, self.fileno(), existed=existed, truncates="w" in mode)

    def write(self, data: Any) -> int:
        self._calls.before("write", self._path)
        with self._calls._lock:
            offset = _offset(self.fileno())
            count = super().write(data)
            self._calls.written(self.fileno(), offset, bytes(memoryview(data).cast("B")[:count]))
            return count

    def truncate(self, size: int | None = None) -> int:
        self._calls.before("truncate", self._path)
        with self._calls._lock:
            length = super().truncate(size)
            self._calls.note(
                "cut", self._calls._serials.get(self._calls._key(os.fstat(self.fileno())), -1), offset=length
            )
            return length

    def close(self) -> None:
        if not self.closed:
            self._calls._paths.pop(self.fileno(), None)
        super().close()

    def readinto(self, buffer: Any) -> int | None:
        self._calls.before("read", self._path)
        return super().readinto(buffer)

    def readall(self) -> bytes | None:
        self._calls.before("read", self._path)
        return super().readall()


def _offset(descriptor: int) -> int:
    """Return where the next write to a descriptor goes."""
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        return os.fstat(descriptor).st_size
    return os.lseek(descriptor, 0, os.SEEK_CUR)
