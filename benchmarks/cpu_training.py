"""Benchmark of training on a CPU: FOCUS's training loop, bare loops over its network, and other programs of its size.

All train on the maps of the template `small_flow` (32 x 32) in batches of 32, in alternation, so that other load slows
all. FOCUS runs its real loop: augmentation, gradient clipping, Muon, two power-function averages, the moving average,
checks for NaN and events. The bare loops make the same steps of the same network on maps that are ready, with one
moving average and nothing else; one divides the batch among threads as FOCUS does, one leaves the threads to torch.
The others train their own networks, of about as many parameters as FOCUS's, as their documents show it, in float32.
Prints a table and writes benchmarks/results/cpu_training.json. Goals: at least 0.97 of the bare loop with equal
threads, 1.5 times the other programs.
Run: python benchmarks/cpu_training.py [--rounds 7] [--steps 12] [--precision bf16 float32]
"""

import argparse
import importlib.util
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from alternation import machine
from peers import PEERS, TrainingMaps

from focus_engine.config.templates import template_config
from focus_engine.data.opening import open_maps
from focus_engine.models.batch_parts import WHOLE, BatchParts
from focus_engine.models.build import build_network, count_parameters
from focus_engine.models.ema import ExponentialAverage
from focus_engine.models.fused import placed
from focus_engine.progress import drain
from focus_engine.training.loop import train
from focus_engine.training.optimisers import build_optimiser
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import prepare_data

TEMPLATE, BATCH = "small_flow", 32
OTHERS = {"denoising-diffusion-pytorch": (24, 48, 48), "diffusers": (24, 48, 48)}
"""Channels at which the others have somewhat fewer parameters than FOCUS, which favours them."""
RESULTS = Path(__file__).parent / "results"
Steps = Callable[[int], int]
"""Makes some optimiser steps; returns the number of maps seen."""


def prepared(precision: str) -> PreparedRun:
    """Return the run of the template in a precision."""
    changes = {"training.precision": precision, "training.sample_every": 0, "training.num_epochs": 1_000_000}
    config = template_config(TEMPLATE, changes)
    data = prepare_data(config, drain(open_maps(config, Path.cwd())))
    return prepare_run(config, data, torch.device("cpu"))


def focus(run: PreparedRun) -> Steps:
    """Return the steps of FOCUS's loop, which goes on where it stopped."""

    def steps(count: int) -> int:
        end, before = run.state.step + count, run.state.epoch * run.training.batches.n_maps + run.state.running.maps

        def stop() -> Literal["now"] | None:
            return "now" if run.state.step >= end else None

        for _ in train(run.training, run.state, stop):
            pass
        return run.state.epoch * run.training.batches.n_maps + run.state.running.maps - before

    return steps


def bare(run: PreparedRun, parts: BatchParts) -> Steps:
    """Return the steps of a loop over a network like that of `run`, with its loss and optimiser, on maps at hand."""
    config = run.config
    network = placed(build_network(config.model, seed=1), torch.device("cpu"), precision=run.precision)
    optimizer, average = build_optimiser(network, config.training), ExponentialAverage(network, 0.995)
    batches = list(run.training.batches.epoch(1))
    weights = list(network.parameters())
    count = 0

    def losses(maps: torch.Tensor, cond: torch.Tensor, part: slice) -> tuple[torch.Tensor, ...]:
        with run.training.precision():
            u, noise = torch.rand(len(maps[part])), torch.randn_like(maps[part])
            loss = run.process.loss(
                network, maps[part], cond[part], u=u, noise=noise, unconditional=torch.zeros(len(u), dtype=torch.bool)
            )
        return torch.autograd.grad(loss.sum() / len(maps), weights, allow_unused=True)

    def steps(wanted: int) -> int:
        nonlocal count
        seen = 0
        for _ in range(wanted):
            batch = batches[count % len(batches)]
            work = partial(losses, batch.maps, batch.cond)
            for weight, *grads in zip(weights, *parts.map(work, len(batch.maps)), strict=True):
                held = [one for one in grads if one is not None]
                weight.grad = sum(held[1:], start=held[0]) if held else None
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            average.update(network)
            count, seen = count + 1, seen + len(batch.maps)
        return seen

    return steps


def other(name: str, run: PreparedRun) -> tuple[Steps, int]:
    """Return the steps of another program and the number of parameters of its network."""
    data = run.data
    ids = data.maps.maps_of(data.split.train)
    params = data.scaler.standardise(torch.from_numpy(data.maps.params_of(ids)))
    peer = PEERS[name](TrainingMaps.of(data.maps.read(ids), params), OTHERS[name])
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]] = peer.data.batches(0, BATCH)

    def steps(count: int) -> int:
        for _ in range(count):
            peer.step(*next(batches))
        return count * BATCH

    return steps, peer.parameters


def contestants(precisions: list[str]) -> tuple[dict[str, Steps], dict[str, int]]:
    """Return everything to measure by name, and the parameters of each."""
    steps: dict[str, Steps] = {}
    parameters: dict[str, int] = {}
    for precision in precisions:
        run = prepared(precision)
        own = count_parameters(run.state.network)
        for name, work in (
            ("FOCUS", focus(run)),
            ("bare loop, threads by parts", bare(run, run.training.parts)),
            ("bare loop, threads by torch", bare(run, WHOLE)),
        ):
            steps[f"{name}, {precision}"], parameters[f"{name}, {precision}"] = work, own
    for name in PEERS:
        if importlib.util.find_spec(name.replace("-", "_")) is None:
            print(f"{name}: not installed, left out")
        else:
            steps[name], parameters[name] = other(name, run)
    return steps, parameters


def measured(steps: dict[str, Steps], rounds: int, count: int) -> dict[str, list[float]]:
    """Return maps/s of each contestant in each round, after one round that does not count; another begins each."""
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    names = deque(steps)
    for number in range(rounds + 1):
        for name in names:
            began = time.perf_counter()
            maps = steps[name](count)
            if number:
                speeds[name].append(maps / (time.perf_counter() - began))
        names.rotate(-1)
    return speeds


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--precision", nargs="+", default=["bf16", "float32"], choices=["bf16", "float32"])
    parser.add_argument("--output", type=Path, default=RESULTS / "cpu_training.json")
    given = parser.parse_args()
    load = list(os.getloadavg())
    steps, parameters = contestants(given.precision)
    speeds = measured(steps, given.rounds, given.steps)
    rows = [row(name, speeds, parameters[name], given.precision) for name in speeds]
    print(f"{'':<40}{'parameters':>12}{'maps/s':>9}  FOCUS over it")
    for one in rows:
        ratios = ", ".join(f"{ratio:.2f} ({precision})" for precision, ratio in one["focus_over_it"].items())
        print(f"{one['name']:<40}{one['parameters']:>12,}{one['maps_per_second']:>9.1f}  {ratios}")
    document = {**machine("diffusers", "denoising-diffusion-pytorch"), "rounds": given.rounds, "rows": rows}
    document["load"] = load
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps(document, indent=1) + "\n")


def row(name: str, speeds: dict[str, list[float]], parameters: int, precisions: list[str]) -> dict[str, Any]:
    """Return a row of the table, with FOCUS over it in the same precision; over the others, in float32, in each."""
    same = [one for one in precisions if name.endswith(one)]
    ratios = {one: _ratio(speeds[f"FOCUS, {one}"], speeds[name]) for one in same or precisions}
    middle = median(speeds[name])
    return {"name": name, "parameters": parameters, "maps_per_second": middle, "focus_over_it": ratios}


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the ratios within a round, whose programs met the same load."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    main()
