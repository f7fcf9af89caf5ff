"""Training on maps that do not fit into memory, beside the same training on maps that do.

A sparse file of 100,000 maps of 256² (26 GB, of which one page a map is on disk) is read through a memory map while a
small UNet trains; other batches of the same size are held in memory. Blocks of steps alternate in one process, and the
rates are medians. The anonymous memory of a process that streams (RssAnon: without the page cache) is measured for
sets of several sizes, each in a process of its own. Zarr and HDF5 files in compressed chunks are read by windows of
chunks and, as FOCUS did before, map by map. Prints tables and writes benchmarks/results/streaming.json.
Run: python benchmarks/streaming.py [--quick] [--maps 100000] [--map-size 256] [--rounds 7] [--folder DIR]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alternation import Seconds, alternate, machine

from focus_engine.data.batches import Batch, Batches
from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.normalise import Normaliser
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.generative.flow import Flow
from focus_engine.models.unet import SimpleUNet

PER_SIMULATION, BATCH, STEPS = 10, 4, 2
RESIDENT, CHUNKED, CHUNK = 64, 1000, 100
NORMALISER = Normaliser("log10", (0.0,), (1.0,), (1e-3,), 0, 1)
RESULTS = Path(__file__).parent / "results" / "streaming.json"


def write_sparse(folder: Path, maps: int, size: int) -> Path:
    """Write a .npy of `maps` that are zero but for one pixel, and their parameters; return its path."""
    path = folder / f"maps_{maps}.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (maps, size, size)}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        file.truncate(start + 4 * maps * size**2)
    mapped = np.load(path, mmap_mode="r+")
    mapped[:, 0, 0] = np.arange(1, maps + 1)
    mapped.flush()
    write_parameters(folder, maps)
    return path


def write_parameters(folder: Path, maps: int) -> None:
    """Write the table of parameters of `maps`."""
    values = np.random.default_rng(0).uniform(0.1, 0.5, (maps // PER_SIMULATION, 2))
    np.savetxt(folder / f"params_{maps}.txt", values, fmt="%.5f")


def opened(path: Path, maps: int) -> MapSet:
    """Return the set of `maps` at `path`."""
    table = path.parent / f"params_{maps}.txt"
    return open_map_set(path, table, box_size=25.0, maps_per_simulation=PER_SIMULATION)


def batches_of(maps: MapSet, count: int, *, resident: bool, workers: int = 4) -> Batches:
    """Return batches of the first `count` maps."""
    scaler = ParameterScaler.fit(maps, range(maps.n_simulations))
    options = {"batch_size": BATCH, "shuffle": True, "resident": resident, "num_workers": workers}
    return Batches(maps, range(count), NORMALISER, scaler, **options)  # type: ignore[arg-type]


def endless(batches: Batches) -> Iterator[Batch]:
    """Yield batches of one epoch after the other."""
    epoch = 0
    while True:
        yield from batches.epoch(epoch)
        epoch += 1


class Training:
    """Steps of a small UNet."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = SimpleUNet(cond_dim=2, base_channels=8, channel_mults=(1, 2, 2, 2))
        self.process, self.optimizer = Flow(), torch.optim.AdamW(self.network.parameters(), lr=1e-4)

    def steps(self, batches: Iterator[Batch], count: int = STEPS) -> None:
        """Make `count` steps."""
        for _ in range(count):
            batch = next(batches)
            noise, u = torch.randn_like(batch.maps), torch.rand(len(batch))
            self.process.loss(self.network, batch.maps, batch.cond, u=u, noise=noise).mean().backward()
            self.optimizer.step()
            self.optimizer.zero_grad()


