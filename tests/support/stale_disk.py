"""A network disk with stale sizes: `python stale_disk.py FOLDER MOUNT` mounts FOLDER at MOUNT through FUSE.

The kernel keeps names, sizes and times of this mount for `STALE_SECONDS` and then appends where it believes the file to
end, as an NFS client does. Another mount of the same folder is another client with a view of its own. Needs libfuse2
and fusepy, which `make test-faults` installs, and the right to mount.
"""

# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH208

import errno
import os
import sys
from typing import Any

from fuse import FUSE, FuseOSError, Operations  # type: ignore[import-not-found]

STALE_SECONDS = 30.0
_TIMES = ("st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid")


class Passthrough(Operations):  # type: ignore[misc]
    """The files of a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __call__(self, op: str, path: str, *args: Any) -> Any:
        """Run an operation on the file at `path` below the folder."""
        try:
            return super().__call__(op, self._folder + path, *args)
        except OSError as error:
            raise FuseOSError(error.errno or errno.EIO) from None

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:  # noqa: ARG002
        status = os.lstat(path)
        return {name: getattr(status, name) for name in _TIMES}

    def readdir(self, path: str, fh: int) -> list[str]:  # noqa: ARG002
        return [".", "..", *os.listdir(path)]

    def open(self, path: str, flags: int) -> int:
        return os.open(path, flags & ~(os.O_APPEND | os.O_CREAT | os.O_EXCL))

    def create(self, path: str, mode: int, fi: Any = None) -> int:  # noqa: ARG002
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:  # noqa: ARG002
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:  # noqa: ARG002
        os.truncate(path, length)

    def release(self, path: str, fh: int) -> None:  # noqa: ARG002
        os.close(fh)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, self._folder + new)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def utimens(self, path: str, times: Any = None) -> None:
        os.utime(path, times)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(path, mode)


if __name__ == "__main__":
    FUSE(
        Passthrough(sys.argv[1]),
        sys.argv[2],
        foreground=True,
        nothreads=True,
        attr_timeout=STALE_SECONDS,
        entry_timeout=STALE_SECONDS,
        negative_timeout=0,
    )
