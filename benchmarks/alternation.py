"""Programs timed in turns in one run, and what a result says of the machine that it is of."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import torch

from focus_engine.training.devices import device_name


@dataclass(frozen=True)
class Seconds:
    """Wall and CPU seconds of one program, one value a round; the CPU time is that of all threads of the process."""

    wall: list[float]
    cpu: list[float]

    def medians(self) -> dict[str, float]:
        """Return the medians."""
        return {"wall_s": statistics.median(self.wall), "cpu_s": statistics.median(self.cpu)}


def alternate(programs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """Return the seconds of every program, run once in each of `rounds`, in turns; a first round is not counted."""
    seconds = {name: Seconds([], []) for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            program()
            if number:
                seconds[name].wall.append(time.perf_counter() - wall)
                seconds[name].cpu.append(time.process_time() - cpu)
    return seconds


def machine(*packages: str) -> dict[str, object]:
    """Return date, processor, cores, threads, load and the versions of `packages`."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": device_name(torch.device("cpu")),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": list(os.getloadavg()),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("torch", "numpy", *packages)},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
