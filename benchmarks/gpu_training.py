"""Benchmark of training on a GPU: the 143 M UNet at 256², batch 64, through the real training loop.

Random positive maps; float32 and bf16; layers fused, separate and compiled. A batch that does not fit is
divided into micro-batches with accumulation, and the table says so. Per variant: maps/s, step time, peak memory, share
of the device's measured matrix rate (bf16; for float32 TF32, which torch uses in convolutions), costliest kernels,
idle share of the device, and host-device waits per step. The JSON is rewritten after each variant, and no variant
starts after `--minutes`; with `--only`, rows of other variants are kept.
Run: python benchmarks/gpu_training.py [--size seed|template|tiny] [--device cuda] [--minutes 6] [--only bf16 ...]
"""

import argparse
import datetime as dt
import json
import os
import platform
import re
import tempfile
import time
import warnings
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gpu_device import flop_per_map, matrix_rates, memory_peak, release, synchronize
from gpu_variants import SIZES, VARIANTS, Size, Variant, chosen, config_of, model_of, write_maps

from focus_engine.config.schema import Config
from focus_engine.data.opening import open_maps
from focus_engine.errors import is_out_of_memory
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.models.build import build_network, count_parameters
from focus_engine.models.fused import layer_by_layer
from focus_engine.progress import drain
from focus_engine.training.checkpoint import save_checkpoint
from focus_engine.training.devices import choose_device, device_name
from focus_engine.training.loop import train
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import PreparedData, prepare_data

WARMUP_STEPS, STEPS, PROFILED_STEPS = 4, 12, 2
RESULTS = Path(__file__).parent / "results"


class Window:
    """The loop's `stop_wanted`: times the steps after the warmup, then ends training."""

    def __init__(self, device: torch.device, warmup: int, steps: int) -> None:
        self.seconds: list[float] = []
        self._device, self._warmup, self._steps = device, warmup, steps
        self._calls, self._began = -1, 0.0

    def __call__(self) -> Literal["now"] | None:
        """Record the time at both ends of the window, synchronising the device only there."""
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


def prepared(variant: Variant, data: PreparedData, config: Config, device: torch.device) -> PreparedRun:
    """Return a run of the variant, built as in the worker."""
    run = prepare_run(config, data, device)
    if run.slower and variant.layers != "separate":
        raise RuntimeError("; ".join(run.slower))
    if run.graphed != (variant.layers == "graph"):
        raise RuntimeError(f"the step is {'' if run.graphed else 'not '}recorded as a CUDA graph")
    return run


def steps_of(run: PreparedRun, warmup: int, steps: int) -> float:
    """Train and return the mean time per step after the warmup [s]."""
    window = Window(run.device, warmup, steps)
    for _ in train(run.training, run.state, window):
        pass
    return window.step_seconds


def waits_per_step(run: PreparedRun) -> dict[str, float] | None:
    """Return the host-device waits per step, by source line; None without CUDA."""
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
    """Return the ten costliest kernels (on a CPU: operations), and the idle share of the device."""
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


def measure(
    size: Size, variant: Variant, data: PreparedData, config: Config, device: torch.device, flop: float
) -> dict[str, Any]:
    """Train one variant, profile it and count waits; return its row."""
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
    """Return the row of the largest micro-batch that fits, or a row with the error."""
    batch_size = size.batch_size
    while True:
        config = config_of(size, variant, folder, batch_size=batch_size, n_maps=data.maps.n_maps)
        try:
            with layer_by_layer() if variant.layers == "separate" else nullcontext():
                return measure(size, variant, data, config, device, flop)
        except Exception as error:  # noqa: BLE001  (a variant that fails must not lose the others' results)
            if not is_out_of_memory(error) or batch_size == 1:
                return {"variant": variant.name, **asdict(variant), "error": f"{type(error).__name__}: {error}"[:800]}
        release(device)
        batch_size //= 2


def checkpoint_cost(size: Size, data: PreparedData, folder: Path, device: torch.device) -> dict[str, float]:
    """Return size [bytes] and write time [s] of one checkpoint with EMA and two moments."""
    config = config_of(size, Variant("bf16"), folder, batch_size=1, n_maps=data.maps.n_maps)
    run = prepare_run(config, data, device)
    steps_of(run, 0, 1)
    began = time.perf_counter()
    written = save_checkpoint(folder / "checkpoint.pt", run.checkpoint())
    return {"bytes": float(written), "seconds": time.perf_counter() - began}


