"""`focus tui --demo`: a recorded training replayed at speed into a folder of its own, so that everything else is real.

A small process plays the worker: it writes the recorded events with the time of now, has an identity that the usual
proof of life holds for, and obeys a stop request. Numbers are as they were recorded. It ends with the dashboard.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from focus_engine.events.line import parse_event
from focus_engine.events.log import append_event
from focus_engine.events.table import Event, RunEnded, WorkerStarting
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.runs.folder import RunFolder

RECORDING = Path(__file__).parent / "recording"
REPLAY_SECONDS = 90.0
"""How long the whole training takes at speed 1."""
MOST_SILENCE = 5.0
"""Longer silences of the recording are cut to this [recorded seconds]."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Recorded:
    """A run of the recording.

    Attributes:
        name: of the experiment.
        config: text of its config.yaml.
        events: in order, with the times of the recording.
    """

    name: str
    config: str
    events: tuple[Event, ...]


def recordings() -> list[Recorded]:
    """Return the recorded runs; the last one is the one to replay."""
    runs = []
    for path in sorted(RECORDING.glob("*.jsonl.gz")):
        stem = path.name.removesuffix(".jsonl.gz")
        lines = gzip.decompress(path.read_bytes()).splitlines()
        events = tuple(event for line in lines if (event := parse_event(line)) is not None)
        config = (RECORDING / f"{stem}.yaml").read_text(encoding="utf-8")
        runs.append(Recorded(stem.partition("-")[2], config, events))
    return runs


def timeline(times: Sequence[float], seconds: float) -> list[float]:
    """Return when each event is played [s from the start]: silences cut, then scaled to `seconds` in all."""
    at, played = 0.0, []
    for before, now in zip([*times[:1], *times[:-1]], times, strict=True):
        at += min(MOST_SILENCE, max(0.0, now - before))
        played.append(at)
    scale = seconds / at if at else 0.0
    return [scale * one for one in played]


@contextlib.contextmanager
def replayed(speed: float = 1.0) -> Iterator[Path]:
    """Yield an experiments folder in which a training is replayed; it and its player are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="focus-demo-"))
    player = None
    try:
        *finished, main = recordings()
        root = folder / "experiments"
        for number, run in enumerate(finished):
            lay_out(root, run, ended=time.time() - 3600.0 * (len(finished) - number))
        lay_out(root, replace(main, events=()), ended=0.0)
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


def lay_out(root: Path, run: Recorded, ended: float) -> RunFolder:
    """Write a recorded run whole, as if it had ended at `ended` [Unix seconds]."""
    folder = RunFolder(root / run.name)
    folder.make_folders()
    folder.config.write_text(run.config, encoding="utf-8")
    shift = ended - run.events[-1].time if run.events else 0.0
    lines = [replace(event, time=event.time + shift).to_json() + "\n" for event in run.events]
    folder.events.write_text("".join(lines), encoding="utf-8")
    return folder


class Player:
    """Plays the worker of one run."""

    def __init__(self, run: RunFolder, recorded: Recorded, seconds: float, parent: int) -> None:
        self._run = run
        self._events = recorded.events
        self._due = timeline([event.time for event in recorded.events], seconds)
        self._parent = parent
        self._asked = False
        pid = os.getpid()
        self._identity = ProcessIdentity(pid, host_name(), boot_id(), process_start(pid), time.time())

    def play(self) -> None:
        """Write event after event when it is due, until the end, a stop, or the death of the dashboard."""
        self._run.worker.write_text(self._identity.to_json() + "\n", encoding="utf-8")
        signal.signal(signal.SIGTERM, self._stop)
        began, epoch = time.monotonic(), 0
        for due, event in zip(self._due, self._events, strict=True):
            while (left := began + due - time.monotonic()) > 0 and not self._ending():
                time.sleep(min(left, POLL_SECONDS))
            if self._ending():
                self._say(
                    RunEnded(
                        state="stopped", reason="the replay was stopped", epoch=epoch, seconds=0.0, peak_memory=None
                    )
                )
                return
            epoch = getattr(event, "epoch", epoch)
            self._say(self._mine(event))

    def _mine(self, event: Event) -> Event:
        """The event as said now, by this process."""
        event = replace(event, time=time.time())
        if isinstance(event, WorkerStarting):
            me = self._identity
            return replace(event, pid=me.pid, host=me.host, boot_id=me.boot_id, process_start=me.process_start)
        return event

    def _say(self, event: Event) -> None:
        with contextlib.suppress(OSError):  # the folder is gone: the dashboard was closed
            append_event(self._run.events, event)

    def _ending(self) -> bool:
        return self._asked or self._run.stop_request.exists() or os.getppid() != self._parent

    def _stop(self, *_: object) -> None:
        self._asked = True


def main() -> None:
    """Play: ROOT NAME SPEED PARENT."""
    root, name, speed, parent = sys.argv[1:]
    recorded = next(run for run in recordings() if run.name == name)
    Player(RunFolder(Path(root) / name), recorded, REPLAY_SECONDS / float(speed), int(parent)).play()


if __name__ == "__main__":
    main()
