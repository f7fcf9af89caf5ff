"""How cost grows with map size, batch, width, NFE, number of maps, runs and log length, with the limit beside it.

Each table varies one size and holds the others; the exponent is the slope of log time over log size between the last
two points. Training, sampling and P(k) are beside what the machine can do: the FLOP of the step, counted by operation,
at the rate of a large matrix product in float32 on as many threads, or the bytes of the maps at the speed of a copy.
Prints the tables and writes benchmarks/results/growth.json.
Run: python benchmarks/growth.py [--rounds 5] [--quick]
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alternation import machine
from dashboard import make_run
from torch.utils.flop_counter import FlopCounterMode

from focus_engine.events.history import history_of
from focus_engine.events.log import read_events
from focus_engine.generative.flow import Flow
from focus_engine.generative.sampling import SamplingPlan, sample_steps
from focus_engine.models.batch_parts import BatchParts, PartedNetwork
from focus_engine.models.fused import placed
from focus_engine.models.inference import for_inference
from focus_engine.models.unet import SimpleUNet
from focus_engine.statistics.power import power_spectrum

RESULTS = Path(__file__).parent / "results" / "growth.json"
CONDITIONS = 2


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        size: what varies.
        seconds: median wall time.
        limit: seconds that the machine's limit allows, if there is one.
    """

    size: int
    seconds: float
    limit: float | None = None


@dataclass(frozen=True)
class Growth:
    """A table: how one cost grows with one size."""

    cost: str
    size: str
    held: str
    points: tuple[Point, ...]

    @property
    def exponent(self) -> float:
        """Slope of log time over log size between the last two points."""
        one, other = self.points[-2:]
        return math.log(other.seconds / one.seconds) / math.log(other.size / one.size)


