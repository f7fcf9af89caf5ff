"""Benchmark of training on several devices: CPU ranks measured here, GPUs predicted from bytes and FLOP.

Measured: the training loop of the template `small_flow` with its batch divided among 1, 2 and 4 ranks (processes that
average their gradients over gloo), of one thread each, started in turns. The batch of all ranks stays the same, as in
`training.devices`. Ranks beyond the cores of the machine only show what they cost.
Predicted: the network of the template `diffusion` on 256 x 256 maps, 64 a GPU. A step computes for its FLOP at the rate
of one H100 (docs/performance.md) and sends 2 (n - 1) / n times the gradients, as a ring does; DistributedDataParallel
sends while the backward pass, two thirds of a step, computes. The table has the efficiency with and without that
overlap. No GPU is used.
Prints both tables and writes benchmarks/results/scaling.json.
Run: python benchmarks/scaling.py [--rounds 3] [--steps 16] [--quick]; about 130 s of CPU time
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import torch
from alternation import machine

from focus_engine.config.templates import template_config
from focus_engine.data.opening import open_maps
from focus_engine.models.build import build_network, count_parameters
from focus_engine.progress import drain
from focus_engine.training.flop import training_flop
from focus_engine.training.loop import train
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import prepare_data
from focus_engine.training.ranks import Ranks

RANKS = (1, 2, 4)
WARM_STEPS = 3
RESULTS = Path(__file__).parent / "results" / "scaling.json"
RATE = 1.89e12 * 64 / 0.26
"""FLOP/s of one H100 in a step of 64 maps in bf16: 0.26 s."""
MAPS_A_GPU = 64
BACKWARD_SHARE = 2 / 3
LINKS = {
    "NVLink 4": (360e9, (2, 8)),
    "PCIe 5 x16": (50e9, (2, 8)),
    "PCIe 4 x16": (25e9, (2, 8)),
    "100 Gb/s network": (10e9, (2, 8, 64)),
}
"""Bytes per second and direction between neighbours of a ring, 80 % of nominal: assumptions. Numbers of GPUs."""
QUICK = {
    "data.simulations": 8,
    "data.grid": 8,
    "data.map_size": 8,
    "data.maps_per_simulation": 3,
    "model.base_channels": 8,
    "model.channel_mults": [1],
    "training.batch_size": 4,
}


def prepared(ranks: Ranks, *, quick: bool) -> PreparedRun:
    """Return the run of the template, whose maps are in the cache after the first call."""
    usual = {"training.precision": "float32", "training.sample_every": 0, "training.num_epochs": 1_000_000}
    config = template_config("small_flow", {**usual, **(QUICK if quick else {})})
    data = prepare_data(config, drain(open_maps(config, Path.cwd())))
    return prepare_run(config, data, torch.device("cpu"), ranks=ranks)


def train_steps(run: PreparedRun, count: int) -> int:
    """Make `count` optimiser steps of FOCUS's loop; return the number of maps seen by all ranks."""
    end, before = run.state.step + count, _maps_seen(run)

    def stop() -> Literal["now"] | None:
        return "now" if run.state.step >= end else None

    for _ in train(run.training, run.state, stop):
        pass
    return _maps_seen(run) - before


def _maps_seen(run: PreparedRun) -> int:
    return run.state.epoch * run.training.batches.n_maps + run.state.running.maps


def be_a_rank(steps: int, output: Path, *, quick: bool) -> None:
    """Train as the rank that the environment names; rank 0 writes maps per second to `output`."""
    torch.set_num_threads(1)
    ranks = Ranks() if os.environ["WORLD_SIZE"] == "1" else Ranks.join(torch.device("cpu"))
    run = prepared(ranks, quick=quick)
    train_steps(run, WARM_STEPS)
    began = time.perf_counter()
    maps = train_steps(run, steps)
    if ranks.lead:
        output.write_text(str(maps / (time.perf_counter() - began)), encoding="utf-8")
    ranks.leave()


