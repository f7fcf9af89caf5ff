"""Benchmark of several devices: CPU ranks measured here, GPUs predicted from bytes and FLOP.

Measured, of the template `small_flow` in float32 with 1, 2 and 4 ranks (processes of one thread, started in turns):
- training: one batch divided among the ranks, which average their gradients over gloo;
- validation: the validation loss of an epoch;
- samples: the 16 maps that an epoch draws, with their P(k);
- evaluation: the maps of `focus evaluate --gpus N`, by threads of one process, a copy of the network each.
The work of all ranks stays the same. Ranks beyond the cores of the machine only show what they cost.
Predicted: the network of the template `diffusion` on 256 x 256 maps, 64 a GPU. A step computes for its FLOP at the rate
of one H100 (docs/performance.md) and sends 2 (n - 1) / n times the gradients, as a ring does; DistributedDataParallel
sends while the backward pass, two thirds of a step, computes. The table has the efficiency with and without that
overlap. No GPU is used.
Prints both tables and writes benchmarks/results/scaling.json.
Run: python benchmarks/scaling.py [--rounds 3] [--steps 16] [--quick]; about 6 minutes of CPU time
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
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.generative.sampling import SamplingPlan
from focus_engine.generative.shared_sampling import Copy, SharedJob, share_steps
from focus_engine.models.build import build_network, count_parameters
from focus_engine.models.inference import for_inference
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.training.flop import training_flop
from focus_engine.training.loop import train
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import prepare_data
from focus_engine.training.ranks import Ranks
from focus_engine.worker.samples import RunSampler

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
    """Work as the rank that the environment names; rank 0 writes how much is done in a second to `output`."""
    torch.set_num_threads(1)
    ranks = Ranks() if os.environ["WORLD_SIZE"] == "1" else Ranks.join(torch.device("cpu"))
    run = prepared(ranks, quick=quick)
    train_steps(run, WARM_STEPS)
    began = time.perf_counter()
    rates = {"training": train_steps(run, steps) / (time.perf_counter() - began)}
    folder = RunFolder(output.parent)
    folder.make_folders()
    sampler = RunSampler(run, model_in_training(run), folder)
    run.state.network.eval()
    for name, work in {
        "validation": lambda: run.training.validation.losses(run.state.ema.module, run.state.network),
        "samples": lambda: sampler.draw(None, lambda: False),
    }.items():
        work()
        began = time.perf_counter()
        work()
        rates[name] = 1 / (time.perf_counter() - began)
    if ranks.lead:
        output.write_text(json.dumps(rates), encoding="utf-8")
    ranks.leave()


def be_copies(count: int, output: Path, *, quick: bool) -> None:
    """Draw maps with `count` copies of the network in threads; write how often a second all are drawn."""
    torch.set_num_threads(1)
    model = model_in_training(prepared(Ranks(), quick=quick))
    copies = [Copy(for_inference(model.network), torch.device("cpu")) for _ in range(count)]
    plan = SamplingPlan("euler", steps=2 if quick else 20, batch_size=4 if quick else 16)
    cond = torch.zeros(8 if quick else 64, model.config.model.cond_dim)
    job = SharedJob(model.process, cond, model.map_shape, plan, model.context, torch.inference_mode)
    for number in range(2):
        began = time.perf_counter()
        for _ in share_steps(copies, job):
            pass
        if number:
            rates = {"evaluation": 1 / (time.perf_counter() - began)}
            output.write_text(json.dumps(rates), encoding="utf-8")


def rates_of(ranks: int, steps: int, *, quick: bool) -> dict[str, float]:
    """Return what `ranks` do in a second, in processes of their own. Raises RuntimeError if one fails."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "GLOO_SOCKET_IFNAME": "lo"}
        output = Path(folder) / "rates"
        words = [sys.executable, __file__, "--steps", str(steps), "--output", str(output), *["--quick"] * quick]
        free.close()
        common = {**os.environ, **address, "WORLD_SIZE": str(ranks), "OMP_NUM_THREADS": "1"}
        found: dict[str, float] = {}
        for work in ([["--rank"]] * ranks, [["--copies", str(ranks)]]):
            processes = [
                subprocess.Popen([*words, *more], env={**common, "RANK": str(one)}) for one, more in enumerate(work)
            ]
            codes = [process.wait() for process in processes]
            if any(codes):
                raise RuntimeError(f"{work[0][0].strip('-')}: {ranks} ended with {codes}")
            found |= json.loads(output.read_text(encoding="utf-8"))
        return found


def measure(rounds: int, steps: int, *, quick: bool) -> list[dict[str, Any]]:
    """Return what is done in a second by kind of work and number of ranks, medians of `rounds` in turns."""
    gradients = 4 * count_parameters(prepared(Ranks(), quick=quick).state.network)
    rates: dict[int, list[dict[str, float]]] = {ranks: [] for ranks in RANKS}
    for _ in range(rounds):
        for ranks in RANKS:
            rates[ranks].append(rates_of(ranks, steps, quick=quick))
    return [row(rates, work, ranks, gradients) for work in rates[1][0] for ranks in RANKS]


def row(rates: dict[int, list[dict[str, float]]], work: str, ranks: int, gradients: int) -> dict[str, Any]:
    """Return the row of a kind of work; gains are medians of ratios within a round, which met the same load."""
    gain = statistics.median(many[work] / one[work] for many, one in zip(rates[ranks], rates[1], strict=True))
    return {
        "work": work,
        "ranks": ranks,
        "maps_per_s" if work == "training" else "times_per_s": statistics.median(one[work] for one in rates[ranks]),
        "gain": gain,
        "efficiency": gain / ranks,
        "more_ranks_than_cores": ranks > (os.cpu_count() or 1),
        **({"gradient_bytes": gradients} if work == "training" else {}),
    }


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
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--copies", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rank:
        be_a_rank(given.steps, given.output, quick=given.quick)
        return
    if given.copies:
        be_copies(given.copies, given.output, quick=given.quick)
        return
    torch.set_num_threads(1)
    measured = measure(given.rounds, given.steps, quick=given.quick)
    numbers, rows = predicted()
    size = "tiny" if given.quick else "the template's"
    print(f"small_flow in float32, the same work divided among ranks; network and maps: {size}")
    heads = f"{'work':<12}{'ranks':>5}{'per s':>10}{'gain':>8}{'efficiency':>12}"
    print(f"{heads}   of one thread each, {os.cpu_count()} cores")
    for one in measured:
        more = "   more ranks than cores" if one["more_ranks_than_cores"] else ""
        rate = one.get("maps_per_s", one.get("times_per_s"))
        print(f"{one['work']:<12}{one['ranks']:>5}{rate:>10.2f}{one['gain']:>8.2f}{one['efficiency']:>12.2f}{more}")
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
