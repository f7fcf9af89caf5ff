"""Simulation: universes a minute of FOCUS and of JaxPM, from the same linear field, on the same cores.

Both make 2LPT initial conditions at a = 0.05 and 20 leapfrog steps on a mesh of one cell a particle. Each program is a
process of its own that makes a universe when asked, the programs in turns; times are medians without the first, which
compiles. FOCUS is also timed with its maps (15 of as many pixels a side as the grid). Peak memory is that of the
process, less what it held before the first universe. Where there is a GPU, FOCUS is measured on it as well, with the
memory of its tensors. Prints a table and writes benchmarks/results/simulation.json, where other grids keep what was
measured of them.

JaxPM needs an interpreter of its own: python -m venv jax && jax/bin/pip install jax jaxpm packaging, then
--jax-python jax/bin/python; without it FOCUS is measured alone, and this is said.
Run: python benchmarks/simulation.py [--quick] [--grids 32 64 128] [--cores 1] [--jax-python PATH]; 3 minutes; of 256³
with --rounds 1 ten more
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alternation import machine

from focus_engine.allocator import keep_freed_memory
from focus_engine.simulation.cosmology import Cosmology
from focus_engine.simulation.nbody import linear_density
from focus_engine.simulation.simulate import UniverseLayout, particle_history, project
from focus_engine.worker.probe import synchronise

COSMOLOGY = Cosmology(Omega_m=0.3, sigma_8=0.8)
CPU = torch.device("cpu")
CELL = 25.0 / 32
"""Side of a cell [Mpc/h] at every grid, that of the default universe."""


class Program:
    """A process that makes a universe for each line that it is sent."""

    def __init__(self, command: list[str], cores: int) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(self._process.pid, sorted(os.sched_getaffinity(0))[:cores])

    def universe(self) -> dict[str, float]:
        """Return the seconds and the memory of one universe."""
        to, answers = self._process.stdin, self._process.stdout
        if to is None or answers is None:
            raise RuntimeError("the process was started without pipes")
        with suppress(BrokenPipeError):
            to.write("\n")
            to.flush()
        answer = answers.readline()
        if not answer:
            raise SystemExit(f"{' '.join(map(str, self._process.args))} ended with {self._process.wait()}; see above")
        row: dict[str, float] = json.loads(answer)
        return row

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self._process.communicate()


def child(grid: int, cores: int, device: torch.device) -> None:
    """Make a universe of FOCUS for each line on stdin, and print its seconds and memory."""
    torch.set_num_threads(cores)
    if device.type == "cpu":
        keep_freed_memory()  # as `simulate_universes` does

    def peak() -> float:
        synchronise(device)
        return peak_mib() if device.type == "cpu" else torch.cuda.max_memory_allocated(device) / 2**20

    layout = UniverseLayout(grid=grid, map_size=grid, box_size=CELL * grid)
    before = peak()
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        today = deque(particle_history(COSMOLOGY, layout, 0, device), maxlen=1).pop()
        memory = peak()  # the device is idle then
        row = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak_mib": memory}
        project(COSMOLOGY, layout, today)
        memory = peak()
        maps = {"with_maps": time.perf_counter() - wall, "with_maps_cpu": time.process_time() - cpu}
        rms = float(today.displacement.std()) / CELL
        more = {"before_mib": before, "peak_with_maps_mib": memory, "rms_cells": rms}
        print(json.dumps({**row, **maps, **more}), flush=True)


def peak_mib() -> float:
    """Return the highest memory of this process so far [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(grid: int, given: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """Return the row of each program at a grid."""
    start = folder / f"{grid}.npy"
    np.save(start, linear_density(COSMOLOGY, grid=grid, box_size=CELL * grid, seed=0, device=CPU).numpy())
    ours = [sys.executable, __file__, "--child", str(grid), "--cores", str(given.cores)]
    commands = {"FOCUS": ours}
    if torch.cuda.is_available():
        commands["FOCUS, GPU"] = [*ours, "--device", "cuda"]
    if given.jax_python:
        peer = Path(__file__).with_name("jaxpm_universe.py")
        commands["JaxPM"] = [str(given.jax_python), str(peer), str(start)]
    programs = {name: Program(command, given.cores) for name, command in commands.items()}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for _ in range(given.rounds + 1):
        for name, program in programs.items():
            runs[name].append(program.universe())
    for program in programs.values():
        program.close()
    return {name: row_of(some) for name, some in runs.items()}


def row_of(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the medians of all runs but the first, and the highest memory."""
    timed = runs[1:]
    row = {key: statistics.median(one[key] for one in timed) for key in runs[0]}
    row["first_s"] = runs[0]["wall"]
    row["memory_mib"] = max(one["peak_mib"] for one in runs) - row["before_mib"]
    row["universes_per_minute"] = 60 / row["wall"]
    return row


def show(grid: int, rows: dict[str, dict[str, float]]) -> None:
    """Print the rows of a grid."""
    ours = rows["FOCUS"]
    for name, row in rows.items():
        cells = f"{row['universes_per_minute']:>9.2f}{row['cpu']:>10.2f}{row['memory_mib']:>10.0f}"
        ratio = f"{row['wall'] / ours['wall']:>8.2f}{row['cpu'] / ours['cpu']:>8.2f}"
        words = f"  rms {row['rms_cells']:.3f} cells, first {row['first_s']:.1f} s"
        words += f", with maps {row['with_maps']:.2f} s" if "with_maps" in row else ""
        print(f"{grid:>4}³ {name:<12}{cells}{ratio}{words}", flush=True)


def main() -> None:
    """Measure, print the table and write the JSON."""
    given = options()
    if given.child:
        child(given.child, given.cores, torch.device(given.device))
        return
    if not given.jax_python:
        print("JaxPM: no --jax-python, left out")
    print(f"{'grid':<6}{'program':<12}{'univ/min':>9}{'CPU s':>10}{'MiB':>10}{'× time':>8}{'× CPU':>8}")
    grids = json.loads(given.output.read_text())["grids"] if given.output.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        for grid in [16, 32] if given.quick else given.grids:
            found: dict[str, Any] = {**machine(), "cores_used": given.cores, "rounds": given.rounds}
            found["programs"] = measure(grid, given, Path(folder))
            show(grid, found["programs"])
            grids[str(grid)] = found
    if given.quick:
        return
    document = {"cell_mpc_h": CELL, "grids": dict(sorted(grids.items(), key=lambda one: int(one[0])))}
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps(document, indent=1) + "\n")


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="grids of 16 and 32; writes nothing")
    parser.add_argument("--grids", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--jax-python", type=Path, help="interpreter that has jax and jaxpm")
    parser.add_argument("--device", default="cpu", help=argparse.SUPPRESS)
    parser.add_argument("--child", type=int, metavar="GRID", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "simulation.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
