"""Locks between processes: flock, which ends with its process, or an exclusive file where the disk has no flock."""

import errno
import fcntl
import os
import stat
from pathlib import Path

from focus_engine.launch.exclusive_file import ExclusiveFile
from focus_engine.small_files import has_no_other_name

NO_FLOCK = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
"""Errors of a file system that has no flock, or whose lock server does not answer."""
_EXCLUSIVE = "file:"


class FileLock:
    """A lock that this process holds until it releases it or ends.

    Attributes:
        descriptor: of the open file; with flock it is the lock.
    """

    def __init__(self, descriptor: int, exclusive: ExclusiveFile | None) -> None:
        self.descriptor = descriptor
        self._exclusive = exclusive

    @classmethod
    def take(cls, path: Path, *, named: Path | None = None) -> "FileLock | None":
        """Lock the file at `path`, made if need be; None when another process holds it.

        `named` is the name that the file gets later, by which others know it. Raises OSError when the disk refuses.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            _check_own(path, descriptor)
            if _flock(descriptor):
                return cls(descriptor, None)
            if (exclusive := ExclusiveFile.take(named or path)) is not None:
                return cls(descriptor, exclusive)
        except BlockingIOError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @classmethod
    def adopt(cls, path: Path, token: str) -> "FileLock | None":
        """Return the lock of `path` that the process which started this one handed over; None when it is none."""
        if token.startswith(_EXCLUSIVE):
            return cls._adopt_exclusive(path, token.removeprefix(_EXCLUSIVE))
        try:
            if not os.path.samestat(os.fstat(int(token)), path.stat()):
                return None
            fcntl.flock(int(token), fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.set_inheritable(int(token), False)  # figure processes must not keep the run locked
        except (OSError, ValueError):
            return None
        return cls(int(token), None)

    @classmethod
    def _adopt_exclusive(cls, path: Path, key: str) -> "FileLock | None":
        try:
            exclusive = ExclusiveFile.adopt(path, key)
            return None if exclusive is None else cls(os.open(path, os.O_RDWR | os.O_CLOEXEC), exclusive)
        except OSError:
            return None

    @property
    def token(self) -> str:
        """By what a process that inherits `descriptor` adopts the lock."""
        return str(self.descriptor) if self._exclusive is None else f"{_EXCLUSIVE}{self._exclusive.key}"

    def hand_over(self, pid: int) -> None:
        """Leave the lock to the process `pid`, which inherited `descriptor`."""
        if self._exclusive is not None:
            self._exclusive.hand_over(pid)

    def write(self, content: str) -> None:
        """Replace the content of the locked file. Raises OSError."""
        os.ftruncate(self.descriptor, 0)
        os.write(self.descriptor, content.encode(errors="replace"))

    def release(self, *, gone: bool = False) -> None:
        """Release the lock, unless it was handed over; an inherited flock is held by who inherited it.

        `gone`: the file is gone, and no other gets its name.
        """
        if self._exclusive is not None:
            self._exclusive.release(gone=gone)
        os.close(self.descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of the file at `path`, or may: a file that cannot be asked is not free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    try:
        return not _flock(descriptor, fcntl.LOCK_SH) and ExclusiveFile.is_held(path)
    except OSError:
        return True
    finally:
        os.close(descriptor)


def _check_own(path: Path, descriptor: int) -> None:
    """Raise OSError if the file has another name: the lock is written to, and that name may be of a precious file."""
    status = os.fstat(descriptor)
    if status.st_nlink > 1 or not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EMLINK, "is a hard link or no ordinary file: remove it", str(path))
    if not has_no_other_name(path, descriptor):
        raise BlockingIOError(errno.EAGAIN, "is being replaced", str(path))


def _flock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock the open file; return False where the disk has no flock. Raises BlockingIOError when another holds it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_FLOCK:
            return False
        raise
    return True
