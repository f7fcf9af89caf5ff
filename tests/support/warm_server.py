"""The process that `warm_workers` forks from: `python warm_server.py CLIENT LISTENER`, which are descriptors.

It has no threads, and ends when the client's descriptor is closed. Each request is one connection with the arguments
as JSON and five descriptors: standard input, output and error, the pipe to which pid and exit code are written, and
the lock of the run (or a null device).
"""

import contextlib
import json
import os
import runpy
import select
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from preload import leave_figures_undrawn, load_figures, load_optimiser, validate_on_few
from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler
from warm_workers import COMMAND, DESCRIPTORS, PATCHED, USUAL_DRAWS_VARIABLE, WarmWorkers

from focus_engine.launch.run_lock import LOCK_VARIABLE
from focus_engine.worker import __main__ as worker
from focus_engine.worker import artist, local_ranks, rank
from focus_tui import __main__ as focus


def _be_a_rank() -> None:
    """Be `python -m focus_engine.worker.rank`, which exits by itself, without the end of Python.

    In that end torch now and then aborts below the threads of the process group; here it aborts always.
    """
    runpy.run_path(rank.__file__, run_name="__main__")
    os.abort()


MAINS: dict[str, Callable[[], int | None]] = {
    "focus_engine.worker": worker.main,
    "focus_engine.worker.artist": artist.main,
    "focus_engine.worker.rank": _be_a_rank,
    "focus_engine.worker.local_ranks": local_ranks.main,
    "focus_tui": focus.main,
}


def serve(client: int, listener: socket.socket) -> None:
    """Fork a process for each request, and report exit codes, until the descriptor `client` is closed."""
    pipes: dict[int, int] = {}
    while True:
        ready = select.select([client, listener], [], [], 0.02 if pipes else None)[0]
        _reap(pipes)
        if client in ready:
            return
        if listener in ready:
            connection = listener.accept()[0]
            with connection:
                text, descriptors = _receive(connection)
            pid = os.fork()
            if not pid:
                _be(json.loads(text), descriptors, [client, listener.fileno(), *pipes.values()], listener.getsockname())
            pipes[pid] = descriptors.pop(DESCRIPTORS.index("pipe"))
            for one in descriptors:
                os.close(one)


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    text, descriptors, *_ = socket.recv_fds(connection, 65536, len(DESCRIPTORS))
    while more := connection.recv(65536):
        text += more
    return text, descriptors


def _reap(pipes: dict[int, int]) -> None:
    while pipes:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        pipe = pipes.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(pipe, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(pipe)


def _be(order: dict[str, Any], descriptors: Sequence[int], others: Sequence[int], server: str) -> None:
    """Be the process that was ordered; does not return."""
    code = 70
    try:
        os.setsid()  # before the pid is known, because a process group may be signalled
        for one in others:
            os.close(one)
        *standard, pipe, lock = descriptors
        os.write(pipe, f"{os.getpid()}\n".encode())
        os.close(pipe)
        for target, source in enumerate(standard):
            os.dup2(source, target)
            os.close(source)
        _prepare(order, lock, server)
        code = MAINS[order["module"]]() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _prepare(order: dict[str, Any], lock: int, server: str) -> None:
    """Set what `python -m` with this environment sets, and fork what this process starts from the server too."""
    os.environ.clear()
    os.environ.update(order["env"])
    if os.environ.get(LOCK_VARIABLE, "").isdecimal():
        os.environ[LOCK_VARIABLE] = str(lock)
    validate_on_few(unless=bool(os.environ.get(USUAL_DRAWS_VARIABLE)))
    os.chdir(order["cwd"])
    os.umask(order["umask"])
    command = " ".join([COMMAND + order["module"], *order["arguments"]])
    os.memfd_create(command if len(command) < 250 else f"{command[:100]}...{command[-146:]}")  # the system's limit: 249
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = [str(Path.cwd()), *paths]
    sys.argv = [order["module"], *order["arguments"]]
    warm = WarmWorkers(server)
    for module in PATCHED:
        import_module(module).subprocess = warm.module  # type: ignore[attr-defined]
    subprocess_handler.Popen = warm.popen


if __name__ == "__main__":
    load_optimiser()
    load_figures()
    leave_figures_undrawn()
    with socket.socket(fileno=int(sys.argv[2])) as listening:
        serve(int(sys.argv[1]), listening)
