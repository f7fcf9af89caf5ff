"""One of several processes of a run: `python -m focus_engine.worker.rank RUN_DIR`, started by torch.distributed.run.

All ranks do the same; rank 0 alone writes. A rank leaves a note of how it ended in `logs/ranks`, and ends at once
when the worker or torch.distributed.run, which watch over it, are gone.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from focus_engine.errors import FocusError, InputError
from focus_engine.events.outcome import Outcome
from focus_engine.events.table import Event, Warned
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.torchrun import DEVICES_VARIABLE, RankEnd, failed_before, own_identity
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.training.devices import choose_device
from focus_engine.training.ranks import Ranks
from focus_engine.worker.recorder import Recorder, describe_failure, peak_memory
from focus_engine.worker.session import train_run
from focus_engine.worker.stop import StopNow, StopSwitch

WATCH_SECONDS = 0.5
GRACE_SECONDS = 20.0
"""A rank that is asked to end waits so long for rank 0 to stop them all with a checkpoint."""
ABANDONED = 75


class Silent(Recorder):
    """The recorder of a rank that does not write."""

    def record(self, event: Event) -> Event:
        """Return `event`."""
        return event


def main(arguments: list[str] | None = None) -> int:
    """Train the run as one rank; return 1 when it failed, 2 when what the user gave is wrong."""
    parser = argparse.ArgumentParser(prog="python -m focus_engine.worker.rank", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args(arguments)
    run = RunFolder(given.run.absolute())
    rank, attempt = int(os.environ["RANK"]), int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    end = RankEnd(rank, attempt, own_identity().__dict__)
    end.write(run.ranks)
    _watch_over(run)
    _mind_signals(run, end)
    switch = StopSwitch(run)
    with ExitStack() as closing:
        if rank == 0:
            closing.enter_context(switch.listening(foreground=False))
        try:
            outcome = _train(run, switch, closing, rank=rank, attempt=attempt, resume=given.resume or attempt > 0)
        except BaseException as error:  # noqa: BLE001  (a process border: whatever happened is this rank's last word)
            if isinstance(error, StopNow):
                outcome = Outcome("stopped", "asked to stop before training began")
            else:
                return _fail(run, end, error)
        told = {"state": outcome.state, "why": outcome.why, "where": outcome.where, "peak_memory": peak_memory()}
        done = told if rank == 0 else {}
        replace(end, how="done", when=time.time(), outcome=done).write(run.ranks)
    return 0


def _train(run: RunFolder, switch: StopSwitch, closing: ExitStack, *, rank: int, attempt: int, resume: bool) -> Outcome:
    recorder = Recorder(run) if rank == 0 else Silent(run)
    device = _own_device()
    ranks = Ranks.join(choose_device(device))
    for one in failed_before(run.ranks, attempt) if attempt else ():
        what = one.message or f"process {one.identity['pid']} was killed"
        message = f"restart {attempt} from the last checkpoint, for rank {one.rank} failed: {what}"
        recorder.record(Warned(code="restart", message=message))
    training = train_run(
        run, recorder, switch, closing, resume=resume, device=device, began=recorder.began, ranks=ranks
    )
    outcome = drain(training)
    if recorder.training:  # before that, others may not have got as far
        ranks.leave()
    return outcome


def _own_device() -> str:
    """This rank's device: one of those that the worker was given, else the GPU of its number."""
    local, count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    devices = os.environ.get(DEVICES_VARIABLE, "").split(",")
    if len(devices) == count:
        return devices[local]
    return "cpu" if devices == ["cpu"] or not torch.cuda.is_available() else f"cuda:{local}"


def _fail(run: RunFolder, end: RankEnd, error: BaseException) -> int:
    with contextlib.suppress(OSError):
        if not isinstance(error, FocusError):
            traceback.print_exception(error)
        message = describe_failure(error)
        failed = replace(end, how="failed", when=time.time(), message=message, user_error=isinstance(error, InputError))
        failed.write(run.ranks)
    sys.stderr.flush()
    os._exit(error.exit_code if isinstance(error, FocusError) else 1)  # the meeting's threads would wait for the others


def _watch_over(run: RunFolder) -> None:
    """End this process at once when those who would end it are gone: its parent, or the worker on this host."""
    parent, worker = os.getppid(), ProcessIdentity.read(run.worker)

    def watch() -> None:
        while os.getppid() == parent and (worker is None or worker.life() != "dead"):
            time.sleep(WATCH_SECONDS)
        os._exit(ABANDONED)

    threading.Thread(target=watch, name="focus-watch", daemon=True).start()


def _mind_signals(run: RunFolder, end: RankEnd) -> None:
    """Leave Ctrl-C and hangups to the worker. When asked to end, note it, and let rank 0 stop them all first.

    A thread does it, because the main thread may be waiting for another rank where Python handles no signal.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def mind() -> None:
        while signal.SIGTERM not in os.read(reader, 1):
            pass
        with contextlib.suppress(OSError):
            replace(end, how="terminated", when=time.time()).write(run.ranks)
        time.sleep(GRACE_SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=mind, name="focus-signals", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
