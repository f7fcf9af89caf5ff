"""Launching and watching the ranks of a run: the processes, one a device, that torch.distributed.run starts.

Ranks appear in five places: this module launches them, `rank_files` holds the record each writes, `worker/rank.py` is
the process itself, `training/ranks.py` is what the processes exchange, and `data/batches.Share` is each one's part of
a batch. The worker remains the process of the run: it holds the lock, keeps the heartbeat and records the outcome.
The ranks are its grandchildren; rank 0 writes events and checkpoints.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from focus_engine.errors import FocusError, InputError
from focus_engine.events.log import EventTail
from focus_engine.events.table import Event
from focus_engine.launch.process import ProcessIdentity, host_name
from focus_engine.launch.rank_files import RankRecord, read_rank_records
from focus_engine.launch.stop_request import write_stop_request
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import open_to_append

DEVICES_VARIABLE = "FOCUS_DEVICES"
"""Environment variable that holds torch's names of the devices of this machine's ranks, separated by commas."""
POLL_SECONDS = 0.1
END_SECONDS = 40.0
"""How long torch.distributed.run may take to end its ranks after SIGTERM."""
DEFAULT_PORT = 29400
BACKEND = "focus-local"
"""Rendezvous backend of the ranks of one machine (`worker/local_ranks.py`)."""


def nodes_of_job() -> int:
    """Return the number of nodes of the SLURM job of this process; 1 outside a job."""
    return int(os.environ.get("SLURM_JOB_NUM_NODES", "1") or 1)


def launch_command(run: RunFolder, devices: int, restarts: int, arguments: Sequence[str]) -> list[str]:
    """Return the command that starts the ranks: `devices` of them on this machine, or on each node of a SLURM job."""
    nodes = nodes_of_job()
    count = f"--nproc-per-node={devices}"
    ranks = [f"--max-restarts={restarts}", "-m", "focus_engine.worker.rank", str(run.path), *arguments]
    if nodes == 1:
        local = [f"--rdzv-backend={BACKEND}", "--rdzv-id=local", "--local-addr=127.0.0.1"]
        return [sys.executable, "-m", "focus_engine.worker.local_ranks", count, *local, *ranks]
    job = os.environ.get("SLURM_JOB_ID", "0")
    port = DEFAULT_PORT + int(job) % 1000 if job.isdecimal() else DEFAULT_PORT
    meeting = [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-id={job}", f"--rdzv-endpoint={host_name()}:{port}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", count]
    return ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", *torchrun, *meeting, *ranks]


def train_on_ranks(
    run: RunFolder, command: Sequence[str], devices: Sequence[str], stop_signalled: Callable[[], bool]
) -> Generator[Event, None, dict[str, Any]]:
    """Run `command`, yielding the events that rank 0 writes to the log; return its outcome.

    Once `stop_signalled` returns true, the stop file tells the ranks to stop now.

    Raises:
        InputError, FocusError: a rank failed; the message names it, its traceback is in worker.log.
    """
    folder = run.ranks
    kill_leftover_ranks(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tail = EventTail(run.events)
    tail.poll()
    with os.fdopen(open_to_append(run.worker_log), "ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # the worker passes Ctrl-C on
            env=_environment(devices),
        )
    told = False
    try:
        while (exit_code := process.poll()) is None:
            yield from tail.poll()
            if not told and stop_signalled():
                told = True
                write_stop_request(run, "now")
            time.sleep(POLL_SECONDS)
            lead = next((one for one in read_rank_records(folder) if one.rank == 0), None)
            if lead is not None and lead.how == "done":
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)
                break
        yield from tail.poll()
    finally:
        _end(process, folder)
    records = read_rank_records(folder)
    if records and records[0].rank == 0 and records[0].how == "done":
        return records[0].outcome
    raise _failure(records, exit_code)


def _environment(devices: Sequence[str]) -> dict[str, str]:
    environment = {**os.environ, DEVICES_VARIABLE: ",".join(devices)}
    if nodes_of_job() == 1:  # all ranks are here: no other machine needs to reach them
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            environment.setdefault(variable, "lo")
    return environment


def _end(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """End torch.distributed.run and its ranks, so that none outlives the recorded outcome."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    kill_leftover_ranks(folder)


def kill_leftover_ranks(folder: Path) -> None:
    """Kill the ranks on this host that are still alive, and wait until they are gone."""
    identities = [ProcessIdentity.from_row(one.identity) for one in read_rank_records(folder)]
    living = [identity for identity in identities if identity.life() == "alive"]
    for identity in living:
        with contextlib.suppress(ProcessLookupError):
            os.kill(identity.pid, signal.SIGKILL)
    while any(identity.life() == "alive" for identity in living):
        time.sleep(POLL_SECONDS)


def _failure(records: Sequence[RankRecord], exit_code: int | None) -> FocusError:
    """Return the error of a rank that was killed, else of the rank that failed first."""
    for one in records:
        if one.how == "running":
            return FocusError(
                f"rank {one.rank} (process {one.identity['pid']} on {one.identity['host']}) was killed: by a signal, "
                "or because the machine was out of memory"
            )
    failed = sorted((one for one in records if one.how == "failed"), key=lambda one: one.when)
    for one in failed:
        return (InputError if one.user_error else FocusError)(f"rank {one.rank}: {one.message}")
    return FocusError(f"torch.distributed.run ended (exit {exit_code}) before its ranks began: see worker.log")
