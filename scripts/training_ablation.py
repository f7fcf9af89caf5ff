"""Train one network for each choice and seed, judge all against held-back universes, and write docs/training_well.md.

    python scripts/training_ablation.py FOLDER [--rows base w4 ...] [--seeds 0 1 2]
    python scripts/training_ablation.py --write

Scores stand in benchmarks/results/training_ablation.json, where every measurement adds its own at once: what stands
there, of the same settings, is not measured again, so that an interrupted run continues, on another machine too.
Several may run at a time. Networks are kept in FOLDER. The networks of a seed are drawn from the same noise, so that
choices compare well; of three seeds there are three draws, since the mean of one draw is off by chance (2.4 %). Seeds
are measured one after the other. `--write` writes the table of the page. Each network takes three to five minutes on
one thread, all some three hours.
"""

import argparse
import fcntl
import hashlib
import json
import statistics
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from focus_engine.atomic import write_atomically
from focus_engine.config.schema import Config
from focus_engine.config.templates import find_template, template_config
from focus_engine.data.opening import open_maps
from focus_engine.evaluation.calibrating import calibration_of
from focus_engine.evaluation.trained_model import TrainedModel, open_trained
from focus_engine.evaluation.truth import HeldBack, Truth, universe_truth
from focus_engine.figures.pages import save
from focus_engine.figures.panels import BAND, BODY, GENERATED
from focus_engine.progress import drain
from focus_engine.statistics.compare import judging
from focus_engine.training.checkpoint import save_checkpoint
from focus_engine.training.loop import train
from focus_engine.training.prepare import prepare_run
from focus_engine.training.prepared_data import prepare_data

FIRST_NOISE = 6
"""Seed of the noise for the networks of seed 0 (`noise_seed` of benchmarks/alternation.py)."""
MAPS, HELD_BACK = 240, HeldBack(universes=24, cosmologies=8)
SAMPLER = {"sampler": "heun", "steps": 25}
"""Converged for a flow: 100 steps change no score by more than 0.003."""
ABM2 = {"sampler": "abm2", "steps": 10}
MIDPOINT = {"sampler": "midpoint", "steps": 25}
EARLIER_POWER = 0.1
EARLIER = {
    "data.simulations": 60,
    "training.cfg_prob": 0.1,
    "data.standardize": "pixels",
    "data.boxcox_power": EARLIER_POWER,
}
"""The templates' settings until they had 150 universes, no maps without parameters, and standardised these by them."""
FIRST = EARLIER | {
    "model.base_channels": 24,
    "model.channel_mults": (1, 2),
    "training.batch_size": 16,
    "training.lr": 2e-3,
    "training.optimizer": "adamw",
    "training.precision": "float32",
    "data.normalize": "log10",
}
"""The templates' settings until 2026-11."""
HALF = FIRST | {"training.precision": "bf16", "training.batch_size": 32, "training.lr": 3e-3}
MUON = HALF | {"training.optimizer": "muon"}
WIDE = MUON | {"model.base_channels": 32, "model.channel_mults": (1, 2, 2), "training.lr": 4e-3}
BOXCOX = WIDE | {"data.normalize": "boxcox"}
NO_DROP = BOXCOX | {"data.simulations": 150, "training.cfg_prob": 0.0}
SPECTRUM = NO_DROP | {"data.standardize": "spectrum"}
AS_IT_IS = SPECTRUM | {"data.boxcox_power": 0.15}


@dataclass(frozen=True)
class Choice:
    """A way to train.

    Attributes:
        words: its row in the table.
        epochs: number of epochs, so that the choices of a group cost about as much CPU time.
        settings: what it changes in the template.
        template: the template.
        sampling: how its maps are drawn.
        calibration_maps: maps drawn to calibrate it, the value of that key.
    """

    words: str
    epochs: int
    settings: dict[str, Any]
    template: str = "small_flow"
    sampling: dict[str, Any] = field(default_factory=lambda: SAMPLER)
    calibration_maps: int = 0

    @property
    def digest(self) -> str:
        """What tells scores of other settings apart."""
        settings = find_template(self.template).settings | self.settings | self.sampling | {"epochs": self.epochs}
        settings.pop("sampling.calibration_maps", None)  # of the template
        settings |= {"calibration_maps": self.calibration_maps} if self.calibration_maps else {}
        settings |= {"first_noise": FIRST_NOISE}
        if settings.get("data.boxcox_power") == EARLIER_POWER:
            del settings["data.boxcox_power"]
        if settings["data.standardize"] == "spectrum":
            settings["levels"] = "halfway"  # of their spectrum; before, the network's own units
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


