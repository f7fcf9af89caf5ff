"""How fast does the seed's network train on this device? The 146 M UNet at 256², batch 64, by the real training path.

Random positive maps; float32 and bf16, eager and compiled, contiguous and channels_last. A batch that does not fit is
cut into micro-batches with accumulation, and the table says so. For each variant: maps/s, step time, peak memory, the
share of the card's own measured matrix rate (bf16 and float32 as torch multiplies them: TF32 in convolutions), the
costliest kernels, the share of time in which the device idles, and how often a step waits for the device. The JSON is
rewritten after each variant, and no variant begins after `--minutes`; with `--only`, rows of other variants stay.
Run: python benchmarks/gpu_training.py [--small] [--device cuda] [--minutes 6] [--only bf16 ...]
"""

import argparse
import datetime as dt
import gc
import json
import os
import platform
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from focus_engine.config.schema import Config
from focus_engine.data.opening import open_maps
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.models.build import build_network, count_parameters
from focus_engine.progress import drain
from focus_engine.training.checkpoint import save_checkpoint
from focus_engine.training.devices import choose_device, device_name
from focus_engine.training.loop import train
from focus_engine.training.memory import is_out_of_memory
from focus_engine.training.prepare import PreparedData, PreparedRun, prepare_data, prepare_run

WARMUP_STEPS, STEPS, PROFILED_STEPS = 4, 12, 2
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Size:
    """What is trained: the seed's config, or a small one for a look at the script itself."""

    map_size: int = 256
    batch_size: int = 64
    base_channels: int = 128
    matrix: int = 8192
    """Side of the matrices whose product measures the card's rate."""


@dataclass(frozen=True)
class Variant:
    """One way to run the same training."""

    precision: Literal["float32", "bf16"]
    compiled: bool = False
    channels_last: bool = False

    @property
    def name(self) -> str:
        """Name in the table."""
        return " ".join(
            [self.precision, "compiled" if self.compiled else "eager", *["channels_last"] * self.channels_last]
        )


VARIANTS = (
    Variant("bf16"),
    Variant("bf16", compiled=True),
    Variant("float32"),
    Variant("float32", compiled=True),
    Variant("bf16", channels_last=True),
)
SLOW_VARIANTS = (Variant("bf16", compiled=True, channels_last=True),)
"""Run only when `--only` names all their words: this one takes three minutes to compile and gains nothing."""


class Window:
    """Asked before each step (the loop's `stop_wanted`): times the steps after the warmup, then ends training."""

    def __init__(self, device: torch.device, warmup: int, steps: int) -> None:
        self.seconds: list[float] = []
        self._device, self._warmup, self._steps = device, warmup, steps
        self._calls, self._began = -1, 0.0

    def __call__(self) -> Literal["now"] | None:
        """Note the time at both ends of the window; the device is waited for there only."""
        self._calls += 1
        if self._calls in {self._warmup, self._warmup + self._steps}:
            synchronize(self._device)
            now = time.perf_counter()
            self.seconds.append(now - self._began)
            self._began = now
        return "now" if self._calls == self._warmup + self._steps else None

    @property
    def step_seconds(self) -> float:
        """Mean time of a step in the window [s]."""
        return self.seconds[1] / self._steps


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def write_maps(size: Size, folder: Path, steps: int) -> None:
    """Write log-normal maps for `steps` batches of training, in CAMELS layout, one map a simulation."""
    random = np.random.default_rng(0)
    n_maps = size.batch_size * steps + 16
    maps = np.lib.format.open_memmap(folder / "maps.npy", "w+", np.float32, (n_maps, size.map_size, size.map_size))
    for one in maps:
        one[:] = 10 ** (10.97 + 0.5 * random.standard_normal(one.shape, dtype=np.float32))
    maps.flush()
    low, high = (0.1, 0.6, 0.25, 0.25, 0.5, 0.5), (0.5, 1.0, 4.0, 4.0, 2.0, 2.0)
    np.savetxt(folder / "params.txt", random.uniform(low, high, (n_maps, 6)))


