"""Benchmark of the judge: seconds and peak memory of every statistic on 1,500 real and 1,500 generated maps of 64 x 64.

Maps are log-normal, 15 of each of 100 parameter points. Measured are the command `focus judge A.npz --against B.npz
--training C.npy` as a process of its own, with its start and the reading of files, and `judge` on arrays in this
process, after a run on few maps that loads the libraries. Prints a table and writes benchmarks/results/judge.json with
the load of the machine. Goal: 60 s for the command on 2 cores.

Run: python benchmarks/judge.py [--maps 1500] [--side 64]
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from focus_engine.config.statistics import STATISTICS
from focus_engine.statistics.compare import Evaluation, judge
from focus_engine.statistics.design import Design

PER_POINT = 15


def lognormal(params: np.ndarray, side: int, seed: int) -> np.ndarray:
    """Return log-normal maps (N, side, side), float32, whose mean and amplitude follow the parameters (N, 2)."""
    rng = np.random.default_rng(seed)
    n = np.hypot(np.fft.fftfreq(side, 1 / side)[:, None], np.fft.fftfreq(side, 1 / side))
    red = np.maximum(n, 1) ** -1.0
    noise = rng.normal(size=(len(params), side, side)).astype(np.float32)
    waves = np.fft.ifft2(np.fft.fft2(noise) * red).real
    waves /= waves.std()
    return (1e11 * params[:, 0, None, None] * np.exp(params[:, 1, None, None] * waves)).astype(np.float32)


@dataclass(frozen=True)
class Sides:
    """Real, generated and training maps (N, H, W), with the parameters (N, 2) and simulation (N,) of each row."""

    real: np.ndarray
    generated: np.ndarray
    training: np.ndarray
    params: np.ndarray
    ids: np.ndarray

    @classmethod
    def drawn(cls, maps: int, side: int) -> "Sides":
        """Draw maps of as many parameter points as there are `PER_POINT` maps for."""
        points = maps // PER_POINT
        table = np.random.default_rng(0).uniform((0.1, 0.6), (0.5, 1.0), size=(points, 2))
        params = np.repeat(table, PER_POINT, axis=0)
        return cls(
            *(lognormal(params, side, seed) for seed in (1, 2, 3)), params, np.repeat(np.arange(points), PER_POINT)
        )


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=1500)
    parser.add_argument("--side", type=int, default=64)
    given = parser.parse_args()
    sides = Sides.drawn(given.maps, given.side)
    load = os.getloadavg()[0]
    rows = {
        "maps": given.maps,
        "side": given.side,
        "maps_mib": round((sides.real.nbytes + sides.generated.nbytes) / 2**20),
        "statistics_in_table": len(STATISTICS),
        "command": of_command(sides),
        "arrays": of_arrays(sides),
        "load_before": round(load, 1),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "numpy": np.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }
    for name, value in rows.items():
        print(f"{name:<20}{value}")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "judge.json").write_text(json.dumps(rows, indent=2) + "\n")


def of_command(sides: Sides) -> dict[str, Any]:
    """Return the costs of `focus judge` on files, and how many statistics its report holds."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        np.savez(home / "real.npz", maps=sides.real, params=sides.params, simulation=sides.ids, box_size=25.0)
        np.savez(home / "generated.npz", maps=sides.generated, params=sides.params, box_size=25.0)
        np.save(home / "training.npy", sides.training)
        words = ["judge", "generated.npz", "--against", "real.npz", "--training", "training.npy", "--json"]
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "focus_tui", *words],
            cwd=home,
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            check=True,
        )
        seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    document = json.loads(done.stdout)
    return {
        "statistics": sum(document.get(name) is not None for name in STATISTICS),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_memory_mib": round(used.ru_maxrss / 1024),
    }


def of_arrays(sides: Sides) -> dict[str, Any]:
    """Return the costs of `judge` on arrays, and how many statistics it yields."""
    few = slice(0, 8 * PER_POINT)
    run(Sides(*(getattr(sides, one.name)[few] for one in fields(Sides))))
    Path("/proc/self/clear_refs").write_text("5")  # peak memory counts from here (Linux)
    before = memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    found = run(sides)
    return {
        "statistics": len(found.results),
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "further_memory_mib": round(memory("VmHWM") - before),
    }


def run(sides: Sides) -> Evaluation:
    """Return the judgement of maps on arrays; generated maps are independent draws, as in the file of the command."""
    design = Design.paired(sides.ids, sides.params)
    return judge(sides.real, sides.generated, design, 25.0, training=sides.training[:, None])


def memory(name: str) -> float:
    """Return an entry of the status of this process [MiB]."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / 1024


if __name__ == "__main__":
    main()