CHOICES = {
    "base": Choice("AdamW, float32, batches of 16 (as it was)", 14, FIRST),
    "bf16_b32": Choice("bf16, batches of 32", 23, HALF),
    "bf16_b64": Choice("bf16, batches of 64", 24, HALF | {"training.batch_size": 64, "training.lr": 4e-3}),
    "gauss": Choice("bf16, data.normalize: gaussian", 22, HALF | {"data.normalize": "gaussian"}),
    "edm": Choice("bf16, method: edm", 20, HALF, template="small_edm"),
    "muon": Choice("bf16, Muon", 21, MUON),
    "muon_logit": Choice("bf16, Muon, logit-normal times", 21, MUON | {"flow_matching.time_sampling": "logit_normal"}),
    "muon_wide": Choice("bf16, Muon, 32 channels x (1, 2, 2)", 16, WIDE | {"training.lr": 3e-3}),
    "w4": Choice("the same, rate 4e-3, longer", 27, WIDE),
    "boxcox": Choice("the same, data.normalize: boxcox", 27, BOXCOX),
    "no_drop": Choice("the same, 135 simulations, training.cfg_prob: 0", 10, NO_DROP),
    "spectrum": Choice("the same, data.standardize: spectrum", 10, SPECTRUM),
    "spectrum_p15": Choice("the same, data.boxcox_power: 0.15", 10, AS_IT_IS),
    "abm2": Choice("the same, 10 steps of abm2", 10, AS_IT_IS, sampling=ABM2),
    "calibrated": Choice("the same, calibrated (as it is)", 10, AS_IT_IS, sampling=ABM2, calibration_maps=512),
    "spectrum_v": Choice("diffusion, as data.boxcox_power: 0.15", 10, AS_IT_IS, "small", MIDPOINT),
}
SHOWN = {
    "slab_mean.bias": "mean",
    "power_spectrum.large_scales": "P(k), large scales",
    "power_spectrum.middle_scales": "middle",
    "power_spectrum.small_scales": "small",
    "log_power.middle_scales": "P(k) of log, middle",
    "log_power.small_scales": "small",
    "pdf.w1": "PDF W1",
    "response.slope_middle_scales": "response",
    "peaks.peaks": "peaks",
    "scattering.shift": "scattering",
    "classifier.excess": "classifier",
}
HOME = Path(__file__).resolve().parent.parent
PAGE = HOME / "docs" / "training_well.md"
RESULTS = HOME / "benchmarks" / "results" / "training_ablation.json"
Results = dict[str, Any]
"""`rows`: name of a choice to its `digest` and, by seed, CPU time, verdict and scores [value, null, its spread]."""


def main() -> None:
    """Train and judge what is missing, or write the table of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where networks are kept")
    parser.add_argument("--rows", nargs="+", default=list(CHOICES), choices=list(CHOICES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--write", action="store_true", help="write the page from the kept results")
    given = parser.parse_args()
    if given.write == (given.folder is not None):
        parser.error("give a folder, or --write")
    torch.set_num_threads(1)
    if given.write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), measured()), encoding="utf-8")
        draw(measured())
        return
    given.folder.mkdir(exist_ok=True, parents=True)
    for seed in given.seeds:
        for name in given.rows:
            if str(seed) not in measured().get(name, {}):
                keep(name, seed, judged(given.folder.absolute(), name, seed))


def measured() -> dict[str, dict[str, Any]]:
    """Return the scores by choice and seed, of the present settings."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.is_file() else {}
    return {
        name: rows[name]["seeds"] for name, one in CHOICES.items() if rows.get(name, {}).get("digest") == one.digest
    }


