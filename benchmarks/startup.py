"""Benchmark of startup: `focus --help` and `focus ls` against `python -c "import typer"`, in alternation.

Prints medians and ratios of whole processes and writes benchmarks/results/startup.json. Goal: a ratio of at most 2.5.
Run: python benchmarks/startup.py [--rounds 15] [--experiments 20]
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
        seconds = measure(commands, given.rounds)
    rows = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{'command':<28}{'median s':>10}{'ratio':>8}")
    for name, median in rows.items():
        print(f"{name:<28}{median:>10.3f}{median / rows[PEER]:>8.2f}")
    result = {"machine": platform.processor() or platform.machine(), "rounds": given.rounds, "median_s": rows}
    result["ratio"] = {name: median / rows[PEER] for name, median in rows.items()}
    Path(__file__).parent.joinpath("results", "startup.json").write_text(json.dumps(result, indent=1) + "\n")


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Return the wall times of all commands, alternating in each round; the first round is a warmup."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    main()
