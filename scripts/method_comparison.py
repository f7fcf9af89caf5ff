"""Compare diffusion, flow matching and EDM, and samplers, by the small templates; write docs/method_selection.md.

    python scripts/method_comparison.py FOLDER [--seeds 3] [--tiny | --kept]
    python scripts/method_comparison.py --write

Networks are those of the templates `small`, `small_flow` and `small_edm`, one for each seed, and of `small` with the
seed experiment's linear schedule, epsilon-prediction and standardisation. None is calibrated, because a calibration
takes errors of its sampler out. FOLDER keeps networks and scores: an interrupted run continues, and only networks of
settings that have changed are trained anew. Seeds are measured one after the other and slow samplers last, so that a
run that is cut short can be used: `--kept` writes what is there, and `--only` measures some seeds, so that several can
run at a time. Rows of one kind share their networks: they differ by the sampler alone. All rows of a seed are drawn
from the same noise. One thread, about 70 minutes of CPU time for three seeds. Training ends by epochs and times are CPU
time, so that other programs do not change the comparison.

The results stand in benchmarks/results/method_comparison.json, from which `--write` writes page and picture again.
`--tiny` takes networks and universes of a few seconds, and leaves results and page alone.
"""

import argparse
import hashlib
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
import yaml
from training_ablation import FIRST_NOISE, HELD_BACK, MAPS, null, scored, spread, trained
from training_ablation import SHOWN as SCORES

from focus_engine.config.samplers import SAMPLERS
from focus_engine.config.schema import Config, plain_config
from focus_engine.config.templates import template_config
from focus_engine.evaluation.truth import HeldBack

mpl.use("agg")
from matplotlib import pyplot as plt