def keep(name: str, seed: int, scores: dict[str, Any]) -> None:
    """Add scores to the results; of others that measure at the same time none is lost."""
    with (RESULTS.with_suffix(".lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = measured()
        rows.setdefault(name, {})[str(seed)] = scores
        document = {"maps": MAPS, "universes": HELD_BACK.universes, "cosmologies": HELD_BACK.cosmologies}
        ordered = {one: {"digest": CHOICES[one].digest, "seeds": rows[one]} for one in CHOICES if one in rows}
        with write_atomically(RESULTS) as path:
            path.write_text(json.dumps({**document, "rows": ordered}, indent=1) + "\n", encoding="utf-8")


def config_of(choice: Choice, seed: int) -> Config:
    """Return the config of a choice."""
    own = {"training.sample_every": 0, "training.seed": seed, "training.num_epochs": choice.epochs}
    return template_config(choice.template, {**choice.settings, **own})


def trained(path: Path, config: Config) -> tuple[TrainedModel, float]:
    """Return the network kept as `path`.pt and the CPU time of its training [s], training it if necessary."""
    kept, spent = path.with_name(f"{path.name}.pt"), path.with_name(f"{path.name}.seconds")
    if not kept.is_file():
        data = prepare_data(config, drain(open_maps(config, Path.cwd())))
        run = prepare_run(config, data, torch.device("cpu"))
        began = time.process_time()
        for _ in train(run.training, run.state, lambda: None):
            pass
        spent.write_text(f"{time.process_time() - began:.0f}\n")
        save_checkpoint(kept, run.checkpoint())
    return open_trained(kept, device="cpu"), float(spent.read_text())


def judged(folder: Path, name: str, seed: int) -> dict[str, Any]:
    """Return CPU time of training [s], verdict and the shown scores of a network."""
    choice = CHOICES[name]
    model, seconds = trained(folder / f"{name}_{seed}_{choice.digest}", config_of(choice, seed))
    if choice.calibration_maps:
        model, spent = calibrated(model, choice)
        seconds += spent
    found = scored(model, seed=FIRST_NOISE + seed, **choice.sampling)
    print(f"{name} {seed}: {seconds:.0f} CPU-s, {found['verdict']}", flush=True)
    scores = {f"{one['statistic']}.{one['name']}": one for one in found["scores"]}
    kept = {score: [scores[score][key] for key in ("value", "null", "null_spread")] for score in SHOWN}
    return {"seconds": seconds, "verdict": found["verdict"], "scores": kept}


def calibrated(model: TrainedModel, choice: Choice) -> tuple[TrainedModel, float]:
    """Return the model with the calibration of its sampler, and the CPU time of that [s]."""
    began = time.process_time()
    data = prepare_data(model.config, drain(open_maps(model.config, Path.cwd())))
    plan = {"method": choice.sampling["sampler"], "num_steps": choice.sampling["steps"]}
    sampling = model.config.sampling.model_copy(update=plan)
    sampled = replace(model, config=model.config.model_copy(update={"sampling": sampling}))
    calibration = drain(calibration_of(sampled, data, choice.calibration_maps))
    return replace(model, calibration=calibration), time.process_time() - began


def scored(
    model: TrainedModel,
    count: int = MAPS,
    held_back: HeldBack = HELD_BACK,
    **plan: Any,  # noqa: ANN401  (the fields of SamplingPlan)
) -> dict[str, Any]:
    """Return verdict, scores and CPU time of sampling [s] of `count` maps drawn by `plan` at held-back cosmologies."""
    maps = drain(open_maps(model.config, Path.cwd()))
    truth: Truth = drain(universe_truth(model.config, maps, model.data["split"]["train"], held_back, count))
    began = time.process_time()
    drawn = [step.finished for step in model.draw(truth.params, model.plan(**plan)) if step.finished is not None]
    seconds = time.process_time() - began
    evaluation = drain(judging(truth.maps, model.physical(torch.cat(drawn)), truth.design, maps.box_size))
    scores = [one.to_dict() for one in evaluation.scores()]
    return {"verdict": evaluation.verdict.text, "sampling_seconds": seconds, "scores": scores}


def written(page: str, found: dict[str, dict[str, Any]]) -> str:
    """Return the page with its table replaced."""
    begin, end = "<!-- measured -->\n", "<!-- /measured -->\n"
    head, rest = page.split(begin)
    return head + begin + table(found) + end + rest.split(end)[1]


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the table: the median over seeds, and the range where there are several."""
    lines = [
        f"{MAPS} maps of each network against 24 universes at each of 8 held-back cosmologies; several seeds as median",
        "(lowest to highest), else one seed. The last row is what 95 of 100 perfect models score.",
        "",
        f"| | CPU s | {' | '.join(SHOWN.values())} |",
        f"|---|---|{'---|' * len(SHOWN)}",
    ]
    for name, seeds in found.items():
        seconds = statistics.median(one["seconds"] for one in seeds.values())
        cells = (spread([named(one["scores"][score]) for one in seeds.values()], score) for score in SHOWN)
        lines.append(f"| {CHOICES[name].words} | {seconds:.0f} | {' | '.join(cells)} |")
    first = next(iter(next(iter(found.values())).values()))["scores"]
    perfect = (null(named(first[score]), score) for score in SHOWN)
    return "\n".join([*lines, f"| a perfect model | | {' | '.join(perfect)} |"]) + "\n"


PICTURE = HOME / "docs" / "images" / "training_well.svg"
DRAWN = (
    "power_spectrum.small_scales",
    "log_power.small_scales",
    "peaks.peaks",
    "scattering.shift",
    "classifier.excess",
)
TITLES = ("P(k), small scales", "P(k) of log, small", "peaks", "scattering", "classifier")


def draw(found: dict[str, dict[str, Any]]) -> None:
    """Draw the scores of each seed in rows, beside the range of 95 of 100 perfect models."""
    figure = Figure(figsize=(11.0, 0.6 + 0.32 * len(found)), layout="constrained")
    panels = figure.subplots(1, len(DRAWN), sharey=True)
    places = range(len(found))
    for axes, score, title in zip(panels, DRAWN, TITLES, strict=True):
        values = [[seed["scores"][score][0] for seed in seeds.values()] for seeds in found.values()]
        _, null, deviation = next(iter(next(iter(found.values())).values()))["scores"][score]
        axes.axvspan(null - 2 * deviation, null + 2 * deviation, color=BAND, alpha=0.6, linewidth=0)
        for place, seeds in zip(places, values, strict=True):
            axes.plot(seeds, [place] * len(seeds), "o", color=GENERATED, markersize=4, alpha=0.8)
        axes.set_title(title, fontsize=BODY)
        axes.tick_params(labelsize=BODY - 1.5)
        if not score.startswith("scattering"):
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(axis="y", color=BAND, linewidth=0.4)
    panels[0].set_yticks(list(places), [CHOICES[name].words for name in found])
    panels[0].invert_yaxis()
    save(figure, PICTURE, "svg")


def named(score: list[float]) -> dict[str, float]:
    """Return a kept score with the names of its numbers."""
    return dict(zip(("value", "null", "null_spread"), score, strict=True))


def spread(scores: list[dict[str, Any]], name: str) -> str:
    """Return `median (lowest to highest)` of a score."""
    values = sorted(one["value"] for one in scores)
    middle = text(statistics.median(values), name)
    return middle if len(values) == 1 else f"{middle} ({text(values[0], name)} to {text(values[-1], name)})"


def null(score: dict[str, Any], name: str) -> str:
    """Return the range of 95 of 100 perfect models."""
    reach = 2 * score["null_spread"]
    if name in {"pdf.w1", "scattering.shift", "classifier.excess"}:
        return f"up to {text(score['null'] + reach, name)}"
    return f"{text(score['null'], name)} ± {text(reach, name).lstrip('+')}"


def text(value: float, name: str) -> str:
    """Return a value as the table shows it."""
    plain = name.startswith(("pdf", "response", "scattering"))
    return f"{value:.3f}" if plain else f"{100 * value:+.1f} %"


if __name__ == "__main__":
    main()
