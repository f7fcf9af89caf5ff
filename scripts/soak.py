"""Let writers and a dashboard run for an hour: memory must not grow, files must not stay open, no event may be lost.

python scripts/soak.py [--minutes 60] [--writers 8] [--epoch-seconds 20] [--faster 1] [--json FILE]

Each writer is a process that writes what a worker writes, at its rates: two step events a second, epochs, spectra and
samples, checkpoints' events, the heartbeat. `--faster 20` writes events 20 times as often and presses keys 5 times as
often, which shows in minutes what grows with the logs. The dashboard is `focus tui` in a terminal of its own, and
somebody walks through its screens. Its memory and open files are read from the system every five seconds.
"""

import argparse
import fcntl
import json
import multiprocessing
import os
import pty
import random
import select
import statistics
import struct
import sys
import tempfile
import termios
import time
from collections.abc import MutableSequence
from dataclasses import replace
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from example_events import end, epoch, samples, saved, spectrum, started, step, worker

from focus_engine.events.log import append_event, read_events
from focus_engine.events.table import Event
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.progress_beat import ProgressBeat
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder

HOME = Path(__file__).resolve().parent.parent
KEYS = (b"\x1b[B", b"\x1b[A", b"\r", b"\t", b"\x1b", b"\x1b", b"1", b"2", b"3", b"c", b"\x1b")
"""Down, up, open, next pane, back, ...: what somebody presses who looks around; no key stops or removes a run."""
SAMPLE_SECONDS = 5.0
GROWTH = 0.05
"""Largest growth of memory between the second quarter of the time and the last."""