def config_of(size: Size, variant: Variant, folder: Path, *, batch_size: int, n_maps: int) -> Config:
    """Return the seed's config for one variant, with micro-batches of `batch_size` maps."""
    return Config.model_validate(
        {
            "data": {
                "maps_path": str(folder / "maps.npy"),
                "params_path": str(folder / "params.txt"),
                "maps_per_simulation": 1,
                "train_split": 1 - 16 / n_maps,
            },
            "model": {"base_channels": size.base_channels},
            "training": {
                "batch_size": batch_size,
                "accumulate": size.batch_size // batch_size,
                "precision": variant.precision,
                "sample_every": 0,
            },
        }
    )


def flop_per_map(size: Size) -> float:
    """Return the arithmetic of one map's training step (forward and backward), counted operation by operation."""
    with torch.device("meta"):
        network = build_network(Config.model_validate({"model": {"base_channels": size.base_channels}}).model)
        x, time_, cond = torch.empty(1, 1, size.map_size, size.map_size), torch.empty(1), torch.empty(1, 6)
        with FlopCounterMode(display=False) as counter:
            network(x, time_, cond).sum().backward()
    return float(counter.get_total_flops())


def matrix_rates(size: Size, device: torch.device) -> dict[str, float]:
    """Return the rate of one large matrix product in each precision [FLOP/s], random data, best of three."""
    rates = {}
    for name, dtype, tf32 in (
        ("bf16", torch.bfloat16, False),
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(size.matrix, size.matrix, device=device, dtype=dtype) for _ in range(2))
        best = float("inf")
        for _ in range(4):
            synchronize(device)
            began = time.perf_counter()
            for _ in range(5):
                a @ b
            synchronize(device)
            best = min(best, (time.perf_counter() - began) / 5)
        rates[name] = 2 * size.matrix**3 / best
    torch.backends.cuda.matmul.allow_tf32 = False
    return rates


def prepared(variant: Variant, data: PreparedData, config: Config, device: torch.device) -> PreparedRun:
    """Return a run of the variant, built as the worker builds it."""
    run = prepare_run(config, data, device)
    if variant.channels_last:
        run.state.network.to(memory_format=torch.channels_last)
    if variant.compiled:
        run = replace(run, training=replace(run.training, replica=torch.compile(run.state.network)))
    return run


def steps_of(run: PreparedRun, warmup: int, steps: int) -> float:
    """Train and return the mean seconds of a step after the warmup."""
    window = Window(run.device, warmup, steps)
    for _ in train(run.training, run.state, window):
        pass
    return window.step_seconds


def waits_per_step(run: PreparedRun) -> dict[str, float] | None:
    """Return how often a step makes the host wait for the device, by the line that waits; None off CUDA."""
    if run.device.type != "cuda":
        return None
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        steps_of(run, 0, PROFILED_STEPS)
    torch.cuda.set_sync_debug_mode("default")
    waits: dict[str, float] = {}
    for one in seen:
        if "synchroniz" in str(one.message):
            place = f"{Path(one.filename).name}:{one.lineno}"
            waits[place] = waits.get(place, 0.0) + 1 / PROFILED_STEPS
    return dict(sorted(waits.items(), key=lambda item: -item[1]))


def costliest_kernels(run: PreparedRun) -> dict[str, Any]:
    """Return the ten kernels (on a CPU: operations) that take most time, and the share in which the device idles."""
    on_gpu = run.device.type == "cuda"
    activity = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activity.CPU, *[activity.CUDA] * on_gpu]) as profile:
        seconds = steps_of(run, 1, PROFILED_STEPS)
    rows = []
    for one in profile.key_averages():
        is_kernel = one.device_type == torch.autograd.DeviceType.CUDA
        spent = one.self_device_time_total if on_gpu else one.self_cpu_time_total
        if spent and is_kernel == on_gpu and not one.key.startswith("ProfilerStep"):
            rows.append((spent / 1e6, one.count, one.key))
    rows.sort(reverse=True)
    busy = sum(spent for spent, _, _ in rows)
    steps = PROFILED_STEPS + 1
    return {
        "idle_share": max(0.0, 1 - busy / steps / seconds) if on_gpu else None,
        "kernels": [
            {
                "name": key[:120],
                "share": spent / busy,
                "seconds_per_step": spent / steps,
                "calls_per_step": calls / steps,
            }
            for spent, calls, key in rows[:10]
        ],
    }


