"""The stop file of a run, `logs/stop`: exists while a stop is requested, and says when, by whom and since when.

Requests are files because only the worker writes the event log: another host cannot append to a file on NFS without
the danger of overwriting what the worker appends. The worker sees the file, records the request and obeys it; readers
show a run with a stop file as stopping. A later request replaces an earlier one.
"""

import json
import os
import pwd
import secrets
import time
from dataclasses import asdict, dataclass
from typing import Literal

from focus_engine.errors import FocusError
from focus_engine.launch.process import host_name
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import parse_json, read_text, replace_text

When = Literal["epoch", "now"]
SIZE = 511
"""Bytes of a stop file: all have the same, because a client of a network disk may read it by the size of the last."""


@dataclass(frozen=True)
class StopRequest:
    """A request to stop.

    Attributes:
        when: after the current epoch, or now.
        key: identifies the request; empty in the file of an earlier version, which holds the one word alone.
        host: the machine that it comes from.
        pid: the process.
        user: its user.
        time: when it was made [Unix seconds].
    """

    when: When
    key: str = ""
    host: str | None = None
    pid: int | None = None
    user: str | None = None
    time: float | None = None


def write_stop_request(run: RunFolder, when: When) -> StopRequest:
    """Ask the worker of `run` to stop and return the request. Raises FocusError when the folder cannot be written."""
    key = secrets.token_hex(8)
    request = StopRequest(when, key, host_name(), os.getpid(), _user(), time.time())
    temporary = run.stop_request.with_name(f"stop.{key}.new")  # of this request alone: others may write at once
    try:
        replace_text(run.stop_request, json.dumps(asdict(request)).ljust(SIZE) + "\n", temporary=temporary)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FocusError(f"{run.stop_request} cannot be written: {error.strerror}") from None
    return request


def stop_request_of(run: RunFolder) -> StopRequest | None:
    """Return the request in the stop file, or None without one; a file without a known word asks for an epoch's end."""
    try:
        text = read_text(run.stop_request, errors="replace").strip()
    except OSError:
        return None
    try:
        row = parse_json(text)
        when: When = "now" if row["when"] == "now" else "epoch"
        known = {name: row[name] for name, kind in _KINDS.items() if type(row.get(name)) is kind}
        return StopRequest(when, **known)
    except (ValueError, KeyError, TypeError, AttributeError):
        return StopRequest("now" if text == "now" or text.startswith('{"when": "now"') else "epoch")


_KINDS = {"key": str, "host": str, "pid": int, "user": str, "time": float}


def read_stop_request(run: RunFolder) -> When | None:
    """Return when the stop file asks the worker to stop, or None without a request."""
    request = stop_request_of(run)
    return None if request is None else request.when


def _user() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a uid without a name
        return None