LINEAR = "linear"
TEMPLATES = {"diffusion": "small", "flow": "small_flow", "edm": "small_edm", LINEAR: "small"}
SETTINGS: dict[str, dict[str, Any]] = {
    LINEAR: {
        "diffusion.schedule": "linear",
        "diffusion.prediction": "epsilon",
        "diffusion.zero_terminal_snr": False,
        "diffusion.min_snr_offset": 0.0,
        "data.standardize": "pixels",
    }
}
"""What a kind of networks changes in its template."""
Row = tuple[str, str, int, str]
"""Kind of networks, sampler, steps, and a further key of the plan as `name value`, or nothing."""
ROWS: dict[str, tuple[tuple[str, int, str], ...]] = {
    "diffusion": (
        ("abm2", 10, ""),
        ("ddim", 50, ""),
        ("midpoint", 25, ""),
        ("ab2", 5, ""),
        ("abm2", 5, ""),
        ("ddpm", 250, ""),
    ),
    "flow": (
        ("abm2", 10, ""),
        ("heun", 25, ""),
        ("midpoint", 25, ""),
        ("ab2", 5, ""),
        ("abm2", 5, ""),
        ("sde", 100, ""),
    ),
    "edm": (("abm2", 10, ""), ("midpoint", 25, ""), ("heun", 50, ""), ("heun", 50, "churn 10"), ("sde", 100, "")),
    LINEAR: (("midpoint", 25, "prior white"), ("midpoint", 25, "prior spectrum")),
}
"""How each network is drawn, in the order of being measured."""
ONCE = {"ddpm", "sde", LINEAR}
"""Samplers that take minutes of CPU time, and networks, of which one seed is measured, after all other rows."""
SHOWN = {name: words for name, words in SCORES.items() if name not in {"peaks.peaks", "classifier.excess"}}
HOME = Path(__file__).resolve().parent.parent
RESULTS = HOME / "benchmarks" / "results" / "method_comparison.json"
PAGE = HOME / "docs" / "method_selection.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
Results = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much is measured: maps drawn by each row, their truth, and changes of the templates."""

    maps: int = MAPS
    held_back: HeldBack = HELD_BACK
    settings: Mapping[str, Any] = field(default_factory=dict)


TINY = Sizes(
    8,
    HeldBack(4, 2),
    {
        "data.simulations": 12,
        "data.grid": 8,
        "data.map_size": 8,
        "data.maps_per_simulation": 6,
        "model.base_channels": 4,
        "model.channel_mults": [1],
        "training.num_epochs": 1,
    },
)


def measure(folder: Path, seeds: Sequence[int], sizes: Sizes, *, kept: bool = False) -> Results:
    """Return the results, measuring what `folder` lacks unless only what is `kept` there is wanted."""
    folder.mkdir(exist_ok=True, parents=True)
    found: dict[Row, list[dict[str, Any]]] = {}
    for seed, row in in_order(seeds):
        own = judged(folder, row, seed, sizes, kept=kept)
        if own is not None:
            found.setdefault(row, []).append(own)
    return summary(found, sizes)


def in_order(seeds: Sequence[int]) -> Iterator[tuple[int, Row]]:
    """Yield seed and row: the rows of each seed, and then those of slow samplers."""
    rows = [(kind, *row) for kind, of_kind in ROWS.items() for row in of_kind]
    yield from ((seed, row) for seed in seeds for row in rows if ONCE.isdisjoint(row))
    yield from ((seed, row) for seed in seeds for row in rows if not ONCE.isdisjoint(row) and seed == 0)


def judged(folder: Path, row: Row, seed: int, sizes: Sizes, *, kept: bool) -> dict[str, Any] | None:
    """Return the scores of one network by one sampler, with the CPU times of training and sampling [s].

    None where they are not there and only what is `kept` is wanted.
    """
    kind, sampler, steps, further = row
    config = config_of(kind, seed, sizes)
    network = folder / f"{kind}_{seed}_{digest(config)}"
    ending = f"{sampler}_{steps}{further and '_'}{further.replace(' ', '_')}"
    path = network.with_name(f"{network.name}.noise_{FIRST_NOISE + seed}.{ending}.json")
    if kept and not path.is_file():
        return None
    if not path.is_file():
        model, seconds = trained(network, config)
        plan = {"sampler": sampler, "steps": steps, "seed": FIRST_NOISE + seed, **further_key(further)}
        found = scored(model, sizes.maps, sizes.held_back, **plan)
        path.write_text(json.dumps({"training_seconds": seconds, **found}) + "\n", encoding="utf-8")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    print(f"{kind} {seed}, {sampler} {steps} {further}: {document['verdict']}", flush=True)
    return document


def further_key(words: str) -> dict[str, Any]:
    """Return the key of the plan that a row names beside sampler and steps."""
    if not words:
        return {}
    name, value = words.split()
    return {name: yaml.safe_load(value)}


def config_of(kind: str, seed: int, sizes: Sizes) -> Config:
    """Return the config of the networks of a kind, with a seed and without samples during training."""
    own = {"training.sample_every": 0, "training.seed": seed}
    return template_config(TEMPLATES[kind], {**SETTINGS.get(kind, {}), **sizes.settings, **own})


def digest(config: Config) -> str:
    """Return what tells networks of another config apart."""
    text = json.dumps(plain_config(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def summary(found: Mapping[Row, list[dict[str, Any]]], sizes: Sizes) -> Results:
    """Return the results: the settings that the page states, and each row with its scores over the seeds."""
    configs = {method: config_of(method, 0, sizes) for method in TEMPLATES}
    return {
        "maps": sizes.maps,
        "universes": sizes.held_back.universes,
        "cosmologies": sizes.held_back.cosmologies,
        "methods": {kind: _described(kind, configs[kind], found) for kind in dict.fromkeys(row[0] for row in found)},
        "rows": [_row(*key, documents, sizes.maps) for key, documents in found.items()],
    }


def _described(method: str, config: Config, found: Mapping[Row, list[dict[str, Any]]]) -> Results:
    seconds = {
        place: one["training_seconds"] for key, of in found.items() if key[0] == method for place, one in enumerate(of)
    }
    simulations = round(config.data.simulations * config.data.train_split)
    return {
        "template": TEMPLATES[method],
        "simulations": simulations,
        "maps_per_simulation": config.data.maps_per_simulation,
        "map_size": config.data.map_size,
        "epochs": config.training.num_epochs,
        "training_cpu_seconds": list(seconds.values()),
    }


def _row(kind: str, sampler: str, steps: int, further: str, documents: list[dict[str, Any]], maps: int) -> Results:
    """Return one row; of each score the values over the seeds, and the null of the first."""
    by_name = [{f"{one['statistic']}.{one['name']}": one for one in document["scores"]} for document in documents]
    scores = {
        name: {
            "values": [one[name]["value"] for one in by_name],
            "null": by_name[0][name]["null"],
            "null_spread": by_name[0][name]["null_spread"],
        }
        for name in SHOWN
    }
    return {
        "method": kind,
        "sampler": sampler,
        "steps": steps,
        "further": further,
        "nfe": SAMPLERS[sampler].nfe(steps, "diffusion" if kind == LINEAR else kind),
        "cpu_seconds_per_map": statistics.median(one["sampling_seconds"] for one in documents) / maps,
        "told": sum(one["verdict"].startswith("told") for one in documents),
        "seeds": len(documents),
        "scores": scores,
    }


def table(found: Results) -> str:
    """Return the part of the page between its marks: what was measured, and the table."""
    return "\n".join([*_introduction(found), "", *_rows(found)]) + "\n"


def _introduction(found: Results) -> Iterator[str]:
    seeds = sorted({row["seeds"] for row in found["rows"]})
    one = "" if len(seeds) == 1 else f", {' or '.join(map(str, seeds[:-1]))} where a cell has no range"
    truth = f"{found['universes']} universes at each of {found['cosmologies']} held-back cosmologies"
    for method, own in found["methods"].items():
        low, high = min(own["training_cpu_seconds"]), max(own["training_cpu_seconds"])
        kind = f"the template `{own['template']}`"
        if method == LINEAR:
            kind += ", linear schedule, epsilon, pixels standardised"
        yield (
            f"- *{method}* is {kind}: {own['simulations']} training simulations of {own['maps_per_simulation']} maps "
            f"({own['map_size']} x {own['map_size']} pixels), {own['epochs']} epochs, {low:.0f} to {high:.0f} s of CPU "
            "time for each network."
        )
    yield ""
    yield f"{found['maps']} maps of each network against {truth}; {seeds[-1]} seeds of each network{one}."
    yield "Each cell: median over seeds (lowest to highest); the last row is what 95 of 100 perfect models score."


def _rows(found: Results) -> Iterator[str]:
    yield f"| | NFE | CPU s per map | {' | '.join(SHOWN.values())} | told from real maps |"
    yield f"|---|---|---|{'---|' * len(SHOWN)}---|"
    for row in sorted(found["rows"], key=lambda row: (row["method"], row["nfe"], row["sampler"])):
        cells = [_cell(row["scores"][name], name) for name in SHOWN]
        words = " ".join(["", row["sampler"], str(row["steps"]), row["further"]]).rstrip()
        start = f"| {row['method']},{words} | {row['nfe']} | {row['cpu_seconds_per_map']:.2g}"
        yield f"{start} | {' | '.join(cells)} | {row['told']} of {row['seeds']} |"
    first = found["rows"][0]["scores"]
    perfect = ("unknown" if first[name]["null"] is None else null(first[name], name) for name in SHOWN)
    yield f"| a perfect model | | | {' | '.join(perfect)} | |"


def _cell(score: Mapping[str, Any], name: str) -> str:
    known = [{"value": value} for value in score["values"] if value is not None]
    return spread(known, name) if known else "unknown"


def written(page: str, found: Results) -> str:
    """Return the page with its table replaced."""
    head, rest = page.split(BEGIN)
    return head + BEGIN + table(found) + END + rest.split(END)[1]


def draw(found: Results) -> None:
    """Draw scores against NFE, with the range of perfect models."""
    words = {
        "slab_mean.bias": "mean density",
        "power_spectrum.middle_scales": "P(k), middle scales",
        "log_power.small_scales": "P(k) of log density, small scales",
    }
    figure, axes = plt.subplots(1, len(words), figsize=(11, 3.6), layout="constrained")
    for axis, name in zip(axes, words, strict=True):
        perfect = found["rows"][0]["scores"][name]
        middle, reach = 100 * perfect["null"], 200 * perfect["null_spread"]
        axis.axhspan(middle - reach, middle + reach, color="0.88", label="95 of 100 perfect models")
        for method, marker in zip(TEMPLATES, "os^", strict=False):  # without the linear schedule
            own = [row for row in found["rows"] if row["method"] == method]
            values = [100 * statistics.median(row["scores"][name]["values"]) for row in own]
            axis.plot([row["nfe"] for row in own], values, marker, label=method)
            for row, value in zip(own, values, strict=True):
                axis.annotate(
                    f"{row['sampler']} {row['further']}".rstrip(),
                    (row["nfe"], value),
                    xytext=(4, 4),
                    textcoords="offset points",
                    fontsize=7,
                )
        axis.set(xscale="log", xlim=(4, 500), xlabel="NFE per map", ylabel="error [%]", title=words[name])
    axes[0].legend(fontsize=8)
    figure.savefig(HOME / "docs" / "images" / "method_comparison.png", dpi=110)


def main() -> None:
    """Measure unless told to write alone, and write results, page and picture unless all is tiny."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where networks and scores are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="+", help="measure these seeds, and write neither results nor page")
    parser.add_argument("--kept", action="store_true", help="measure nothing, and write what the folder has")
    parser.add_argument("--tiny", action="store_true", help="a check of the script")
    parser.add_argument("--write", action="store_true", help="write the page from the kept results alone")
    given = parser.parse_args()
    if given.write == (given.folder is not None):
        parser.error("give a folder, or --write")
    torch.set_num_threads(1)
    if not given.write:
        seeds = given.only or range(given.seeds)
        found = measure(given.folder.absolute(), seeds, TINY if given.tiny else Sizes(), kept=given.kept)
        if given.tiny or given.only:
            print(table(found))
            return
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    draw(found)


if __name__ == "__main__":
    main()
