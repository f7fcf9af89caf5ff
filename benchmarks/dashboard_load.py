"""Benchmark of the dashboard under load: a log of 1,000,000 steps, eight runs of ten events a second, 10,000 runs.

Times are wall seconds beside CPU seconds, which say more on a loaded machine; memory is that of the process. Prints a
table and writes benchmarks/results/dashboard_load.json. About two minutes on two cores.
Run: python benchmarks/dashboard_load.py [--quick]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from dashboard import EPOCH, STARTED, STEP, Terminal, changed, described, focus, make_run, streaming

from focus_engine.events.log import append_event
from focus_engine.events.table import EpochFinished

RESULTS = Path(__file__).parent / "results" / "dashboard_load.json"
EPOCHS = 200


def used(terminal: Terminal) -> tuple[float, float]:
    """Return the CPU seconds and the memory [MB] of the program in a terminal."""
    process = psutil.Process(terminal.pid)
    return sum(process.cpu_times()[:2]), process.memory_info().rss / 1e6


def long_log(root: Path, steps: int) -> dict[str, object]:
    """Measure opening a log of `steps` steps in Watch, then following it: one more epoch until it is on screen."""
    run = make_run(root, "long_run", 1)
    row = json.loads(changed(STEP))
    with run.events.open("w", encoding="utf-8") as log:
        log.write(changed(STARTED, num_epochs=EPOCHS + 1, steps_per_epoch=steps // EPOCHS))
        for epoch in range(1, EPOCHS + 1):
            for step in range(steps // EPOCHS):
                row |= {
                    "epoch": epoch,
                    "batch": step,
                    "n_batches": steps // EPOCHS,
                    "train_loss": 0.5 + 1 / (1 + epoch),
                }
                log.write(json.dumps(row, separators=(",", ":")) + "\n")
            log.write(changed(EPOCH, epoch=epoch, num_epochs=EPOCHS + 1, val_loss=0.5 + 1 / epoch))
    terminal = focus(root, "long_run")
    painted = terminal.until(lambda text: "Loss" in text or "reading" in text)
    before, _ = used(terminal)
    opened = terminal.until(lambda text: f"epoch {EPOCHS}/" in text) - painted
    terminal.drain(1.0)
    after, memory = used(terminal)
    row = json.loads(EPOCH.to_json()) | {"time": time.time(), "epoch": EPOCHS + 1, "val_loss": 0.4321}
    written, since = time.perf_counter(), len(terminal.written)
    append_event(run.events, EpochFinished.from_dict(row))
    terminal.until(lambda text: "0.4321" in text, since)
    followed = time.perf_counter() - written
    terminal.close()
    return {
        "seconds": opened,
        "cpu_seconds": after - before,
        "megabytes": memory,
        "log_megabytes": run.events.stat().st_size / 1e6,
        "followed_seconds": followed,
    }


def streams(root: Path, runs: int, rate: float, seconds: float) -> dict[str, object]:
    """Measure the share of a core that the dashboard takes while `runs` runs write `rate` events a second each."""
    writer = streaming(root, runs, rate)
    try:
        terminal = focus(root)
        terminal.until(lambda text: f"{runs} live" in text)
        terminal.drain(0.1)
        (before, _), began, shown = used(terminal), time.perf_counter(), len(terminal.written)
        while time.perf_counter() - began < seconds:
            terminal.read(0.1)
        (after, memory), lasted = used(terminal), time.perf_counter() - began
        terminal.close()
    finally:
        writer.kill()
        writer.wait()
    return {
        "cpu_share": (after - before) / lasted,
        "megabytes": memory,
        "bytes_per_second": (len(terminal.written) - shown) / lasted,
        "events_per_second": runs * rate,
    }


def listed(root: Path, count: int) -> dict[str, object]:
    """Measure `focus ls` of `count` runs: wall and CPU seconds, with the start of Python, and memory."""
    for number in range(count):
        make_run(root, f"run_{number:05d}", 5)
    program = [sys.executable, "-m", "focus_tui", "--root", str(root), "ls"]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run(program, capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if len(found.stdout.splitlines()) != count + 1:
        raise RuntimeError(f"focus ls printed {len(found.stdout.splitlines())} lines for {count} runs")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": wall, "cpu_seconds": cpu, "megabytes": after.ru_maxrss / 1e3}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small: shows that it works")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    steps, runs, seconds = (20_000, 100, 2.0) if given.quick else (1_000_000, 10_000, 15.0)
    measures: dict[str, Callable[[Path], dict[str, object]]] = {
        f"focus ls of {runs:,} runs": lambda root: listed(root, runs),
        f"log of {steps:,} steps": lambda root: long_log(root, steps),
        "eight runs at 10 events/s": lambda root: streams(root, 8, 10.0, seconds),
    }
    results: dict[str, object] = described()
    for name, measure in measures.items():
        with tempfile.TemporaryDirectory(prefix="focus-bench-") as folder:
            result = measure(Path(folder)) | {"load": os.getloadavg()[0]}
        results[name] = result
        print(f"{name:<29}" + "  ".join(f"{key} {value:.3g}" for key, value in result.items()), flush=True)
    given.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
