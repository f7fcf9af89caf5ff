"""A set of simulated universes on disk, in the layout of the CAMELS Multifield Dataset.

Each universe is written to its own file when finished, so that an interrupted set can be continued. The complete
set is joined in `maps.npy` and `params.txt`, and `simulation.json` records how it was made. A universe depends only
on its own seed, so a resumed set has the same bytes as an uninterrupted one.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from focus_engine.allocator import keep_freed_memory, large_transforms
from focus_engine.config.designs import DEFAULT_DESIGN
from focus_engine.config.heap import usable_cores
from focus_engine.errors import InputError
from focus_engine.simulation.cosmology import Cosmology
from focus_engine.simulation.designs import DEFAULT_RANGES, design_set
from focus_engine.simulation.folder import UniverseFolder
from focus_engine.simulation.simulate import UniverseLayout, particle_history, project

PHYSICS_REVISION = 2
"""Incremented when the same arguments would give other maps; part of a set's fingerprint."""

_MEMORY_FOR_UNIVERSES = 4 * 2**30
_MEMORY_A_CELL = 530
"""Peak memory of a universe over its number of cells [bytes], measured at 128³."""
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class SimulationProgress:
    """Progress of a set of universes.

    Attributes:
        done: number of finished universes.
        total: number of universes in the set.
        waiting: whether another process is simulating this set and this one waits for it.
    """

    done: int
    total: int
    waiting: bool


@dataclass(frozen=True)
class FinishedUniverses:
    """A complete set of universes.

    Attributes:
        simulations: number of universes.
        maps_path: the maps (simulations × maps_per_simulation, M, M).
        params_path: the table of parameters, one row per universe.
    """

    simulations: int
    maps_path: Path
    params_path: Path


@dataclass(frozen=True)
class UniverseSet:
    """A set of universes to simulate: one layout, and (Omega_m, sigma_8) and a seed for each.

    Attributes:
        layout: the sizes of each universe.
        params: (simulations, 2) float64: Omega_m, sigma_8.
        fields: (simulations,) number of the initial field of each universe.
        seed: seed of the whole set.
        device: a torch device.
        arguments: the user's arguments, as recorded and compared.
    """

    layout: UniverseLayout
    params: NDArray[np.float64]
    fields: NDArray[np.int64]
    seed: int
    device: torch.device
    arguments: Mapping[str, object]

    def seed_of(self, index: int) -> int:
        """Return the seed of the initial field of universe `index`."""
        field = int(self.fields[index])
        return int(np.random.SeedSequence([self.seed, field]).generate_state(1, np.uint64)[0])

    def simulate(self, index: int, stop: threading.Event) -> NDArray[np.float32] | None:
        """Return the maps of universe `index`, or None if `stop` was set meanwhile."""
        cosmology = Cosmology(*(float(value) for value in self.params[index]))
        today = None
        for today in particle_history(cosmology, self.layout, self.seed_of(index), self.device):  # noqa: B007 - only the last one is used
            if stop.is_set():
                return None
        return None if today is None else project(cosmology, self.layout, today)


def simulate_universes(
    folder: Path,
    *,
    simulations: int,
    layout: UniverseLayout,
    seed: int = 0,
    params_range: Mapping[str, tuple[float, float]] | None = None,
    params: ArrayLike | None = None,
    design: str = DEFAULT_DESIGN,
    device: str = "cpu",
) -> Generator[SimulationProgress, None, FinishedUniverses]:
    """Simulate, continue or find a set of universes in `folder`; yield progress per universe and return the set.

    After an interruption (generator closed, Ctrl-C, kill), the same arguments continue the set. An existing set is
    never overwritten.

    Args:
        folder: folder of maps.npy, params.txt and simulation.json; created if missing.
        simulations: number of universes.
        layout: particles, pixels, box and maps of each universe.
        seed: seed of parameters and initial fields; universe i depends only on (seed, i).
        params_range: lowest and highest Omega_m and sigma_8 of the design, by default `DEFAULT_RANGES`; equal ends
            fix a parameter.
        params: (simulations, 2), Omega_m and sigma_8 of each universe, instead of ranges and a design.
        design: how the parameters are chosen, a name in `DESIGNS`. Universes of a 1P set share one initial field.
        device: cpu, cuda or cuda:N.

    Raises:
        InputError: an argument is invalid (raised at the call, before anything is written), or the folder holds
            other data (raised at the first step).
        FocusError: a file can't be written.
    """
    wanted = plan_universes(simulations, layout, seed, params_range, params, device, design)
    return fill_universes(UniverseFolder(folder), wanted)


