"""Small text files that another process, or another user, may have written.

They are read with a limit and from ordinary files only: a pipe under that name would wait for ever, a device never end.
They are replaced through a new file, so that a link which somebody left under the temporary name is not followed.
"""

import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from focus_engine.atomic import naming
from focus_engine.trust_flag import trusted

MOST_BYTES = 1 << 20
"""Size up to which a file counts as small."""
MOST_INTEGER = 1 << 64
"""Larger whole numbers are refused: they fit no float, and no file of FOCUS holds any."""


def open_ordinary(path: Path) -> int:
    """Return the descriptor of an ordinary file, open for reading. Raises OSError for pipes, devices and folders."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    return descriptor


def open_to_append(path: Path) -> int:
    """Return the descriptor of an ordinary file, made if need be, open for reading and for writing at its end.

    What is opened is checked, not what had this name before: somebody may put a link in its place at any moment.

    Raises:
        OSError: the disk refuses, or (but for `--trust`) the file is a link that leads out of the folder above its own,
            has another name too, or is a pipe or a device.
    """
    return _open_inside(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)


def _open_inside(path: Path, flags: int) -> int:
    """Return the descriptor of a file that lies in the folder above its own. Raises OSError as `open_to_append`."""
    flags |= os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        target = path.resolve()
        if error.errno != errno.ELOOP or not (target.is_relative_to(path.parent.parent.resolve()) or trusted()):
            raise
        path = target
        descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o666)
    ordinary = stat.S_ISREG(os.fstat(descriptor).st_mode)
    if ordinary and (has_no_other_name(path, descriptor) or trusted()):
        return descriptor
    os.close(descriptor)
    what = "has another name too (a hard link)" if ordinary else "not an ordinary file"
    raise OSError(errno.EMLINK, what, str(path))


def has_no_other_name(path: Path, descriptor: int) -> bool:
    """Whether the open file has the name `path` alone, or none any more.

    One call tells name and number of names at the same moment: between two of them a hard link can come and go.
    """
    try:
        named = os.lstat(path)
    except FileNotFoundError:
        return os.fstat(descriptor).st_nlink == 0
    return os.path.samestat(os.fstat(descriptor), named) and named.st_nlink == 1


def read_text(path: Path, *, most: int = MOST_BYTES, errors: str = "strict") -> str:
    """Return the text of a file of at most `most` bytes. Raises OSError, and UnicodeDecodeError if it is no UTF-8."""
    return read_owned_text(path, most=most, errors=errors)[0]


def read_inside_text(path: Path) -> str:
    """Return the text of a file that is copied to where others may read it.

    Raises UnicodeDecodeError, and OSError also for what `open_to_append` refuses: a link may lead to a secret.
    """
    return _read_closing(path, _open_inside(path, os.O_RDONLY), MOST_BYTES, "strict")[0]


def read_owned_text(path: Path, *, most: int = MOST_BYTES, errors: str = "strict") -> tuple[str, int]:
    """Return the text of a file and the user id of its owner, of the same file even where others replace it."""
    return _read_closing(path, open_ordinary(path), most, errors)


def _read_closing(path: Path, descriptor: int, most: int, errors: str) -> tuple[str, int]:
    try:
        with naming(path):
            content, owner = read_at_most(descriptor, most + 1), os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    text = content.decode("utf-8", errors)
    return (text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text), owner


def read_at_most(descriptor: int, most: int) -> bytes:
    """Return at most `most` bytes of an open file, from where it stands; lists of runs open no stream for it."""
    parts = []
    while most > 0 and (part := os.read(descriptor, min(most, 1 << 16))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def read_json(path: Path) -> Any:  # noqa: ANN401  (files hold anything)
    """Return the JSON in a file: finite numbers only. Raises OSError or ValueError."""
    return parse_json(read_text(path))


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401  (files hold anything)
    """Return the value of JSON `text`: finite numbers only, no deep nesting. Raises ValueError."""
    try:
        return json.loads(text, parse_int=bounded_integer, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def bounded_integer(text: str) -> int:
    """Return the whole number in `text`. Raises ValueError if it is beyond `MOST_INTEGER`."""
    number = int(text)
    if abs(number) > MOST_INTEGER:
        raise ValueError("a whole number beyond 64 bits")
    return number


def replace_text(path: Path, text: str, *, temporary: Path | None = None) -> None:
    """Replace the file at `path` through `temporary`, by default `path` with `.new`. Raises OSError."""
    temporary = temporary or path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)  # of a killed process, or a link
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with naming(path), os.fdopen(os.open(temporary, flags, 0o666), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return number
