"""Several processes that train one run, started and watched: torch.distributed.run, and what its ranks leave behind.

The worker stays the process that the run is known by: it holds the lock, beats, and has the last word. The ranks are
its grandchildren; rank 0 writes events and checkpoints. Each rank leaves a file in `logs/ranks`: who it is, and how
it ended. A rank that left no end was killed.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from focus_engine.errors import FocusError, InputError
from focus_engine.events.log import EventTail
from focus_engine.events.table import Event
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.runs.folder import RunFolder

DEVICES_VARIABLE = "FOCUS_DEVICES"
"""Torch's names of the devices of this machine's ranks, with commas between."""
POLL_SECONDS = 0.1
END_SECONDS = 40.0
"""How long torch.distributed.run may take to end its ranks when it is asked to."""
DEFAULT_PORT = 29400


@dataclass(frozen=True)
class RankEnd:
    """How a rank ended: one of the files in `logs/ranks`.

    Attributes:
        rank: its number.
        attempt: 0, or which restart of torch.distributed.run it belonged to.
        identity: which process it was.
        how: `running` until it ends; then `done`, `failed`, or `terminated` when it was asked to end.
        when: Unix seconds.
        message: what went wrong, in a sentence.
        user_error: whether what the user gave was wrong.
        outcome: of rank 0 when it is done: state, why, where, peak_memory.
    """

    rank: int
    attempt: int
    identity: dict[str, Any]
    how: str = "running"
    when: float = field(default_factory=time.time)
    message: str = ""
    user_error: bool = False
    outcome: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it in place of what this rank wrote before. Raises OSError."""
        path = folder / f"attempt_{self.attempt}_rank_{self.rank}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
        temporary.replace(path)


def own_identity() -> ProcessIdentity:
    """Return which process this is."""
    return ProcessIdentity(os.getpid(), host_name(), boot_id(), process_start(os.getpid()), time.time())


def read_ranks(folder: Path) -> list[RankEnd]:
    """Return what the ranks of the last attempt left, by rank; files that cannot be read are left out."""
    found = []
    for path in sorted(folder.glob("attempt_*_rank_*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found.append(RankEnd(**json.loads(path.read_text(encoding="utf-8"))))
    last = max((one.attempt for one in found), default=0)
    return sorted((one for one in found if one.attempt == last), key=lambda one: one.rank)


def nodes_of_job() -> int:
    """Return over how many nodes the SLURM job of this process reaches; 1 where there is none."""
    return int(os.environ.get("SLURM_JOB_NUM_NODES", "1") or 1)


def launch_command(run: RunFolder, devices: int, restarts: int, arguments: Sequence[str]) -> list[str]:
    """Return the command that starts the ranks: `devices` on this machine, or on each node of a SLURM job."""
    nodes = nodes_of_job()
    python = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={devices}"]
    ranks = [f"--max-restarts={restarts}", "-m", "focus_engine.worker.rank", str(run.path), *arguments]
    if nodes == 1:
        return [*python, "--standalone", "--local-addr=127.0.0.1", *ranks]
    job = os.environ.get("SLURM_JOB_ID", "0")
    port = DEFAULT_PORT + int(job) % 1000 if job.isdecimal() else DEFAULT_PORT
    meeting = [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-id={job}", f"--rdzv-endpoint={host_name()}:{port}"]
    return ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", *python, *meeting, *ranks]


def train_on_ranks(
    run: RunFolder, command: Sequence[str], devices: Sequence[str], wants_now: "StopAsked"
) -> Generator[Event, None, dict[str, Any]]:
    """Run `command`, yielding the events that rank 0 writes to the log; return its outcome.

    Raises:
        InputError, FocusError: a rank failed; the message names it, its traceback is in worker.log.
    """
    folder = run.ranks
    end_ranks_left_over(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tail = EventTail(run.events)
    tail.poll()
    with run.worker_log.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is the worker's to pass on
            env=_environment(devices),
        )
    try:
        while (gone := process.poll()) is None:
            yield from tail.poll()
            if wants_now():
                run.stop_request.write_text("now\n", encoding="ascii")
            time.sleep(POLL_SECONDS)
            lead = next((one for one in read_ranks(folder) if one.rank == 0), None)
            if lead is not None and lead.how == "done":
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)
                break
        yield from tail.poll()
    finally:
        _end(process, folder)
    ranks = read_ranks(folder)
    if ranks and ranks[0].rank == 0 and ranks[0].how == "done":
        return ranks[0].outcome
    raise _failure(ranks, gone)


class StopAsked:
    """Whether the worker was asked, by a signal, to stop now: true once, so that the ranks are told once."""

    def __init__(self, switch: Any) -> None:  # noqa: ANN401  (switch.StopSwitch)
        self._switch, self._told = switch, False

    def __call__(self) -> bool:
        """Whether to tell the ranks now."""
        if self._told or not self._switch.signalled:
            return False
        self._told = True
        return True


def _environment(devices: Sequence[str]) -> dict[str, str]:
    environment = {**os.environ, DEVICES_VARIABLE: ",".join(devices)}
    if nodes_of_job() == 1:  # all of them are here: nobody else may listen
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            environment.setdefault(variable, "lo")
    return environment


def _end(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Let nothing of it outlive the worker's last word."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    end_ranks_left_over(folder)


def end_ranks_left_over(folder: Path) -> None:
    """Kill the ranks on this host that still live, and wait until they are gone."""
    identities = [ProcessIdentity(**one.identity) for one in read_ranks(folder)]
    living = [identity for identity in identities if identity.life() == "alive"]
    for identity in living:
        with contextlib.suppress(ProcessLookupError):
            os.kill(identity.pid, signal.SIGKILL)
    while any(identity.life() == "alive" for identity in living):
        time.sleep(POLL_SECONDS)


def _failure(ranks: Sequence[RankEnd], exit_code: int | None) -> FocusError:
    """What went wrong first: a rank that was killed, else the first that failed."""
    for one in ranks:
        if one.how == "running":
            return FocusError(
                f"rank {one.rank} (process {one.identity['pid']} on {one.identity['host']}) was killed: by somebody, "
                "or for want of memory"
            )
    failed = sorted((one for one in ranks if one.how == "failed"), key=lambda one: one.when)
    for one in failed:
        return (InputError if one.user_error else FocusError)(f"rank {one.rank}: {one.message}")
    return FocusError(f"torch.distributed.run ended (exit {exit_code}) before its ranks began: see worker.log")


def failed_before(folder: Path, attempt: int) -> Iterator[RankEnd]:
    """Yield how the ranks of the attempt before `attempt` ended, where they failed."""
    for path in sorted(folder.glob(f"attempt_{attempt - 1}_rank_*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            one = RankEnd(**json.loads(path.read_text(encoding="utf-8")))
            if one.how in {"failed", "running"}:
                yield one