def plan_universes(
    simulations: int,
    layout: UniverseLayout,
    seed: int,
    params_range: Mapping[str, tuple[float, float]] | None,
    params: ArrayLike | None,
    device: str,
    design: str = DEFAULT_DESIGN,
) -> UniverseSet:
    """Check the arguments of `simulate_universes` and choose the parameters.

    Raises:
        InputError: an argument is invalid; the message gives the value and what is allowed.
    """
    if simulations < 1:
        raise InputError(f"simulations = {simulations}: give at least 1")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed = {seed}: it must be between 0 and 2⁶³ − 1")
    if params is not None and (params_range is not None or design != DEFAULT_DESIGN):
        raise InputError("params are given with params_range or a design: give the parameters themselves, or a design")
    place = _device(device)
    described: dict[str, object]
    if params is None:
        designed = design_set(design, simulations, seed, params_range)
        table, fields = designed.params, designed.fields
        described = {"design": design, "params": {name: list(bounds) for name, bounds in designed.ranges.items()}}
    else:
        table, fields = _own_params(params, simulations), np.arange(simulations)
        described = {"params": table.tolist()}
    for omega_m, sigma_8 in table:
        Cosmology(float(omega_m), float(sigma_8))
    arguments = {
        "simulations": simulations,
        "grid": layout.grid,
        "map_size": layout.map_size,
        "box_size": layout.box_size,
        "maps_per_simulation": layout.maps_per_simulation,
        "seed": seed,
        **described,
        "device": place.type,
        "physics_revision": PHYSICS_REVISION,
    }
    return UniverseSet(layout, table, fields, seed, place, arguments)


def _own_params(params: ArrayLike, simulations: int) -> NDArray[np.float64]:
    table = np.asarray(params, dtype=np.float64)
    if table.shape != (simulations, 2):
        raise InputError(
            f"params has shape {table.shape}: give (simulations, 2) = ({simulations}, 2), Omega_m and sigma_8"
        )
    return table.round(5)


def fill_universes(
    folder: UniverseFolder, wanted: UniverseSet
) -> Generator[SimulationProgress, None, FinishedUniverses]:
    """Simulate, continue or find a planned set (see `simulate_universes`)."""
    total = len(wanted.params)
    universes = FinishedUniverses(total, folder.maps_path, folder.params_path)
    folder.check(wanted.arguments)
    if folder.is_finished():
        return universes
    folder.begin(wanted.arguments)
    pause = threading.Event()
    with folder.lock() as try_lock:
        while not try_lock():
            yield SimulationProgress(folder.count(), total, waiting=True)
            pause.wait(_POLL_SECONDS)
        if not folder.is_finished():  # while we waited, the other process may have finished it
            folder.begin(wanted.arguments)
            missing = [index for index in range(total) if not folder.holds(index)]
            yield SimulationProgress(total - len(missing), total, waiting=False)
            for done, (index, maps) in enumerate(_simulate_all(wanted, missing), start=total - len(missing) + 1):
                folder.keep(index, maps)
                yield SimulationProgress(done, total, waiting=False)
            folder.finish(wanted.arguments, wanted.params, _provenance())
    return universes


def _simulate_all(wanted: UniverseSet, missing: list[int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (index, maps) of the missing universes, simulated in parallel; closing early stops all within a step.

    Threads, not processes: torch releases the GIL in its kernels, and a process would need 2 s to import torch
    (measured: 100 universes of 32³ in 25 s on 2 cores).
    """
    if wanted.device.type == "cpu":
        keep_freed_memory(one_heap=large_transforms(wanted.layout.grid))
    workers = workers_for(wanted, len(missing))
    threads = torch.get_num_threads()
    stop = threading.Event()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads if workers == 1 else 1,))
    try:
        running: dict[Future[NDArray[np.float32] | None], int] = {}
        queue = iter(missing)
        while True:
            while len(running) < workers + 1 and (index := next(queue, None)) is not None:
                running[pool.submit(wanted.simulate, index, stop)] = index
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                maps = future.result()
                index = running.pop(future)
                if maps is not None:
                    yield index, maps
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)


def workers_for(wanted: UniverseSet, universes: int) -> int:
    """Return how many of `universes` are simulated at a time."""
    if wanted.device.type != "cpu":
        return 1
    memory = _MEMORY_A_CELL * wanted.layout.grid**3
    return max(1, min(usable_cores(), torch.get_num_threads(), universes, _MEMORY_FOR_UNIVERSES // memory))


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        if device.type not in {"cpu", "cuda"}:  # mass is summed in float64, which MPS lacks
            raise InputError(f"device = {name!r}: universes are simulated on cpu, cuda or cuda:N")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device = {name!r}: it can't be used here ({reason}); give cpu, cuda or cuda:N") from error
    return device


def _provenance() -> dict[str, object]:
    fiducial = Cosmology(*(bounds[0] for bounds in DEFAULT_RANGES.values()))
    return {
        "field": "projected surface density of all matter",
        "units": "(Msun/h)/(Mpc/h)^2",
        "redshift": 0.0,
        "fixed": {"h": fiducial.h, "n_s": fiducial.n_s, "Omega_b": fiducial.Omega_b},
        "linear_power": "Eisenstein & Hu 1998, no wiggles",
        "torch_version": torch.__version__,
    }
