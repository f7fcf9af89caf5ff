"""Processes forked from one that has torch and matplotlib loaded, for tests whose law is not how a process starts.

Importing torch and its optimisers costs a worker three seconds of CPU, matplotlib one, and the suite starts hundreds
of workers, ranks and figure processes. A server without threads (`warm_server.py`) imports everything once, for all
processes of pytest-xdist together, and forks a process for each request: a real one with its own pid, session, signals
and exit code, which runs the `main` of the module that the command names. Its parent is the server. Tests marked
`real_start` start processes as users do: all, or those of the modules that the mark names.
"""

import contextlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

PATCHED = (
    *("focus_engine.launch.start", "focus_engine.launch.torchrun", "focus_engine.worker.artist"),
    "focus_tui.dashboard.jobs",
)
"""Modules whose `subprocess` is replaced."""
FORKED = (
    *("focus_engine.worker", "focus_engine.worker.artist", "focus_engine.worker.rank"),
    *("focus_engine.worker.local_ranks", "focus_tui"),
)
"""Modules that are forked; other commands are started."""
REAL_VARIABLE = "FOCUS_TEST_REAL_START"
"""Environment variable that names the modules of `FORKED` that are started nevertheless."""
USUAL_DRAWS_VARIABLE = "FOCUS_TEST_USUAL_DRAWS"
"""Environment variable that lets forked processes measure validation losses on as many draws as a user's."""
COMMAND = "python -m "
"""How the name of the file in memory begins by which a forked process shows its command in /proc."""
DESCRIPTORS = ("stdin", "stdout", "stderr", "pipe", "lock")


class WarmWorkers:
    """The server, as its client sees it; `module` takes the place of `subprocess` in the modules `PATCHED`."""

    def __init__(self, server: str | None = None) -> None:
        """Ask the server at the socket `server`; None starts one at the first request."""
        self._address = server
        self._server: subprocess.Popen[bytes] | None = None
        self.module = SimpleNamespace(
            Popen=self.popen,
            PIPE=subprocess.PIPE,
            DEVNULL=subprocess.DEVNULL,
            TimeoutExpired=subprocess.TimeoutExpired,
        )

    def start(self) -> str:
        """Start the server and return its address; requests wait until it has imported everything."""
        self._folder = tempfile.TemporaryDirectory(prefix="focus-warm-")
        address = str(Path(self._folder.name) / "socket")
        self._alive, theirs = socket.socketpair()
        with theirs, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(64)
            given = (theirs.fileno(), listener.fileno())
            command = [sys.executable, str(Path(__file__).with_name("warm_server.py")), *map(str, given)]
            self._server = subprocess.Popen(command, pass_fds=given, start_new_session=True)
        return address

    def close(self) -> None:
        """End the server; what it forked goes on."""
        if self._server is not None:
            self._alive.close()
            self._server.wait()
            self._folder.cleanup()

    def python(self, path: Path) -> Path:
        """Write a program to `path` that takes the place of `python` in scripts, and return it."""
        self._address = self._address or self.start()
        shim = [sys.executable, "-S", "-E", str(Path(__file__).with_name("warm_python.py")), self._address]
        path.write_text(f'#!/bin/sh\nexec {shlex.join(shim)} "$@"\n', encoding="utf-8")
        path.chmod(0o755)
        return path

    def popen(self, args: Sequence[str], **options: Any) -> "WarmProcess | subprocess.Popen[bytes]":
        """Fork the process that `subprocess.Popen` would start; other commands than `python -m FORKED` are started."""
        module, arguments = _module_of(args)
        if module not in FORKED or module in os.environ.get(REAL_VARIABLE, "").split():
            return subprocess.Popen(args, **options)
        self._address = self._address or self.start()
        connection = socket.socket(socket.AF_UNIX)
        with connection:
            try:
                connection.connect(self._address)
            except OSError:  # the tests are over, and this process outlives them
                return subprocess.Popen(args, **options)
            order = {"module": module, "arguments": arguments, "cwd": str(Path.cwd()), "umask": _umask()}
            return _ask(connection, args, order | {"env": dict(options.get("env") or os.environ)}, options)


def commands_of(*words: str) -> list[str]:
    """Return the ids of the forked processes whose command contains all `words`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            open_files = [str(one.readlink()) for one in (process / "fd").iterdir()]
            command = next((name for name in open_files if name.startswith(f"/memfd:{COMMAND}")), "")
            found += [process.name] if command and all(word in command for word in words) else []
    return found


def _module_of(args: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the module and the arguments of `python -m`; None for another command."""
    words = list(args)
    if words[0] != sys.executable or "-m" not in words[1:3]:
        return None, []
    start = words.index("-m") + 1
    return words[start], words[start + 1 :]


def _umask() -> int:
    """Return the umask of this process; os.umask would change it for the other threads."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("Umask:")), 8)


def _ask(
    connection: socket.socket, args: Sequence[str], order: dict[str, Any], options: dict[str, Any]
) -> "WarmProcess":
    read, write = os.pipe()
    stdin: IO[bytes] | None = None
    with contextlib.ExitStack() as closing:
        closing.callback(os.close, write)
        nothing = os.open(os.devnull, os.O_RDWR)
        closing.callback(os.close, nothing)
        sent = [_descriptor(options.get(name), number, nothing) for number, name in enumerate(DESCRIPTORS[:3])]
        if options.get("stdin") == subprocess.PIPE:
            sent[0], ours = os.pipe()
            closing.callback(os.close, sent[0])
            stdin = os.fdopen(ours, "wb", buffering=0)
        socket.send_fds(connection, [json.dumps(order).encode()], [*sent, write, *options.get("pass_fds", (nothing,))])
        connection.shutdown(socket.SHUT_WR)
    return WarmProcess(args, read, stdin)


def _descriptor(given: Any, number: int, nothing: int) -> int:
    if given is None:
        return number
    return nothing if isinstance(given, int) else int(given.fileno())


class WarmProcess:
    """A forked process, with the part of `subprocess.Popen` that its callers use."""

    def __init__(self, args: Sequence[str], pipe: int, stdin: IO[bytes] | None) -> None:
        self.args, self.stdin, self._pipe, self._lock = args, stdin, pipe, threading.Lock()
        self.pid = int(self._line())
        self.returncode: int | None = None

    def __del__(self) -> None:
        os.close(self._pipe)

    def poll(self) -> int | None:
        """Return the exit code once it has ended."""
        if self.returncode is None and select.select([self._pipe], [], [], 0)[0]:
            self._read()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code."""
        if self.returncode is None:
            if not select.select([self._pipe], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._read()
        assert self.returncode is not None
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def _read(self) -> None:
        with self._lock:  # a thread may wait while another polls
            if self.returncode is None:
                self.returncode = int(self._line() or -signal.SIGKILL)

    def _line(self) -> bytes:
        line = b""
        while (byte := os.read(self._pipe, 1)) not in {b"", b"\n"}:
            line += byte
        return line