def sampling_cost(size: Size, data: PreparedData, folder: Path, device: torch.device) -> dict[str, float]:
    """Return the sampling time per map and NFE [s], in bf16, with batches of half the size."""
    batch_size = max(1, size.batch_size // 2)
    config = config_of(size, Variant("bf16"), folder, batch_size=batch_size, n_maps=data.maps.n_maps)
    model = model_in_training(prepare_run(config, data, device))
    params = data.maps.params[:batch_size]
    seconds = []
    for steps in (1, 1, 21):  # the first makes kernels; the difference of the others excludes start and end
        synchronize(device)
        began = time.perf_counter()
        for _ in model.draw(params, model.plan(sampler="ddim", steps=steps, batch_size=batch_size)):
            pass
        synchronize(device)
        seconds.append(time.perf_counter() - began)
    return {"batch_size": batch_size, "seconds_per_map_and_nfe": (seconds[2] - seconds[1]) / 20 / batch_size}


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
    """Measure the variants that fit the time limit; return the document."""
    began = time.monotonic()
    flop, rates = flop_per_map(size), matrix_rates(size, device)
    with torch.device("meta"):
        n_parameters = count_parameters(build_network(model_of(size)))
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
        **kept(given),
    }
    print(
        f"{document['device']}, torch {torch.__version__}: {n_parameters / 1e6:.1f} M parameters, "
        f"{flop / 1e12:.3g} TFLOP per map; matrix rates "
        + ", ".join(f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in rates.items())
    )
    print(
        f"{'variant':30} {'batch':>9} {'s/step':>8} {'maps/s':>8} {'of rate':>7} {'peak GiB':>9} {'waits':>5} "
        f"{'idle':>5} {'warmup s':>8}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_maps(size, folder, WARMUP_STEPS + STEPS + 2 * PROFILED_STEPS + 8)  # windows end before the epoch does
        data = opened(size, folder)
        for variant in chosen(given.only, size):
            if time.monotonic() - began > 60 * given.minutes:
                document["rows"].append({"variant": variant.name, "error": "not started: the time limit was reached"})
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


def kept(given: argparse.Namespace) -> dict[str, Any]:
    """Return what stays of an earlier run on this device: rows of variants not measured now, and its other figures."""
    if not given.only or not given.output.is_file():
        return {"rows": []}
    again = {variant.name for variant in chosen(given.only, SIZES[given.size])}
    earlier: dict[str, Any] = json.loads(given.output.read_text(encoding="utf-8"))
    rows = [row for row in earlier["rows"] if row["variant"] not in again and "error" not in row]
    return {"rows": rows, **{name: earlier[name] for name in ("sampling", "checkpoint") if name in earlier}}


def opened(size: Size, folder: Path) -> PreparedData:
    """Return the prepared data, common to all variants."""
    n_maps = len(np.load(folder / "maps.npy", mmap_mode="r"))
    config = config_of(size, VARIANTS[0], folder, batch_size=size.batch_size, n_maps=n_maps)
    maps = drain(open_maps(config, folder))
    return prepare_data(config, maps)


def write(document: dict[str, Any], path: Path) -> None:
    """Replace the JSON file by `document`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Print the table and write benchmarks/results/gpu_training_<device>.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", choices=SIZES, default="seed", help="of network, maps and batch")
    parser.add_argument("--minutes", type=float, default=6.0, help="no variant starts after this time")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="variants with these words in their name")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    device = choose_device(given.device)
    size = SIZES[given.size]
    slug = re.sub(r"[^a-z0-9]+", "_", device_name(device).lower()).strip("_")
    given.output = (
        given.output or RESULTS / f"gpu_training_{slug}{'' if given.size == 'seed' else '_' + given.size}.json"
    )
    document = report(size, device, given)
    write(document, given.output)
    checkpoint = document["checkpoint"]
    per_map = document["sampling"]["seconds_per_map_and_nfe"]
    print(f"sampling, bf16: {per_map * 1e3:.2f} ms per map and NFE")
    print(
        f"checkpoint: {checkpoint['bytes'] / 1e9:.2f} GB in {checkpoint['seconds']:.1f} s; {document['seconds']:.0f} s "
        f"in all; {given.output.name}"
    )


if __name__ == "__main__":
    main()