class Measure:
    """Medians of wall times, and the limits of this machine."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
        self.flop_per_second = 2 * 1024**3 / self.seconds(lambda: a @ b)
        big = np.ones(1 << 24, dtype=np.float32)
        self.bytes_per_second = 2 * big.nbytes / self.seconds(big.copy)

    def seconds(self, work: Callable[[], object]) -> float:
        """Return the median wall time of `work`, after one call that does not count."""
        times = []
        for _ in range(self._rounds + 1):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        return statistics.median(times[1:])


def network_of(width: int) -> SimpleUNet:
    """Return the network of the small templates at a width, its last layer not zero."""
    torch.manual_seed(0)
    network = SimpleUNet(cond_dim=CONDITIONS, base_channels=width, channel_mults=(1, 2, 2))
    torch.nn.init.normal_(network.head.weight, std=0.02)
    return network


def step_of(width: int, batch: int, side: int) -> Callable[[], None]:
    """Return the gradient of one training step of flow matching in float32, its batch divided among the threads."""
    network, process = placed(network_of(width), torch.device("cpu"), precision="float32"), Flow()
    parts = BatchParts.of(network, torch.device("cpu"))
    weights = list(network.parameters())
    maps, cond, u = torch.randn(batch, 1, side, side), torch.zeros(batch, 2), torch.rand(batch)
    noise = torch.randn_like(maps)
    kept = torch.zeros(batch, dtype=torch.bool)

    def part(chosen: slice) -> tuple[torch.Tensor | None, ...]:
        losses = process.loss(
            network, maps[chosen], cond[chosen], u=u[chosen], noise=noise[chosen], unconditional=kept[chosen]
        )
        return torch.autograd.grad(losses.sum() / batch, weights, allow_unused=True)

    return lambda: parts.map(part, batch) and None


def step_flop(width: int, batch: int, side: int) -> float:
    """Return the FLOP of a training step, counted without computing."""
    with torch.device("meta"):
        network = SimpleUNet(cond_dim=CONDITIONS, base_channels=width, channel_mults=(1, 2, 2))
        inputs = torch.empty(batch, 1, side, side), torch.empty(batch), torch.empty(batch, CONDITIONS)
        with FlopCounterMode(display=False) as counter:
            network(*inputs).sum().backward()
    return float(counter.get_total_flops())


def training(measure: Measure, cost: str, size: str, held: str, shapes: Sequence[tuple[int, int, int, int]]) -> Growth:
    """Return the growth of a training step over shapes (size, width, batch, side)."""
    points = (
        Point(number, measure.seconds(step_of(*shape)), step_flop(*shape) / measure.flop_per_second)
        for number, *shape in shapes
    )
    return Growth(cost, size, held, tuple(points))


def sampling(measure: Measure, steps: Sequence[int]) -> Growth:
    """Return the growth of sampling over NFE."""
    network = network_of(32).eval().requires_grad_(requires_grad=False)
    parted = PartedNetwork(for_inference(network), BatchParts.of(network, torch.device("cpu"), trains=False))
    cond, flop = torch.zeros(16, CONDITIONS), step_flop(32, 16, 32) / 3

    def draw(count: int) -> None:
        for _ in sample_steps(parted, Flow(), cond, (1, 32, 32), SamplingPlan("euler", steps=count)):
            pass

    points = (
        Point(count, measure.seconds(lambda count=count: draw(count)), count * flop / measure.flop_per_second)
        for count in steps
    )
    return Growth("sampling", "NFE", "16 maps of 32², width 32, float32", tuple(points))


def spectra(measure: Measure, counts: Sequence[int]) -> Growth:
    """Return the growth of P(k) over the number of maps."""
    maps = np.exp(np.random.default_rng(0).normal(size=(max(counts), 64, 64))).astype(np.float32)
    points = (
        Point(
            count,
            measure.seconds(lambda count=count: power_spectrum(maps[:count], 25.0)),
            maps[:count].nbytes / measure.bytes_per_second,
        )
        for count in counts
    )
    return Growth("P(k)", "maps", "64²", tuple(points))


def listing(measure: Measure, counts: Sequence[int], folder: Path) -> Growth:
    """Return the growth of `focus ls` over the number of runs, as a whole process."""
    command = [str(Path(sys.executable).with_name("focus")), "ls", "--root"]
    points = []
    for count in counts:
        root = folder / f"runs_{count}"
        for number in range(count):
            make_run(root, f"run_{number:05d}", 5)
        work = [*command, str(root)]
        points.append(
            Point(count, measure.seconds(lambda work=work: subprocess.run(work, check=True, capture_output=True)))
        )
    return Growth("focus ls", "runs", "5 epochs each", tuple(points))


def logs(measure: Measure, counts: Sequence[int], folder: Path) -> Growth:
    """Return the growth of reading the whole history of a run over the length of its log."""
    points = []
    for epochs in counts:
        run = make_run(folder / f"log_{epochs}", "run", epochs)
        work = lambda run=run: history_of(read_events(run.events))  # noqa: E731
        limit = run.events.stat().st_size / measure.bytes_per_second
        points.append(Point(2 * epochs, measure.seconds(work), limit))
    return Growth("history of a run", "events", "one run", tuple(points))


def tables(measure: Measure, folder: Path, *, quick: bool) -> Iterator[Growth]:
    """Yield every table."""
    sides, batches, widths = ((16, 32), (2, 4), (8, 16)) if quick else ((32, 64, 128, 256), (4, 16, 64), (16, 32, 64))
    step = "training step"
    yield training(measure, step, "pixels a side", "4 maps, width 32, float32", [(n, 32, 4, n) for n in sides])
    yield training(measure, step, "maps a batch", "32², width 32, float32", [(n, 32, n, 32) for n in batches])
    yield training(measure, step, "width", "16 maps of 32², float32", [(n, n, 16, 32) for n in widths])
    yield sampling(measure, (2, 4) if quick else (5, 10, 20, 50))
    yield spectra(measure, (10, 100) if quick else (100, 1000, 10_000))
    yield listing(measure, (2, 4) if quick else (10, 100, 1000), folder)
    yield logs(measure, (10, 100) if quick else (100, 1000, 10_000), folder)


def line(one: Growth) -> str:
    """Return a table as a line."""
    seconds = ", ".join(f"{point.seconds:.3g} s ({point.size:,})" for point in one.points)
    last = one.points[-1]
    share = "" if last.limit is None else f", {last.limit / last.seconds:.0%} of the limit"
    return f"{one.cost} ({one.held}) by {one.size}: {seconds}; exponent {one.exponent:.2f}{share}"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    measure = Measure(given.rounds)
    grown = []
    with tempfile.TemporaryDirectory() as folder:
        for one in tables(measure, Path(folder), quick=given.quick):
            grown.append(one)
            print(line(one), flush=True)
    limits = {"flop_per_second": measure.flop_per_second, "bytes_per_second": measure.bytes_per_second}
    document: dict[str, Any] = {**machine(), **limits, "load": os.getloadavg()[0]}
    document["tables"] = [{**asdict(one), "exponent": one.exponent} for one in grown]
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