def anonymous_mib() -> float:
    """Return the memory of this process that no file backs [MiB]."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:"))


def child(path: Path, maps: int) -> None:
    """Read batches of one epoch and print the largest anonymous memory, less that before the first."""
    batches, before = batches_of(opened(path, maps), maps, resident=False), anonymous_mib()
    highest = max(anonymous_mib() for _, _ in zip(range(100), endless(batches), strict=False))
    print(json.dumps({"before": before, "reading": highest}))


def memory(path: Path, maps: int) -> dict[str, float]:
    """Return the anonymous memory of a process before and while it streams `maps` [MiB]."""
    command = [sys.executable, __file__, "--child", str(path), str(maps)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def rates(path: Path, maps: int, rounds: int) -> dict[str, Any]:
    """Return steps per second, resident and streamed, and the rate of reading alone."""
    training, whole = Training(), opened(path, maps)
    ways = {
        "resident": endless(batches_of(whole, RESIDENT, resident=True)),
        "streamed": endless(batches_of(whole, maps, resident=False)),
    }
    found = alternate({name: lambda some=some: training.steps(some) for name, some in ways.items()}, rounds)
    ratios = {
        kind: statistics.median(getattr(found["resident"], kind)) / statistics.median(getattr(found["streamed"], kind))
        for kind in ("wall", "cpu")
    }
    alone = batches_of(whole, maps, resident=False)
    return {
        "steps_per_s": {name: STEPS / one.medians()["wall_s"] for name, one in found.items()},
        "cpu_s_per_step": {name: one.medians()["cpu_s"] / STEPS for name, one in found.items()},
        "streamed_to_resident": ratios,
        "seconds": {name: vars_of(one) for name, one in found.items()},
        "read_maps_per_s": read_rate(endless(alone), 40),
    }


def vars_of(seconds: Seconds) -> dict[str, list[float]]:
    """Return the seconds of every round."""
    return {"wall": seconds.wall, "cpu": seconds.cpu}


def read_rate(batches: Iterator[Batch], count: int) -> float:
    """Return maps per second of reading without training."""
    next(batches)
    began = time.perf_counter()
    maps = sum(len(next(batches)) for _ in range(count))
    return maps / (time.perf_counter() - began)


def chunked(folder: Path, count: int, size: int) -> dict[str, dict[str, float]]:
    """Return maps per second from files in chunks of CHUNK maps: by windows, and map by map in random order."""
    values = (10 ** np.random.default_rng(0).normal(10.9, 0.4, (count, size, size))).astype(np.float32)
    write_parameters(folder, count)
    rows = {}
    for name, write in {"Zarr (zstd)": write_zarr, "HDF5 (gzip)": write_hdf5}.items():
        maps = opened(write(folder, values), count)
        batches, began = batches_of(maps, count, resident=False), time.perf_counter()
        shown = sum(len(batch) for batch in batches.epoch(0))
        windows = shown / (time.perf_counter() - began)
        ids, began = np.random.default_rng(0).permutation(count)[:40], time.perf_counter()
        for index in ids:
            maps.read([index])
        rows[name] = {"windows": windows, "map by map": len(ids) / (time.perf_counter() - began)}
    return rows


def write_zarr(folder: Path, values: np.ndarray) -> Path:
    """Write a compressed Zarr folder."""
    import zarr

    path = folder / "maps.zarr"
    array = zarr.create_array(path, shape=values.shape, chunks=(CHUNK, *values.shape[1:]), dtype="float32")
    array[:] = values
    return path


def write_hdf5(folder: Path, values: np.ndarray) -> Path:
    """Write a compressed HDF5 file."""
    import h5py

    with h5py.File(folder / "maps.h5", "w") as file:
        file.create_dataset("maps", data=values, chunks=(CHUNK, *values.shape[1:]), compression="gzip")
    return folder / "maps.h5"


def measure(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Measure and print everything."""
    sizes = sorted({max(100, given.maps // 100), max(100, given.maps // 10), given.maps})
    paths = {count: write_sparse(folder, count, given.map_size) for count in sizes}
    result = rates(paths[given.maps], given.maps, given.rounds)
    print(f"\n{given.maps:,} maps of {given.map_size}², {4 * given.maps * given.map_size**2 / 1e9:.1f} GB")
    for name, rate in result["steps_per_s"].items():
        print(f"{name:<12}{rate:>8.2f} steps/s{result['cpu_s_per_step'][name]:>9.3f} CPU s/step")
    ratio = result["streamed_to_resident"]
    print(f"streamed is {ratio['wall']:.3f} x resident (CPU time {ratio['cpu']:.3f}; goal 0.95)")
    print(f"reading alone: {result['read_maps_per_s']:.0f} maps/s")
    result["rss_anon_mib"] = {str(count): memory(path, count) for count, path in paths.items()}
    print("anonymous memory before and while reading [MiB]:")
    for count, mib in result["rss_anon_mib"].items():
        print(f"{int(count):>12,} maps {mib['before']:>8.0f}{mib['reading']:>8.0f}")
    result["chunked"] = chunked(folder, given.chunked, given.map_size)
    print(f"\n{given.chunked} maps in chunks of {CHUNK}  windows   map by map  [maps/s]")
    for name, row in result["chunked"].items():
        print(f"{name:<28}{row['windows']:>9.0f}{row['map by map']:>13.1f}")
    return result


def main() -> None:
    """Measure, print the tables and write the JSON."""
    given = options()
    if given.child:
        child(Path(given.child[0]), int(given.child[1]))
        return
    torch.set_num_threads(given.threads)
    if given.quick:
        given.maps, given.map_size, given.rounds, given.chunked = 2000, 64, 2, 400
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        result = measure(Path(folder), given)
    document = {**machine("zarr", "h5py"), "maps": given.maps, "map_size": given.map_size, "batch": BATCH, **result}
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps(document, indent=1) + "\n")


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 maps of 64 x 64, two rounds")
    parser.add_argument("--maps", type=int, default=100_000)
    parser.add_argument("--map-size", type=int, default=256)
    parser.add_argument("--chunked", type=int, default=CHUNKED, help="maps in the Zarr and HDF5 files")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--folder", type=Path, help="where the files are made; 0.5 GB of disk, files of 26 GB")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
