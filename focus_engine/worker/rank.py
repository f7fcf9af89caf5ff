"""One rank of a run: `python -m focus_engine.worker.rank RUN_DIR`, a process that torch.distributed.run starts.

`launch/torchrun.py` launches and watches the ranks; `training/ranks.py` is what they exchange while they train. All
ranks do the same work, but only rank 0 writes to the run. Each records how it ended in `logs/ranks`, and exits at
once when its parent or the worker is gone.
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
from typing import NoReturn

import torch

from focus_engine.config.load import load_config
from focus_engine.errors import FocusError, InputError
from focus_engine.events.outcome import Outcome
from focus_engine.events.table import Event, Warned
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.rank_files import RankRecord, failed_before
from focus_engine.launch.torchrun import DEVICES_VARIABLE
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.training.devices import choose_device
from focus_engine.training.ranks import Ranks
from focus_engine.worker.heartbeat import Heartbeat
from focus_engine.worker.recorder import Recorder, describe_failure, peak_memory
from focus_engine.worker.session import train_run
from focus_engine.worker.stop import StopNow, StopSwitch
from focus_engine.worker.watchdog import Watchdog

WATCH_SECONDS = 0.5
GRACE_SECONDS = 20.0
"""How long a rank waits after SIGTERM for rank 0 to stop all ranks with a checkpoint."""
ABANDONED = 75
"""Exit code of a rank whose parent or worker is gone."""


class SilentRecorder(Recorder):
    """The recorder of a rank that does not write to the log."""

    def record(self, event: Event) -> Event:
        """Return `event`."""
        return event


def main(arguments: list[str] | None = None) -> int:
    """Train the run as one rank; return 1 when training failed, 2 when the user's input is wrong."""
    parser = argparse.ArgumentParser(prog="python -m focus_engine.worker.rank", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args(arguments)
    run = RunFolder(given.run.absolute())
    rank, attempt = int(os.environ["RANK"]), int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    record = RankRecord(rank, attempt, ProcessIdentity.of_this_process().__dict__)
    record.write(run.ranks)
    _exit_when_abandoned(run)
    _handle_signals(run, record)
    recorder = Recorder(run) if rank == 0 else SilentRecorder(run)
    switch = StopSwitch(run, recorder.record)
    heartbeat = Heartbeat(run, _watchdog(run, record, recorder))
    heartbeat.start_rank(rank)
    with ExitStack() as closing:
        closing.callback(heartbeat.stop)
        if rank == 0:
            closing.enter_context(switch.listening(foreground=False))
        try:
            outcome = _train(run, recorder, switch, closing, attempt=attempt, resume=given.resume or attempt > 0)
            switch.look()
        except BaseException as error:  # noqa: BLE001  (a process border: whatever happened is this rank's outcome)
            if isinstance(error, StopNow):
                outcome = Outcome("stopped", "asked to stop before training began")
            else:
                _fail(run, record, error)
        summary = {"state": outcome.state, "why": outcome.why, "where": outcome.where, "peak_memory": peak_memory()}
        done = summary if rank == 0 else {}
        replace(record, how="done", when=time.time(), outcome=done).write(run.ranks)
    return 0


def _watchdog(run: RunFolder, record: RankRecord, recorder: Recorder) -> Watchdog:
    """Return the watchdog of a rank. Rank 0 acts for all; torch.distributed.run then ends the others."""
    if record.rank:
        return Watchdog(run, recorder, lead=False, end=None, restart=None)

    def end(reason: str) -> None:
        outcome = {"state": "stopped", "why": reason, "where": recorder.checkpoint_note(), "peak_memory": peak_memory()}
        replace(record, how="done", when=time.time(), outcome=outcome).write(run.ranks)
        os._exit(0)

    def restart(reason: str) -> None:
        if record.attempt < load_config(run.config).config.training.max_restarts:
            replace(record, how="failed", when=time.time(), message=reason).write(run.ranks)
            os._exit(1)

    return Watchdog(run, recorder, end=end, restart=restart)


def _train(
    run: RunFolder, recorder: Recorder, switch: StopSwitch, closing: ExitStack, *, attempt: int, resume: bool
) -> Outcome:
    device = _own_device()
    ranks = Ranks.join(choose_device(device))
    for one in failed_before(run.ranks, attempt) if attempt else ():
        cause = one.message or f"process {one.identity['pid']} was killed"
        message = f"restart {attempt} from the last checkpoint, because rank {one.rank} failed: {cause}"
        recorder.record(Warned(code="restart", message=message))
    training = train_run(
        run, recorder, switch, closing, resume=resume, device=device, began=recorder.began, ranks=ranks
    )
    outcome = drain(training)
    if recorder.training:  # before that, other ranks may not have joined yet
        ranks.leave()
    return outcome


def _own_device() -> str:
    """Return this rank's device: its entry in the worker's list, else the GPU of its local number."""
    local, count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    devices = os.environ.get(DEVICES_VARIABLE, "").split(",")
    if len(devices) == count:
        return devices[local]
    return "cpu" if devices == ["cpu"] or not torch.cuda.is_available() else f"cuda:{local}"


def _fail(run: RunFolder, record: RankRecord, error: BaseException) -> NoReturn:
    """Record `error` as this rank's outcome and exit with its code."""
    with contextlib.suppress(OSError):
        if not isinstance(error, FocusError):
            traceback.print_exception(error)
        message = describe_failure(error)
        wrong_input = isinstance(error, InputError)
        failed = replace(record, how="failed", when=time.time(), message=message, user_error=wrong_input)
        failed.write(run.ranks)
    leave(error.exit_code if isinstance(error, FocusError) else 1)


def leave(code: int) -> NoReturn:
    """Exit with `code` at once, without Python's own end.

    That end waits for the threads of the process group, or unloads torch below them, which aborts a rank that has done
    its work (about once in 50 runs of two nodes).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _exit_when_abandoned(run: RunFolder) -> None:
    """Exit at once, from a thread, when the parent process or the worker on this host is gone."""
    parent, worker = os.getppid(), ProcessIdentity.read(run.worker)

    def watch() -> None:
        while os.getppid() == parent and (worker is None or worker.life() != "dead"):
            time.sleep(WATCH_SECONDS)
        os._exit(ABANDONED)

    threading.Thread(target=watch, name="focus-watch", daemon=True).start()


def _handle_signals(run: RunFolder, record: RankRecord) -> None:
    """Ignore Ctrl-C and hangups, which the worker handles. On SIGTERM, record it and give rank 0 time to stop all.

    A thread does this, because the main thread may be waiting for another rank, where Python handles no signal.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def handle() -> None:
        while signal.SIGTERM not in os.read(reader, 1):
            pass
        with contextlib.suppress(OSError):
            replace(record, how="terminated", when=time.time()).write(run.ranks)
        time.sleep(GRACE_SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=handle, name="focus-signals", daemon=True).start()


if __name__ == "__main__":
    leave(main())
