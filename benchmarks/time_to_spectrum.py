"""Time to spectrum: scores at held-back cosmologies after seconds of training, beside other programs.

Every program trains on the same 54 simulations of 15 maps (32 x 32 pixels, Omega_m and sigma_8 free) on this machine,
and draws maps at 8 cosmologies that none has seen, each seed from noise of its own; truth is 24 universes at each.
FOCUS draws by its template's sampler (10 network calls), the others with 50. FOCUS and the seed's recipe are trained
anew for each budget, because their rates fall with it; peers train once, at a constant rate, and are judged on the way.
The calibration of a template is part of its budget; budgets below `LEAST_CALIBRATED` are of training alone. Scores are
in standard deviations of a perfect model. Prints a table and writes benchmarks/results/time_to_spectrum.json; rows in
the file of `--keep` are not measured again.

denoising-diffusion-pytorch, einops, ema-pytorch and accelerate must be importable for the peer of that name; what is
missing is left out and said.
Run: python benchmarks/time_to_spectrum.py [--budgets 15 120] [--seeds 0 1 2] [--peer-seconds 60 300]
"""

import argparse
import importlib.util
import itertools
import json
import math
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from alternation import noise_seed
from peers import PEERS, TrainingMaps, trained

from focus_engine.config.schema import Config
from focus_engine.config.templates import template_config
from focus_engine.data.opening import open_maps
from focus_engine.evaluation.calibrating import calibration_of
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.evaluation.truth import HeldBack, Truth, universe_truth
from focus_engine.progress import drain
from focus_engine.statistics.compare import judging
from focus_engine.training.devices import device_name
from focus_engine.training.loop import train
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import prepare_data

DATA: dict[str, object] = {
    "data.simulations": 60,
    "data.train_split": 0.9,
    "training.sample_every": 0,
    "training.num_epochs": 1_000_000,
    "training.scheduler.warmup_steps": 20,
}
SHOWN = {
    "power_spectrum.large_scales": "P large",
    "power_spectrum.middle_scales": "P middle",
    "power_spectrum.small_scales": "P small",
    "log_power.middle_scales": "log middle",
    "log_power.small_scales": "log small",
    "pdf.w1": "W1",
    "slab_mean.bias": "mean",
    "bispectrum.equilateral": "Q equal",
    "bispectrum.squeezed": "Q squeezed",
    "response.slope_middle_scales": "response",
}
SEED_RECIPE = {
    "diffusion.schedule": "linear",
    "diffusion.prediction": "epsilon",
    "diffusion.zero_terminal_snr": False,
    "model.base_channels": 32,
    "model.channel_mults": (1, 2, 4),
    "training.batch_size": 64,
    "training.lr": 1e-4,
    "training.cfg_prob": 0.1,
    "training.optimizer": "adamw",
    "training.scheduler.name": "plateau",
    "training.scheduler.warmup_epochs": 5,
    "training.ema_decay": 0.0,
    "sampling.prior": "white",
    "sampling.cfg_scale": 2.0,
    "sampling.calibration_maps": 0,
}
"""The seed experiment's keys; its normalisation and padding, which were wrong, are FOCUS's."""
CALLS = 50
LEAST_CALIBRATED = 60.0
"""Shortest budget [s] of which calibration takes a share, 7 s on two cores."""
TRIAL_MAPS = 64
"""Maps whose time tells how long calibration takes."""


def config_of(template: str, seed: int, changes: dict[str, object]) -> Config:
    """Return the config of a template on the data of this benchmark."""
    return template_config(template, {**DATA, **changes, "training.seed": seed})


def prepare(config: Config) -> PreparedRun:
    """Return the run of a config; `training.max_minutes` counts from its end."""
    data = prepare_data(config, drain(open_maps(config, Path.cwd())))
    return prepare_run(config, data, torch.device("cpu"))