def maps_per_second(ranks: int, steps: int, *, quick: bool) -> float:
    """Return the maps per second of all `ranks`, in processes of their own. Raises RuntimeError if one fails."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "GLOO_SOCKET_IFNAME": "lo"}
        output = Path(folder) / "rate"
        words = [sys.executable, __file__, "--steps", str(steps), "--output", str(output), *["--quick"] * quick]
        free.close()
        common = {**os.environ, **address, "WORLD_SIZE": str(ranks), "OMP_NUM_THREADS": "1"}
        processes = [subprocess.Popen([*words, "--rank"], env={**common, "RANK": str(one)}) for one in range(ranks)]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise RuntimeError(f"{ranks} ranks ended with {codes}")
        return float(output.read_text(encoding="utf-8"))


def measure(rounds: int, steps: int, *, quick: bool) -> list[dict[str, Any]]:
    """Return maps per second by number of ranks, the median of `rounds` in turns."""
    run = prepared(Ranks(), quick=quick)
    gradients = 4 * count_parameters(run.state.network)
    rates: dict[int, list[float]] = {ranks: [] for ranks in RANKS}
    for _ in range(rounds):
        for ranks in RANKS:
            rates[ranks].append(maps_per_second(ranks, steps, quick=quick))
    # Ratios within a round, whose programs met the same load.
    gain = {n: statistics.median(a / b for a, b in zip(rates[n], rates[1], strict=True)) for n in RANKS}
    return [
        {
            "ranks": ranks,
            "maps_per_s": statistics.median(rates[ranks]),
            "gain": gain[ranks],
            "efficiency": gain[ranks] / ranks,
            "more_ranks_than_cores": ranks > (os.cpu_count() or 1),
            "gradient_bytes": gradients,
        }
        for ranks in RANKS
    ]


def predicted() -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return bytes and FLOP of a step of the template `diffusion`, and the efficiency by link and number of GPUs."""
    model = template_config("diffusion", {}).model
    with torch.device("meta"):
        parameters = count_parameters(build_network(model))
    flop = training_flop(model, (model.in_channels, 256, 256))
    if flop is None:
        raise RuntimeError("the FLOP of the network cannot be counted")
    size, work = 4 * parameters, MAPS_A_GPU * flop
    rows = [
        {"link": link, "bytes_per_s": speed, "gpus": gpus, **efficiency(size, work, speed, gpus)}
        for link, (speed, numbers_of_gpus) in LINKS.items()
        for gpus in numbers_of_gpus
    ]
    numbers = {"parameters": parameters, "gradient_bytes": size, "flop": work, "flop_per_byte": work / size}
    return numbers, rows


def efficiency(size: float, flop: float, speed: float, gpus: int) -> dict[str, float]:
    """Return the predicted efficiency of `gpus` that average gradients of `size` bytes a step of `flop` FLOP each.

    `speed` is that of the link [bytes/s]. `overlapped`: sent during the backward pass; `waiting`: after it.
    """
    computing, sending = flop / RATE, 2 * (gpus - 1) / gpus * size / speed
    uncovered = max(0.0, sending - BACKWARD_SHARE * computing)
    return {
        "sending_s": sending,
        "overlapped": computing / (computing + uncovered),
        "waiting": computing / (computing + sending),
    }


def main() -> None:
    """Measure, predict, print and write; with `--rank`, be one of the ranks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="tiny maps: shows that it works")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--rank", action="store_true", help="used by the script itself")
    given = parser.parse_args()
    if given.rank:
        be_a_rank(given.steps, given.output, quick=given.quick)
        return
    torch.set_num_threads(1)
    measured = measure(given.rounds, given.steps, quick=given.quick)
    numbers, rows = predicted()
    size = "tiny" if given.quick else "the template's"
    print(f"training of small_flow in float32, one batch divided among ranks; network and maps: {size}")
    print(f"{'ranks':>5}{'maps/s':>10}{'gain':>8}{'efficiency':>12}   of one thread each, {os.cpu_count()} cores")
    for one in measured:
        more = "   more ranks than cores" if one["more_ranks_than_cores"] else ""
        print(f"{one['ranks']:>5}{one['maps_per_s']:>10.1f}{one['gain']:>8.2f}{one['efficiency']:>12.2f}{more}")
    print(
        f"\na step of {MAPS_A_GPU} maps: {numbers['gradient_bytes'] / 1e9:.2f} GB of gradients, "
        f"{numbers['flop'] / 1e12:.0f} TFLOP, {numbers['flop_per_byte']:.0f} FLOP per byte"
    )
    print(f"{'predicted':<18}{'GPUs':>5}{'sending s':>11}{'overlapped':>12}{'waiting':>9}")
    for row in rows:
        print(
            f"{row['link']:<18}{row['gpus']:>5}{row['sending_s']:>11.4f}{row['overlapped']:>12.3f}{row['waiting']:>9.3f}"
        )
    result = {"machine": machine(), "steps": given.steps, "rounds": given.rounds, "quick": given.quick}
    document = {**result, "measured": measured, "network": numbers, "predicted": rows}
    given.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
