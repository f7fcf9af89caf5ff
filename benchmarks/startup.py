"""Benchmark of startup: `focus --help`, `ls`, `status` and `start` against `python -c "import typer"`, in alternation.

Prints medians of wall and CPU time of whole processes and writes benchmarks/results/startup.json. Goals: `--help`, `ls`
and `status` at most 2 times the peer, `start` at most 0.5 s from command to prompt. The CPU time of `start` is that of
the launcher; the worker is killed as soon as `start` has returned.
Run: python benchmarks/startup.py [--rounds 15] [--experiments 20]
"""

import argparse
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from focus_engine.launch.process import ProcessIdentity
from focus_engine.runs.create import create_experiment

PEER = 'python -c "import typer"'


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--experiments", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "experiments"
        for number in range(given.experiments):
            create_experiment(root, f"run_{number:03d}")
        focus = str(Path(sys.executable).with_name("focus"))
        commands = {
            PEER: [sys.executable, "-c", "import typer"],
            "focus --help": [focus, "--help"],
            f"focus ls ({given.experiments} experiments)": [focus, "ls", "--root", str(root)],
            "focus status": [focus, "status", "run_000", "--root", str(root)],
        }
        times = measure(commands, given.rounds)
        times["focus start"] = [started(focus, root, number) for number in range(given.rounds + 1)][1:]
    wall = {name: statistics.median(one[0] for one in known) for name, known in times.items()}
    cpu = {name: statistics.median(one[1] for one in known) for name, known in times.items()}
    print(f"{'command':<28}{'wall s':>10}{'ratio':>8}{'CPU s':>10}{'ratio':>8}   load {os.getloadavg()[0]:.1f}")
    for name, median in wall.items():
        ratios = median / wall[PEER], cpu[name] / cpu[PEER]
        print(f"{name:<28}{median:>10.3f}{ratios[0]:>8.2f}{cpu[name]:>10.3f}{ratios[1]:>8.2f}")
    result: dict[str, object] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), "typer": version("typer")},
        "rounds": given.rounds,
        "load": os.getloadavg()[0],
    }
    result |= {"median_s": wall, "median_cpu_s": cpu}
    result["ratio"] = {name: median / wall[PEER] for name, median in wall.items()}
    result["cpu_ratio"] = {name: median / cpu[PEER] for name, median in cpu.items()}
    Path(__file__).parent.joinpath("results", "startup.json").write_text(json.dumps(result, indent=1) + "\n")


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return wall and CPU times of all commands, alternating in each round; the first round is a warmup."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            took = timed(command)
            if number:
                times[name].append(took)
    return times


def timed(command: list[str]) -> tuple[float, float]:
    """Run `command`; return its wall and its CPU time [s]."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def started(focus: str, root: Path, number: int) -> tuple[float, float]:
    """Return the times of `focus start` of a new small run, and end its worker."""
    run = create_experiment(root, f"start_{number:03d}", template="small")
    took = timed([focus, "start", run.name, "--root", str(root)])
    worker = ProcessIdentity.read(run.worker)
    if worker is not None:
        os.kill(worker.pid, signal.SIGKILL)
    return took


if __name__ == "__main__":
    main()