def main() -> int:
    """Soak; return 1 if memory grew, files stayed open, an event was lost or a state was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--epoch-seconds", type=float, default=20.0)
    parser.add_argument("--faster", type=float, default=1.0, help="times the events of a real worker")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="focus-soak-") as name:
        found = soak(Path(name).resolve(), given.minutes, given.writers, given.epoch_seconds, given.faster)
    print(json.dumps({key: value for key, value in found.items() if key != "memory_mb_by_time"}, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if found["passed"] else 1


def soak(root: Path, minutes: float, writers: int, epoch_seconds: float, faster: float) -> dict[str, object]:
    """Run writers and a dashboard in `root` and return what was measured."""
    until = time.monotonic() + 60 * minutes
    runs = [RunFolder(root / f"run_{number}") for number in range(writers)]
    fork = multiprocessing.get_context("fork")
    counts = fork.Array("l", writers)
    pace = (epoch_seconds / faster, 0.5 / faster)
    others = [fork.Process(target=_write, args=(run, n, until, pace, counts)) for n, run in enumerate(runs)]
    for one in others:
        one.start()
    memory, files, threads, drawn, alive = _watch(root, until, min(5.0, faster))
    for one in others:
        one.join()
    written = list(counts)
    read = [len(read_events(run.events)) for run in runs]
    states = [summarise(run).state for run in runs]
    whole, half = len(memory), memory[len(memory) // 4 : len(memory) // 2]
    first, last = statistics.median(half), statistics.median(memory[3 * whole // 4 :])
    settled = files[whole // 4 :]
    quarters = [sum(drawn[part * whole // 4 : (part + 1) * whole // 4]) for part in range(4)]
    good = (
        alive
        and min(quarters) > 0
        and read == written
        and set(states) == {"finished"}
        and max(settled) - min(settled) <= 4
    )
    return {
        "minutes": minutes,
        "writers": writers,
        "faster": faster,
        "events_written": sum(written),
        "events_lost": sum(written) - sum(read),
        "states": sorted(set(states)),
        "dashboard_alive": alive,
        "memory_mb_second_quarter": round(first, 1),
        "memory_mb_last_quarter": round(last, 1),
        "memory_growth": round(last / first - 1, 4),
        "open_files": [min(settled), max(settled)],
        "threads": [min(threads[whole // 4 :]), max(threads[whole // 4 :])],
        "drawn_mb_by_quarter": [round(one / 1e6, 2) for one in quarters],
        "load": [round(one, 1) for one in os.getloadavg()],
        "passed": bool(good and last / first - 1 <= GROWTH),
        "memory_mb_by_time": [round(one, 1) for one in memory],
    }


def _watch(root: Path, until: float, haste: float) -> tuple[list[float], list[int], list[int], list[int], bool]:
    """Run the dashboard until then.

    Return its memory [MB], open files, threads and drawn bytes, every `SAMPLE_SECONDS`, and whether it lived to the
    end.
    """
    pid, terminal = pty.fork()
    if not pid:
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(HOME), "COLORTERM": "truecolor"}
        command = [sys.executable, "-m", "focus_tui", "--root", str(root), "tui"]
        os.execve(sys.executable, command, environment)  # noqa: S606  (no shell is wanted)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    process, draw = psutil.Process(pid), random.Random(0)  # noqa: S311
    memory: list[float] = []
    files: list[int] = []
    threads: list[int] = []
    drawn, bytes_drawn = list[int](), 0
    pressed = sampled = time.monotonic() + 5.0
    alive = True
    try:
        while alive and time.monotonic() < until:
            bytes_drawn += _drain(terminal, 0.2)
            now = time.monotonic()
            if now >= pressed:
                pressed = now + draw.uniform(0.3, 2.0) / haste
                os.write(terminal, draw.choice(KEYS))
            if now >= sampled:
                sampled = now + SAMPLE_SECONDS
                memory.append(process.memory_info().rss / 1e6)
                files.append(process.num_fds())
                threads.append(process.num_threads())
                drawn.append(bytes_drawn)
                bytes_drawn = 0
            alive = process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        alive = False
    process.kill()
    os.waitpid(pid, 0)
    os.close(terminal)
    return memory, files, threads, drawn, alive


def _drain(terminal: int, seconds: float) -> int:
    """Take what the dashboard draws, as a terminal does; return how many bytes."""
    end_at, count = time.monotonic() + seconds, 0
    while (left := end_at - time.monotonic()) > 0 and select.select([terminal], [], [], left)[0]:
        count += len(os.read(terminal, 1 << 16))
    return count


def _write(run: RunFolder, number: int, until: float, pace: tuple[float, float], counts: MutableSequence[int]) -> None:
    """Be a worker of `run` until then, without training; `pace` is the seconds of an epoch and between steps."""
    run.make_folders()
    run.config.write_text("method: flow\n", encoding="utf-8")
    me = ProcessIdentity.of_this_process()
    run.worker.write_text(me.to_json(), encoding="utf-8")

    def tell(event: Event) -> None:
        append_event(run.events, replace(event, time=time.time()))
        counts[number] += 1

    draw = random.Random(number)  # noqa: S311
    tell(worker(me))
    tell(started(num_epochs=10**6))
    count, beaten = 0, 0.0
    while time.monotonic() < until:
        count += 1
        epoch_end = time.monotonic() + pace[0] * draw.uniform(0.5, 1.5)
        while time.monotonic() < min(epoch_end, until):
            tell(step(count, 1))
            if time.monotonic() - beaten > 5.0:
                beaten = time.monotonic()
                os.utime(run.worker)
                _beat(run, me, count)
            time.sleep(pace[1])
        tell(epoch(count, 1.0 / count + 0.01 * draw.random(), num_epochs=10**6))
        tell(saved(count))
        if not count % 5:
            tell(spectrum(count))
            tell(samples(count))
    tell(end(number=count))


def _beat(run: RunFolder, me: ProcessIdentity, count: int) -> None:
    ProgressBeat(
        worker=me.started,
        pid=me.pid,
        host=me.host,
        boot_id=me.boot_id,
        phase="training",
        step=count,
        reports=count,
        time=time.time(),
        idle=0.0,
        limit=600.0,
        stalled=False,
        every=5.0,
        monotonic=time.monotonic(),
    ).write(run.progress)


if __name__ == "__main__":
    sys.exit(main())
