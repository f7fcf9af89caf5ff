"""Benchmark of the judge: seconds and peak memory of every statistic on 1,500 real and 1,500 generated maps of 64 x 64.

Maps are log-normal, 15 of each of 100 parameter points. Each statistic is measured and compared in one process, after a
run on few maps that loads the libraries. Prints a table and writes benchmarks/results/judge.json with the load of the
machine. Goal: 60 s in all on 2 cores. Run: python benchmarks/judge.py [--maps 1500] [--side 64]
"""

import argparse
import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from focus_engine.config.statistics import STATISTICS
from focus_engine.statistics.compare import judge
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


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=1500)
    parser.add_argument("--side", type=int, default=64)
    given = parser.parse_args()
    points = given.maps // PER_POINT
    table = np.random.default_rng(0).uniform((0.1, 0.6), (0.5, 1.0), size=(points, 2))
    params = np.repeat(table, PER_POINT, axis=0)
    ids = np.repeat(np.arange(points), PER_POINT)
    real, generated, training = (lognormal(params, given.side, seed) for seed in (1, 2, 3))
    few = slice(0, 8 * PER_POINT)
    run(real[few], generated[few], Design.paired(ids[few], params[few]), training[few])
    Path("/proc/self/clear_refs").write_text("5")  # peak memory counts from here (Linux)
    before, load = memory("VmRSS"), os.getloadavg()[0]
    seconds, cpu = run(real, generated, Design.paired(ids, params), training)
    peak = memory("VmHWM") - before
    rows = {
        "maps": given.maps,
        "side": given.side,
        "statistics": len(STATISTICS),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "further_memory_mib": round(peak),
        "maps_mib": round((real.nbytes + generated.nbytes) / 2**20),
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


def memory(name: str) -> float:
    """Return an entry of the status of this process [MiB]."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / 1024


def run(real: np.ndarray, generated: np.ndarray, design: Design, training: np.ndarray) -> tuple[float, float]:
    """Return the wall and CPU seconds of a judgement."""
    wall, cpu = time.perf_counter(), time.process_time()
    judge(real, generated, design, 25.0, training=training[:, None])
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
