"""Workers forked from a process that has torch loaded, for tests whose law is not how a worker starts.

Importing torch and its optimisers costs a worker three seconds of CPU, and the suite starts sixty workers. A server
without threads imports everything once and forks a worker for each request: a real process with its own pid, session,
signals and exit code, which runs `focus_engine.worker.__main__.main`. Tests marked `real_start` launch workers as users
do.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

WORKER = "focus_engine.worker"


class WarmWorkers:
    """The server, as its client sees it; `module` takes the place of `subprocess` in `focus_engine.launch.start`."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self.module = SimpleNamespace(
            Popen=self.popen, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired
        )

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=(theirs.fileno(),), start_new_session=True
            )
        return ours

    def close(self) -> None:
        """End the server; its workers go on."""
        if self._socket is not None:
            self._socket.close()
            self._server.wait()

    def popen(self, command: Sequence[str], *, stdout: Any, pass_fds: tuple[int, ...], env: dict[str, str], **_: Any):
        """Fork the worker that `command` would start."""
        assert list(command[1:3]) == ["-m", WORKER]
        self._socket = self._socket or self._start()
        read, write = os.pipe()
        order = {"arguments": command[3:], "env": env, "cwd": str(Path.cwd())}
        text = json.dumps(order).encode()
        socket.send_fds(self._socket, [len(text).to_bytes(4, "big")], [stdout.fileno(), pass_fds[0], write])
        self._socket.sendall(text)
        os.close(write)
        return WarmProcess(command, read)


class WarmProcess:
    """A forked worker, with the part of `subprocess.Popen` that a launcher uses."""

    def __init__(self, command: Sequence[str], pipe: int) -> None:
        self.args, self._pipe = command, os.fdopen(pipe)
        self.pid = int(self._pipe.readline())
        self.returncode: int | None = None

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

    def _read(self) -> None:
        self.returncode = int(self._pipe.readline() or -signal.SIGKILL)
        self._pipe.close()


def serve(connection: socket.socket) -> None:
    """Fork a worker for each order, and report exit codes, until the client is gone."""
    pipes: dict[int, int] = {}
    while True:
        ready = select.select([connection], [], [], 0.02 if pipes else None)[0]
        _reap(pipes)
        if not ready:
            continue
        head, fds, *_ = socket.recv_fds(connection, 4, 3)
        if not head:
            return
        text = b""
        while len(text) < int.from_bytes(head, "big"):
            text += connection.recv(65536)
        log, lock, pipe = fds
        pid = os.fork()
        if not pid:
            _work(json.loads(text), log, lock, [connection.fileno(), pipe, *pipes.values()])
        os.write(pipe, f"{pid}\n".encode())
        os.close(log)
        os.close(lock)
        pipes[pid] = pipe


def _reap(pipes: dict[int, int]) -> None:
    while pipes:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        pipe = pipes.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(pipe, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(pipe)


def _work(order: dict[str, Any], log: int, lock: int, others: Sequence[int]) -> None:
    """Be the worker; does not return."""
    code = 70
    try:
        os.setsid()
        for one in others:
            os.close(one)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(order["env"])
        os.environ[LOCK_VARIABLE] = str(lock)
        os.chdir(order["cwd"])
        # As `python -m` with this environment.
        sys.path[:1] = [
            str(Path.cwd()),
            *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
        ]
        from focus_engine.worker.__main__ import main

        code = main(order["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    import torch

    import focus_engine.worker.session  # noqa: F401
    from focus_engine.launch.start import LOCK_VARIABLE
    from focus_engine.worker import __main__ as _main  # noqa: F401

    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).step()  # loads what every optimiser loads
    serve(socket.socket(fileno=int(sys.argv[1])))
