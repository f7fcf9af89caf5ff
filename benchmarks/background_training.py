"""Benchmark of a whole training in the background: `focus start` beside a bare loop over the same network.

The worker does all that it does for a user of the template `small_flow`: its log, checkpoints, snapshots of averages,
heartbeat, and figures drawn by a process beside it. The bare loop is that of `cpu_training.py`, the batch divided among
threads as FOCUS does. Both are processes of their own; they run in turns of some seconds, one stopped by SIGSTOP, with
all its children, while the other runs, so that both meet the same machine. A turn counts from its first finished step
to its last, without validation, which the bare loop lacks. Prints the table and writes
benchmarks/results/background_training.json. Goal: 0.97 of the bare loop.
Run: python benchmarks/background_training.py [--turns 24] [--seconds 5]
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from alternation import machine

from focus_engine.events.log import read_events
from focus_engine.events.table import StepProgress
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder

TEMPLATE, BATCH = "small_flow", 32
RESULTS = Path(__file__).parent / "results"
FOCUS = Path(sys.executable).with_name("focus")
LONG = 300.0
"""Seconds that both may take until they train: the worker may simulate its universes."""


@dataclass(frozen=True)
class Step:
    """A finished step: its number, its epoch (0 without) and its time [s]."""

    number: int
    epoch: int
    time: float


class Bare:
    """The bare loop in a process that writes a line at each step."""

    name = "bare loop, threads by parts"

    def __init__(self, folder: Path) -> None:
        self._steps = folder / "bare.txt"
        self._steps.touch()
        process = subprocess.Popen([sys.executable, __file__, "--bare", self._steps], start_new_session=True)
        self.pid = process.pid

    def steps(self) -> list[Step]:
        """Return the steps so far."""
        lines = self._steps.read_text(encoding="utf-8").split("\n")[:-1]  # the last may be half a line
        return [Step(number, 0, float(line)) for number, line in enumerate(lines)]


class Background:
    """A training by `focus start`, which tells its step once a second."""

    name = "focus start, whole training"

    def __init__(self, folder: Path) -> None:
        settings = ["training.num_epochs=100000", "training.sample_every=0"]
        command = [str(FOCUS), "new", "background", "--template", TEMPLATE]
        command += [word for one in settings for word in ("--set", one)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        subprocess.run([FOCUS, "start", "background"], cwd=folder, check=True, capture_output=True)
        self._run = RunFolder(folder / "experiments" / "background")
        self.pid = summarise(self._run).pid or 0

    def steps(self) -> list[Step]:
        """Return the steps that the log tells of."""
        told = (one for one in read_events(self._run.events) if isinstance(one, StepProgress))
        return [Step(one.step, one.epoch, one.time) for one in told]


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--output", type=Path, default=RESULTS / "background_training.json")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare is not None:
        train_bare(given.bare)
        return
    load = list(os.getloadavg())
    with tempfile.TemporaryDirectory() as folder, both(Path(folder)) as programs:
        speeds = in_turns(programs, given.turns, given.seconds)
    ratios = [ours / bare for bare, ours in zip(speeds[Bare.name], speeds[Background.name], strict=True)]
    error = statistics.stdev(ratios) / len(ratios) ** 0.5
    found = {
        "maps_per_second": {name: statistics.median(one) for name, one in speeds.items()},
        "ratio": statistics.median(ratios),
        "mean_ratio": statistics.mean(ratios),
        "ratio_error": error,
        "turns": given.turns,
        "seconds": given.seconds,
    }
    for name, speed in found["maps_per_second"].items():
        print(f"{name:<32}{speed:>7.1f} maps/s")
    print(f"ratio {found['ratio']:.3f}; mean {found['mean_ratio']:.3f} ± {error:.3f}, {given.turns} turns")
    document = {**machine(), **found, "load": load}
    given.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def train_bare(path: Path) -> None:
    """Train the bare loop for ever; add the time of each step to `path`."""
    from cpu_training import bare, prepared

    run = prepared("auto")
    steps = bare(run, run.training.parts)
    with path.open("a", buffering=1, encoding="utf-8") as file:
        while True:
            steps(1)
            file.write(f"{time.time():.6f}\n")


@contextmanager
def both(folder: Path) -> Iterator[list[Bare | Background]]:
    """Start both programs, one after the other, each stopped once it trains; end them."""
    programs: list[Bare | Background] = []
    try:
        for kind in (Bare, Background):
            programs.append(kind(folder))
            deadline = time.monotonic() + LONG
            while len(programs[-1].steps()) < 3:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{kind.name} does not train")
                time.sleep(0.2)
            tell(programs[-1].pid, signal.SIGSTOP)
        yield programs
    finally:
        for one in programs:
            tell(one.pid, signal.SIGKILL)


def in_turns(programs: list[Bare | Background], turns: int, seconds: float) -> dict[str, list[float]]:
    """Return maps/s of each program in each turn; another begins each."""
    speeds: dict[str, list[float]] = {one.name: [] for one in programs}
    for turn in range(turns):
        for one in programs if turn % 2 else programs[::-1]:
            before = len(one.steps())
            tell(one.pid, signal.SIGCONT)
            time.sleep(seconds)
            tell(one.pid, signal.SIGSTOP)
            pairs = [(a, b) for a, b in pairwise(one.steps()[before:]) if a.epoch == b.epoch]
            made = sum(b.number - a.number for a, b in pairs)
            speeds[one.name].append(BATCH * made / sum(b.time - a.time for a, b in pairs))
    return speeds


def tell(pid: int, sign: signal.Signals) -> None:
    """Send a signal to a process and to all that it started."""
    for one in (pid, *descendants(pid)):
        with suppress(ProcessLookupError):
            os.kill(one, sign)


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that `pid` started, and theirs."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text(encoding="utf-8").split()):
                yield child
                yield from descendants(child)


if __name__ == "__main__":
    main()
