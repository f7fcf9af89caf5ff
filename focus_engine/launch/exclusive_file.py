"""Locks for file systems without flock (Lustre mounted without it): files that only one process can create.

The lock of `run.lock` is the file `.run.lock.held-N` with the highest N; it names its holder. To take the lock is to
create the next N with O_EXCL, which one of many processes can do, and only where the holder of the highest has
released it, is dead, or, on another host, has not touched it for `EXPIRY_SECONDS`. The highest file is never removed:
a slow process that judged an older one then finds that its own is not the highest, and gives up.
"""

import contextlib
import json
import os
import re
import secrets
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from focus_engine.launch.disk_time import age_on_disk
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.small_files import read_json, replace_text

TOUCH_SECONDS = 5.0
EXPIRY_SECONDS = 90.0
"""Age from which a file that another host holds, or that names no holder, is no lock any more."""
_TRIES = 100


class ExclusiveFile:
    """A lock that this process holds.

    Attributes:
        key: identifies it; who knows the key may adopt the lock.
    """

    def __init__(self, file: Path, key: str) -> None:
        self.key = key
        self._file = file
        self._done = threading.Event()
        threading.Thread(target=self._touch, name="focus-lock", daemon=True).start()

    @classmethod
    def take(cls, path: Path) -> "ExclusiveFile | None":
        """Take the lock of `path`; None when another process holds it. Raises OSError when the disk refuses."""
        for _ in range(_TRIES):
            number, newest = _newest(path)
            if newest is not None and _is_held(newest):
                return None
            own, key = _file(path, number + 1), secrets.token_hex(16)
            try:
                os.close(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            except FileExistsError:
                continue
            _write(own, asdict(ProcessIdentity.of_this_process()) | {"key": key, "released": False})
            if _newest(path)[0] == number + 1:
                _remove_below(path, number + 1)
                return cls(own, key)
            own.unlink(missing_ok=True)
        return None

    @classmethod
    def adopt(cls, path: Path, key: str) -> "ExclusiveFile | None":
        """Take over the lock of `path` from the process that gave us its `key`; None when that lost it."""
        newest = _newest(path)[1]
        if newest is None or _read(newest).get("key") != key:
            return None
        _write(newest, asdict(ProcessIdentity.of_this_process()) | {"key": key, "released": False})
        return cls(newest, key)

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether a process holds the lock of `path`."""
        newest = _newest(path)[1]
        return newest is not None and _is_held(newest)

    def hand_over(self, pid: int) -> None:
        """Make the process `pid` of this machine the holder; it adopts the lock by its key."""
        self._done.set()
        identity = ProcessIdentity(pid, host_name(), boot_id(), process_start(pid), 0.0)
        _write(self._file, asdict(identity) | {"key": self.key, "released": False})

    def release(self, *, gone: bool = False) -> None:
        """Release the lock, unless it was handed over; remove its file where the locked one is `gone` for good."""
        if self._done.is_set():
            return
        self._done.set()
        with contextlib.suppress(OSError):
            if gone:
                self._file.unlink(missing_ok=True)
            else:
                _write(self._file, {"key": self.key, "released": True})

    def _touch(self) -> None:
        while not self._done.wait(TOUCH_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(self._file)


def _file(path: Path, number: int) -> Path:
    return path.with_name(f".{path.name}.held-{number:06d}")


def _all(path: Path) -> dict[int, Path]:
    start = re.compile(rf"\.{re.escape(path.name)}\.held-(\d{{6,}})")
    with os.scandir(path.parent) as entries:  # may have 100,000
        found = [one for entry in entries if (one := start.fullmatch(entry.name)) is not None]
    return {int(one.group(1)): path.with_name(one.group(0)) for one in found}


def _newest(path: Path) -> tuple[int, Path | None]:
    files = _all(path)
    number = max(files, default=0)
    return number, files.get(number)


def _remove_below(path: Path, number: int) -> None:
    for other, file in _all(path).items():
        if other < number:
            with contextlib.suppress(OSError):
                file.unlink()


def _read(file: Path) -> dict[str, Any]:
    """Return the content of a lock file; empty while its holder has not written it yet."""
    try:
        row = read_json(file)
    except (OSError, ValueError):
        return {}
    return row if isinstance(row, dict) else {}


def _is_held(file: Path) -> bool:
    if _read(file).get("released") is True:
        return False
    holder = ProcessIdentity.read(file)
    life = "elsewhere" if holder is None else holder.life()
    return life == "alive" or (life == "elsewhere" and age_on_disk(file) <= EXPIRY_SECONDS)


def _write(file: Path, row: dict[str, Any]) -> None:
    """Replace the content of a lock file at once; its name is never free meanwhile."""
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
    replace_text(file, json.dumps(row) + "\n", temporary=temporary)
