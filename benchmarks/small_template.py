"""Quality benchmark of the demo's config: the `small` template, trained with several seeds and evaluated on test maps.

A seed determines split, weights, order and noise, so each run is tested on other universes. P(k) and PDF errors may be
at most twice their true-against-true values. Wall times are for `--jobs` concurrent runs; CPU seconds are more
reliable under load. Prints a table and writes benchmarks/results/small_template_seeds.json.
Run: python benchmarks/small_template.py [--seeds 0 1 2] [--jobs 2] [--set training.num_epochs=10 ...]
"""

import argparse
import json
import multiprocessing
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from focus_engine.config.schema import Config
from focus_engine.config.templates import TEMPLATES, find_template

BAR = 2.0
"""Largest allowed error in units of true-against-true."""
COLUMNS = (
    ("seed", "4d"),
    ("pk_error", "9.3f"),
    ("pk_over_true", "13.2f"),
    ("pdf_w1", "7.3f"),
    ("pdf_over_true", "14.2f"),
    ("slab_bias", "10.3f"),
    ("train_wall_s", "13.0f"),
    ("train_cpu_s", "12.0f"),
    ("sample_cpu_s", "13.0f"),
    ("peak_gib", "9.2f"),
)


def template_config(name: str, seed: int, changes: dict[str, object]) -> Config:
    """Return the checked config of a template, with a seed and dotted keys changed."""
    template = find_template(name)
    plain: dict[str, Any] = {"method": template.method}
    for key, value in {**template.settings, **changes, "training.seed": seed}.items():
        *blocks, last = key.split(".")
        place = plain
        for block in blocks:
            place = place.setdefault(block, {})
        place[last] = value
    return Config.model_validate(plain)


def measure(config: Config, threads: int) -> dict[str, Any]:
    """Train, sample at the parameters of every test map, and return scores and times."""
    import torch

    from focus_engine.data.opening import open_maps
    from focus_engine.evaluation.trained_model import model_in_training
    from focus_engine.progress import drain
    from focus_engine.statistics.compare import evaluate_maps
    from focus_engine.training.loop import train
    from focus_engine.training.prepare import prepare_data, prepare_run

    torch.set_num_threads(threads)
    maps = drain(open_maps(config, Path.cwd()))
    run = prepare_run(config, prepare_data(config, maps), torch.device("cpu"))
    wall, cpu = time.monotonic(), time.process_time()
    for _ in train(run.training, run.state, lambda: None):
        pass
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    ids = maps.maps_of(run.data.split.test)
    model = model_in_training(run)
    began = time.process_time()
    steps = model.draw(maps.params_of(ids), model.plan())
    generated = model.physical(torch.cat([step.finished for step in steps if step.finished is not None]))
    sampling = time.process_time() - began
    judged = evaluate_maps(
        maps.read(ids)[:, 0],
        generated[:, 0],
        real_simulation_ids=maps.simulation_of(ids),
        box_size=maps.box_size,
    )
    power, pdf, slab = judged.power_spectrum, judged.pdf, judged.slab_mean
    return {
        "seed": config.training.seed,
        "pk_error": power.median_abs_error,
        "pk_true": power.true_vs_true_median_abs_error,
        "pk_true_same_simulation": power.true_vs_true_same_simulation,
        "pk_over_true": power.median_abs_error / power.true_vs_true_median_abs_error,
        "pk_ratio": [round(float(value), 3) for value in power.ratio],
        "pdf_w1": pdf.w1,
        "pdf_true": pdf.true_vs_true_w1,
        "pdf_true_same_simulation": pdf.true_vs_true_same_simulation,
        "pdf_over_true": pdf.w1 / pdf.true_vs_true_w1,
        "slab_bias": slab.bias,
        "slab_bias_std": slab.bias_std,
        "slab_true_bias": slab.true_vs_true_bias,
        "optimizer_steps": run.state.step,
        "maps_trained": run.state.epoch * run.training.batches.n_maps,
        "test_simulations": judged.n_simulations,
        "test_maps": judged.n_maps,
        "train_wall_s": wall,
        "train_cpu_s": cpu,
        "sample_cpu_s": sampling,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> None:
    """Measure every seed, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--template", default="small", choices=sorted(TEMPLATES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="concurrent runs, which share the cores")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config keys to change")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "small_template_seeds.json")
    given = parser.parse_args()
    changes = {key: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in given.set)}
    configs = [template_config(given.template, seed, changes) for seed in given.seeds]
    threads = max(1, (os.cpu_count() or 1) // given.jobs)
    print("".join(f"{name:>{len(name) + 2}}" for name, _ in COLUMNS))
    rows = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.jobs, mp_context=spawn, max_tasks_per_child=1) as pool:
        for row in pool.map(partial(measure, threads=threads), configs):
            rows.append(row)
            print("".join(f"{row[name]:>{len(name) + 2}{spec.lstrip('0123456789')}}" for name, spec in COLUMNS))
    passed = all(row["pk_over_true"] <= BAR and row["pdf_over_true"] <= BAR for row in rows)
    settings = {**find_template(given.template).settings, **changes}
    document = {"template": given.template, "settings": settings, "threads": threads, "bar": BAR, "passed": passed}
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps({**document, "seeds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