def focus(
    template: str,
    seconds: float,
    seed: int,
    changes: dict[str, object],
    truth: Truth,
    box: float,
    plan: dict[str, Any],
) -> dict[str, Any]:
    """Train a template for some seconds and return its row."""
    config = config_of(template, seed, changes)
    maps = config.sampling.calibration_maps if seconds >= LEAST_CALIBRATED else 0
    reserved = calibration_seconds(config, maps) if maps else 0.0
    if reserved >= seconds:
        raise SystemExit(f"calibration alone takes {reserved:.0f} s here: give a longer budget than {seconds:.0f} s")
    run = prepare(config_of(template, seed, {**changes, "training.max_minutes": (seconds - reserved) / 60}))
    began = time.perf_counter()
    for _ in train(run.training, run.state, lambda: None):
        pass
    model = model_in_training(run)
    if maps:
        model = replace(model, calibration=drain(calibration_of(model, run.data, maps)))
    spent = time.perf_counter() - began
    began = time.perf_counter()
    steps = model.draw(truth.params, model.plan(**plan))
    drawn = torch.cat([step.finished for step in steps if step.finished is not None])
    drew = time.perf_counter() - began
    seen = run.state.epoch * run.training.batches.n_maps + run.state.running.maps
    return {
        "maps_seen": seen,
        "calibrated_by": maps,
        "spent_s": spent,
        "draw_s": drew,
        **judged(model.physical(drawn), truth, box),
    }


def calibration_seconds(config: Config, maps: int) -> float:
    """Return how long it takes to draw the maps of a calibration [s], from a few of an untrained network."""
    run = prepare(config)
    model, data = model_in_training(run), run.data
    params = data.maps.params_of(data.maps.maps_of(data.split.train)[:TRIAL_MAPS])
    times = []
    for _ in range(2):  # the first prepares the network
        began = time.perf_counter()
        for _ in model.draw(params, model.plan()):
            pass
        times.append(time.perf_counter() - began)
    return times[-1] * maps / TRIAL_MAPS


def peer_rows(
    name: str, marks: Sequence[float], seed: int, run: PreparedRun, truth: Truth, box: float
) -> Iterator[dict[str, Any]]:
    """Train a peer on the maps of `run` and yield its row at each mark."""
    torch.manual_seed(seed)
    ids = run.data.maps.maps_of(run.data.split.train)
    params = run.data.scaler.standardise(torch.from_numpy(run.data.maps.params_of(ids)))
    peer = PEERS[name](TrainingMaps.of(run.data.maps.read(ids), params))
    wanted = run.data.scaler.standardise(torch.from_numpy(truth.params))
    for mark, seen in trained(peer, marks, seed):
        began = time.perf_counter()
        drawn = torch.cat([peer.draw(part) for part in wanted.split(80)])
        drew = time.perf_counter() - began
        row = {"program": name, "seconds": mark, "seed": seed, "maps_seen": seen, "draw_s": drew}
        yield row | judged(peer.data.physical(drawn), truth, box)


def judged(generated: np.ndarray, truth: Truth, box: float) -> dict[str, Any]:
    """Return value, null, its spread and p-value of every score, the verdict, and `deviations` of those that are shown.

    A deviation is the distance from the score of a perfect model in its standard deviations; None if it is unknown.
    """
    evaluation = drain(judging(truth.maps, generated, truth.design, box))
    scores: dict[str, Any] = {
        f"{one['statistic']}.{one['name']}": [one[key] for key in ("value", "null", "null_spread", "p_value")]
        for one in (score.to_dict() for score in evaluation.scores())
    }
    deviations = {name: deviation(scores[name]) for name in SHOWN}
    return {"scores": scores | {"verdict": evaluation.verdict.text}, "deviations": deviations}


def deviation(score: Sequence[float | None]) -> float | None:
    """Return how many standard deviations of a perfect model a score is from it."""
    value, null, spread, _ = score
    return None if value is None or null is None or not spread else (value - null) / spread


