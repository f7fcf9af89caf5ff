"""Programs timed in turns in one run, and what a result says of the machine that it is of."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from multiprocessing.connection import Connection

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


def alternate_processes(
    makers: Mapping[str, Callable[[], Callable[[], object]]], rounds: int, threads: int
) -> dict[str, Seconds]:
    """Return what `alternate` does, each program in a process of its own with `threads` threads of torch.

    So each has the settings of the process that it chooses and no other's, such as those of the memory allocator. A
    maker, which must be picklable, is called in that process and returns the program.
    """
    spawn = get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    for name, make in makers.items():
        pipes[name], end = spawn.Pipe()
        processes.append(spawn.Process(target=_serve, args=(end, make, threads), daemon=True))
        processes[-1].start()
        end.close()
    seconds = {name: Seconds([], []) for name in makers}
    for number in range(rounds + 1):
        for name, pipe in pipes.items():
            pipe.send(None)
            wall, cpu = pipe.recv()
            if number:
                seconds[name].wall.append(wall)
                seconds[name].cpu.append(cpu)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.close()
        process.join()
    return seconds


def _serve(pipe: Connection, make: Callable[[], Callable[[], object]], threads: int) -> None:
    """Run a program whenever `pipe` asks for it, and answer with its wall and CPU seconds."""
    torch.set_num_threads(threads)
    program = make()
    with suppress(EOFError):
        while True:
            pipe.recv()
            wall, cpu = time.perf_counter(), time.process_time()
            program()
            pipe.send((time.perf_counter() - wall, time.process_time() - cpu))


def noise_seed(seed: int) -> int:
    """Return the seed of the noise from which the network of a training seed (from 0) is drawn.

    Seeds from 6 on: the mean of a map follows that of its noise, and that of the first 160, 240 and 300 maps of 32 x 32
    is within 0.8 standard deviations of zero for 6, 7 and 8, and off by 2.7, 0.6 and 2.7 for 0, 1 and 2, by chance.
    """
    return 6 + seed


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
