"""`focus tui --demo`: a recorded training, replayed fast into a temporary folder; the rest of the dashboard is real.

A small process stands in for the worker. It writes the recorded events with the current time, passes the usual
liveness check, and obeys a stop request. Numbers are as recorded. The process ends with the dashboard.
"""

import contextlib
import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from focus_engine.errors import FocusError
from focus_engine.events.line import parse_event
from focus_engine.events.log import append_event
from focus_engine.events.table import Event, RunEnded, WorkerStarting
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.runs.folder import RunFolder

RECORDING = Path(__file__).parent / "recording"
REPLAY_SECONDS = 90.0
"""Duration of the whole replay at speed 1."""
MAX_GAP = 5.0
"""Longer gaps between recorded events are cut to this [recorded seconds]."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class RecordedRun:
    """A recorded run.

    Attributes:
        name: of the experiment.
        config: text of its config.yaml.
        events: in order, with recorded times.
    """

    name: str
    config: str
    events: tuple[Event, ...]


def recordings() -> list[RecordedRun]:
    """Return the recorded runs; the last one is replayed, the others are shown finished."""
    runs = []
    for path in sorted(RECORDING.glob("*.jsonl.gz")):
        stem = path.name.removesuffix(".jsonl.gz")
        try:
            lines = gzip.decompress(path.read_bytes()).splitlines()
        except (OSError, EOFError, zlib.error) as error:
            raise FocusError(f"{path}: the recording is damaged ({error}): install focus anew") from None
        events = tuple(event for line in lines if (event := parse_event(line)) is not None)
        config = (RECORDING / f"{stem}.yaml").read_text(encoding="utf-8")
        runs.append(RecordedRun(stem.partition("-")[2], config, events))
    return runs


def timeline(times: Sequence[float], seconds: float) -> list[float]:
    """Return the replay time of each event [s from the start]: long gaps cut, then scaled to `seconds` in all."""
    at, played = 0.0, []
    for before, now in zip([*times[:1], *times[:-1]], times, strict=True):
        at += min(MAX_GAP, max(0.0, now - before))
        played.append(at)
    scale = seconds / at if at else 0.0
    return [scale * one for one in played]


@contextlib.contextmanager
def replayed(speed: float = 1.0) -> Iterator[Path]:
    """Yield an experiments folder in which a training is replayed; delete it and end the player afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="focus-demo-"))
    player = None
    try:
        *finished, main = recordings()
        root = folder / "experiments"
        for number, run in enumerate(finished):
            write_recorded_run(root, run, ended=time.time() - 3600.0 * (len(finished) - number))
        write_recorded_run(root, replace(main, events=()), ended=0.0)
        command = [
            sys.executable,
            "-m",
            "focus_tui.dashboard.replay",
            str(root),
            main.name,
            str(speed),
            str(os.getpid()),
        ]
        player = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        yield root
    finally:
        if player is not None:
            player.kill()
            player.wait()
        shutil.rmtree(folder, ignore_errors=True)


def write_recorded_run(root: Path, run: RecordedRun, ended: float) -> RunFolder:
    """Write the folder of a recorded run, with times shifted so that it ended at `ended` [Unix seconds]."""
    folder = RunFolder(root / run.name)
    folder.make_folders()
    folder.config.write_text(run.config, encoding="utf-8")
    shift = ended - run.events[-1].time if run.events else 0.0
    lines = [replace(event, time=event.time + shift).to_json() + "\n" for event in run.events]
    folder.events.write_text("".join(lines), encoding="utf-8")
    return folder


class Player:
    """Stands in for the worker of one run."""

    def __init__(self, run: RunFolder, recorded: RecordedRun, seconds: float, parent: int) -> None:
        self._run = run
        self._events = recorded.events
        self._due = timeline([event.time for event in recorded.events], seconds)
        self._parent = parent
        self._stop_requested = False
        pid = os.getpid()
        self._identity = ProcessIdentity(pid, host_name(), boot_id(), process_start(pid), time.time())

    def play(self) -> None:
        """Write each event when it is due, until the last event, a stop request, or the end of the dashboard."""
        self._run.worker.write_text(self._identity.to_json() + "\n", encoding="utf-8")
        signal.signal(signal.SIGTERM, self._stop)
        began, epoch = time.monotonic(), 0
        for due, event in zip(self._due, self._events, strict=True):
            while (left := began + due - time.monotonic()) > 0 and not self._should_stop():
                time.sleep(min(left, POLL_SECONDS))
            if self._should_stop():
                self._say(
                    RunEnded(
                        state="stopped", reason="the replay was stopped", epoch=epoch, seconds=0.0, peak_memory=None
                    )
                )
                return
            epoch = getattr(event, "epoch", epoch)
            self._say(self._with_own_identity(event))

    def _with_own_identity(self, event: Event) -> Event:
        """Return the event with the current time and, if it names a worker, the identity of this process."""
        event = replace(event, time=time.time())
        if isinstance(event, WorkerStarting):
            me = self._identity
            return replace(event, pid=me.pid, host=me.host, boot_id=me.boot_id, process_start=me.process_start)
        return event

    def _say(self, event: Event) -> None:
        with contextlib.suppress(OSError):  # the folder was deleted because the dashboard was closed
            append_event(self._run.events, event)

    def _should_stop(self) -> bool:
        return self._stop_requested or self._run.stop_request.exists() or os.getppid() != self._parent

    def _stop(self, *_: object) -> None:
        self._stop_requested = True


def main() -> None:
    """Run the player with the arguments ROOT NAME SPEED PARENT."""
    root, name, speed, parent = sys.argv[1:]
    recorded = next(run for run in recordings() if run.name == name)
    Player(RunFolder(Path(root) / name), recorded, REPLAY_SECONDS / float(speed), int(parent)).play()


if __name__ == "__main__":
    main()