@contextmanager
def memory_peak(device: torch.device) -> Iterator[Callable[[], float | None]]:
    """Yield what returns the most memory that the device held since [bytes]; None off CUDA."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    yield lambda: float(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None


def measure(
    size: Size, variant: Variant, data: PreparedData, config: Config, device: torch.device, flop: float
) -> dict[str, Any]:
    """Return one row: train, profile, count waits."""
    with memory_peak(device) as peak:
        began = time.perf_counter()
        run = prepared(variant, data, config, device)
        seconds = steps_of(run, WARMUP_STEPS, STEPS)
        total = time.perf_counter() - began
        return {
            "variant": variant.name,
            **asdict(variant),
            "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "batch_size": config.training.batch_size,
            "accumulate": config.training.accumulate,
            "step_seconds": seconds,
            "maps_per_second": size.batch_size / seconds,
            "flop_per_second": flop * size.batch_size / seconds,
            "peak_bytes": peak(),
            "warmup_seconds": total - STEPS * seconds,
            "waits_per_step": waits_per_step(run),
            **costliest_kernels(run),
        }


def measure_what_fits(
    size: Size, variant: Variant, data: PreparedData, folder: Path, device: torch.device, flop: float
) -> dict[str, Any]:
    """Return the row of the largest micro-batch that fits; what fails is a row that says why."""
    batch_size = size.batch_size
    while True:
        config = config_of(size, variant, folder, batch_size=batch_size, n_maps=data.maps.n_maps)
        try:
            return measure(size, variant, data, config, device, flop)
        except Exception as error:  # noqa: BLE001  (a variant that fails must not cost the others their figures)
            if not is_out_of_memory(error) or batch_size == 1:
                return {"variant": variant.name, **asdict(variant), "error": f"{type(error).__name__}: {error}"[:800]}
        release(device)
        batch_size //= 2


def release(device: torch.device) -> None:
    """Give memory and compiled code back before the next variant."""
    gc.collect()
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def checkpoint_cost(size: Size, data: PreparedData, folder: Path, device: torch.device) -> dict[str, float]:
    """Return bytes and seconds of one checkpoint with EMA and two moments."""
    config = config_of(size, Variant("bf16"), folder, batch_size=1, n_maps=data.maps.n_maps)
    run = prepare_run(config, data, device)
    steps_of(run, 0, 1)
    began = time.perf_counter()
    written = save_checkpoint(folder / "checkpoint.pt", run.checkpoint())
    return {"bytes": float(written), "seconds": time.perf_counter() - began}


def sampling_cost(size: Size, data: PreparedData, folder: Path, device: torch.device) -> dict[str, float]:
    """Return what drawing maps costs: seconds per map and network evaluation, bf16, batches of half the size."""
    batch_size = max(1, size.batch_size // 2)
    config = config_of(size, Variant("bf16"), folder, batch_size=batch_size, n_maps=data.maps.n_maps)
    model = model_in_training(prepare_run(config, data, device))
    params = data.maps.params[:batch_size]
    seconds = []
    for steps in (1, 6):  # their difference leaves the start and the end out
        synchronize(device)
        began = time.perf_counter()
        for _ in model.draw(params, model.plan(sampler="ddim", steps=steps, batch_size=batch_size)):
            pass
        synchronize(device)
        seconds.append(time.perf_counter() - began)
    return {"batch_size": batch_size, "seconds_per_map_and_nfe": (seconds[1] - seconds[0]) / 5 / batch_size}


def print_row(row: dict[str, Any], rates: dict[str, float]) -> None:
    """Print one line of the table."""
    if "error" in row:
        print(f"{row['variant']:30} failed: {row['error'].splitlines()[0][:100]}", flush=True)
        return
    rate = rates["bf16" if row["precision"] == "bf16" else "tf32"]
    row["share_of_matrix_rate"] = row["flop_per_second"] / rate
    peak = "        –" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**30:9.1f}"
    waits = "    –" if row["waits_per_step"] is None else f"{sum(row['waits_per_step'].values()):5.1f}"
    idle = "    –" if row["idle_share"] is None else f"{row['idle_share']:5.0%}"
    print(
        f"{row['variant']:30} {row['batch_size']:3} x {row['accumulate']:<3} {row['step_seconds']:8.3f} "
        f"{row['maps_per_second']:8.1f} {row['share_of_matrix_rate']:7.1%} {peak} {waits} {idle} "
        f"{row['warmup_seconds']:8.1f}",
        flush=True,
    )


def report(size: Size, device: torch.device, given: argparse.Namespace) -> dict[str, Any]:
    """Measure every variant that time allows and return the document."""
    began = time.monotonic()
    flop, rates = flop_per_map(size), matrix_rates(size, device)
    with torch.device("meta"):
        n_parameters = count_parameters(
            build_network(Config.model_validate({"model": {"base_channels": size.base_channels}}).model)
        )
    document: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "device": device_name(device),
        "host_cpus": os.cpu_count(),
        "versions": {"torch": str(torch.__version__), "cuda": torch.version.cuda, "python": platform.python_version()},
        "size": asdict(size),
        "parameters": n_parameters,
        "flop_per_map": flop,
        "matrix_rates": rates,
        "convolutions_use_tf32": torch.backends.cudnn.allow_tf32,
        "rows": kept_rows(given),
    }
    print(
        f"{document['device']}, torch {torch.__version__}: {n_parameters / 1e6:.1f} M parameters, "
        f"{flop / 1e12:.3g} TFLOP a map; matrix rates "
        + ", ".join(f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in rates.items())
    )
    print(
        f"{'variant':30} {'batch':>9} {'s/step':>8} {'maps/s':>8} {'of rate':>7} {'peak GiB':>9} {'waits':>5} "
        f"{'idle':>5} {'warmup s':>8}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_maps(size, folder, WARMUP_STEPS + STEPS + 2 * PROFILED_STEPS + 8)  # no window reaches the epoch's end
        data = opened(size, folder)
        for variant in chosen(given.only):
            if time.monotonic() - began > 60 * given.minutes:
                document["rows"].append({"variant": variant.name, "error": "not begun: the time was used up"})
                continue
            row = measure_what_fits(size, variant, data, folder, device, flop)
            release(device)
            print_row(row, rates)
            document["rows"].append(row)
            write(document, given.output)
        document["sampling"] = sampling_cost(size, data, folder, device)
        release(device)
        document["checkpoint"] = checkpoint_cost(size, data, folder, device)
    document["seconds"] = time.monotonic() - began
    return document


def kept_rows(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of an earlier run on this device whose variants are not measured again."""
    if not given.only or not given.output.is_file():
        return []
    again = {variant.name for variant in chosen(given.only)}
    rows = json.loads(given.output.read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if row["variant"] not in again and "error" not in row]