def line(row: dict[str, Any]) -> str:
    """Return a row as the table shows it: scores in standard deviations of a perfect model, and rms of all shown."""
    deviations = [math.nan if one is None else one for one in row["deviations"].values()]
    rms = math.sqrt(sum(one**2 for one in deviations) / len(deviations))
    head = f"{row['program']:<28}{row['seconds']:>6.0f} s {row['seed']:>3} {row['maps_seen']:>8} {row['draw_s']:>7.1f}"
    cells = (f"{one:>+11.1f}" if abs(one) < 1e4 else f"{'> 10000':>11}" for one in deviations)
    return head + "".join(cells) + (f"{rms:>8.1f}" if rms < 1e4 else f"{'> 10000':>8}")


def main() -> None:
    """Measure what is missing, print the table and write the JSON."""
    given = options()
    changes = {key: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in given.set)}
    rows = Rows(given.keep)
    run = prepare(config_of(given.template, 0, changes))
    box = run.data.maps.box_size
    truth = drain(universe_truth(run.config, run.data.maps, run.data.split.train, HeldBack(24, 8), given.maps))
    words = "".join(f"{word:>11}" for word in SHOWN.values())
    print(f"{'program':<28}{'budget':>8} seed     maps  draw s{words}     rms")
    label = " ".join([f"FOCUS {given.template}", *given.set])
    for seed, seconds in itertools.product(given.seeds, given.budgets):
        work = partial(focus, given.template, seconds, seed, changes, truth, box, {"seed": noise_seed(seed)})
        rows.measure(label, seconds, seed, work)
    if given.peer_seconds:
        others(rows, given.peer_seconds, run, truth, box)
    machine = {"cpu": device_name(torch.device("cpu")), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    versions = {"torch": str(torch.__version__), "python": platform.python_version()}
    when = {"date": datetime.now(UTC).isoformat(timespec="seconds")}
    document = {**when, **machine, **versions, "maps": given.maps, "rows": rows.rows}
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps(document, indent=1) + "\n")


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--template", default="small_flow")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config keys to change")
    parser.add_argument("--budgets", type=float, nargs="*", default=[15, 120])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--peer-seconds", type=float, nargs="*", default=[60, 300], help="none: without peers")
    parser.add_argument("--maps", type=int, default=160)
    parser.add_argument("--keep", type=Path, help="file of rows, to go on where a measurement was interrupted")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "time_to_spectrum.json")
    return parser.parse_args()


def others(rows: "Rows", marks: Sequence[float], run: PreparedRun, truth: Truth, box: float) -> None:
    """Measure the seed's recipe and the other programs, seed 0."""
    last = max(marks)
    work = partial(focus, "small", last, 0, SEED_RECIPE, truth, box, {"sampler": "ddim", "steps": CALLS})
    rows.measure("the seed's recipe", last, 0, work)
    for name in PEERS:
        if importlib.util.find_spec(name.replace("-", "_")) is None:
            print(f"{name}: not installed, left out")
        elif not rows.has(name, last, 0):
            for row in peer_rows(name, marks, 0, run, truth, box):
                rows.add(row)


class Rows:
    """The rows measured so far, kept in a file so that an interrupted measurement goes on."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.rows: list[dict[str, Any]] = []
        for text in path.read_text().splitlines() if path and path.is_file() else ():
            self.rows.append(json.loads(text))
            print(line(self.rows[-1]))

    def has(self, program: str, seconds: float, seed: int) -> bool:
        """Return whether a row is there."""
        return any((one["program"], one["seconds"], one["seed"]) == (program, seconds, seed) for one in self.rows)

    def measure(self, program: str, seconds: float, seed: int, work: Any) -> None:  # noqa: ANN401  (a function without arguments)
        """Add the row that `work` returns, unless it is there."""
        if not self.has(program, seconds, seed):
            self.add({"program": program, "seconds": seconds, "seed": seed, **work()})

    def add(self, row: dict[str, Any]) -> None:
        """Print and keep a row, with date and processor."""
        row |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), "cpu": device_name(torch.device("cpu"))}
        self.rows.append(row)
        print(line(row), flush=True)
        if self._path:
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