def chosen(words: list[str]) -> list[Variant]:
    """Return the variants that have all `words` in their name."""
    every = (*VARIANTS, *SLOW_VARIANTS) if len(words) > 2 else VARIANTS
    return [variant for variant in every if all(word in variant.name.split() for word in words)]


def opened(size: Size, folder: Path) -> PreparedData:
    """Return the maps, split and normalised once for all variants."""
    n_maps = len(np.load(folder / "maps.npy", mmap_mode="r"))
    config = config_of(size, VARIANTS[0], folder, batch_size=size.batch_size, n_maps=n_maps)
    maps = drain(open_maps(config, folder))
    return prepare_data(config, maps)


def write(document: dict[str, Any], path: Path) -> None:
    """Write the document, whole, in place of the last one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Print the table and write benchmarks/results/gpu_training_<device>.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--small", action="store_true", help="a small network and small maps: a look at the script")
    parser.add_argument("--minutes", type=float, default=6.0, help="no variant begins after this time")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="variants with these words in their name")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    device = choose_device(given.device)
    size = Size(map_size=32, batch_size=8, base_channels=8, matrix=512) if given.small else Size()
    slug = re.sub(r"[^a-z0-9]+", "_", device_name(device).lower()).strip("_")
    given.output = given.output or RESULTS / f"gpu_training_{slug}{'_small' if given.small else ''}.json"
    document = report(size, device, given)
    write(document, given.output)
    checkpoint = document["checkpoint"]
    per_map = document["sampling"]["seconds_per_map_and_nfe"]
    print(f"sampling, bf16 eager: {per_map * 1e3:.2f} ms a map and network evaluation")
    print(
        f"checkpoint: {checkpoint['bytes'] / 1e9:.2f} GB in {checkpoint['seconds']:.1f} s; {document['seconds']:.0f} s "
        f"in all; {given.output.name}"
    )


if __name__ == "__main__":
    main()
