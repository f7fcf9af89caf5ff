"""Compare diffusion and flow matching at equal network, steps and data, and write docs/method_selection.md.

    python scripts/method_comparison.py EXPERIMENTS_FOLDER

Experiments already finished in the folder are reused, and so are measured rows, so that the script can be interrupted.
It takes about an hour on 2 cores. Each seed has its own weights and noise. Truth is simulated at
cosmologies that no training simulation has, with many universes at each (`focus evaluate --universes`), so that what is
left is the error of the models. The rows of one method share their networks: they differ by the sampler alone.
"""

import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from focus_engine import Experiment

SEEDS = (0, 1)
EPOCHS = 10
MAPS = 160
UNIVERSES, COSMOLOGIES = 24, 8
METHODS = {"diffusion": "small", "flow": "small_flow"}
"""Template of each method."""
SAMPLERS = {
    "diffusion": (("ddim", 25), ("ddim", 50), ("ddpm", 250)),
    "flow": (("heun", 5), ("heun", 25), ("euler", 50)),
}
"""Samplers and steps at which each network is judged."""
SHOWN = {
    "slab_mean.bias": "mean",
    "power_spectrum.large_scales": "P(k), large scales",
    "power_spectrum.middle_scales": "middle",
    "power_spectrum.small_scales": "small",
    "log_power.middle_scales": "P(k) of log, middle",
    "log_power.small_scales": "small",
    "pdf.w1": "PDF W1",
    "response.slope_middle_scales": "response",
}
"""Scores in the table, and their headings."""
DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> None:
    """Train the missing experiments, judge them, and write the page."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = Path(sys.argv[1]).absolute()
    rows = [
        (method, sampler, steps, [judged(root, method, seed, sampler, steps) for seed in SEEDS])
        for method in METHODS
        for sampler, steps in SAMPLERS[method]
    ]
    page = (DOCS / "method_selection.md").read_text(encoding="utf-8")
    begin, end = "<!-- measured -->\n", "<!-- /measured -->\n"
    head, rest = page.split(begin)
    (DOCS / "method_selection.md").write_text(head + begin + table(rows) + end + rest.split(end)[1], encoding="utf-8")
    pair = [Experiment.open(f"{method}_{SEEDS[0]}", root=root) for method in METHODS]
    figure = pair[0].compare(pair[1], count=150, steps=(5, 10, 25, 50, 100)).figure
    (DOCS / "images" / "method_comparison.png").write_bytes(figure.read_bytes())


def judged(root: Path, method: str, seed: int, sampler: str, steps: int) -> dict[str, Any]:
    """Return the report of one network by one sampler, measuring it if necessary."""
    path = root / f"{method}_{seed}" / f"judged_{sampler}_{steps}.json"
    if not path.is_file():
        experiment = trained(root, method, seed)
        began = time.perf_counter()
        report = experiment.evaluate(MAPS, universes=UNIVERSES, cosmologies=COSMOLOGIES, sampler=sampler, steps=steps)
        document = {**report.to_dict(), "seconds": time.perf_counter() - began}
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    document = json.loads(path.read_text(encoding="utf-8"))
    print(f"{method} {seed}, {sampler} {steps}: {document['verdict']['text']}", flush=True)
    return dict(document)


def trained(root: Path, method: str, seed: int) -> Experiment:
    """Return a finished experiment, training it if necessary."""
    name = f"{method}_{seed}"
    known = {one.name for one in Experiment.all(root=root)}
    if name in known:
        experiment = Experiment.open(name, root=root)
    else:
        changes = {"training.num_epochs": EPOCHS, "training.sample_every": 0, "training.seed": seed}
        experiment = Experiment.create(name, root=root, template=METHODS[method], settings=changes)
    state = experiment.wait().state
    if state != "finished":
        experiment.start(resume=state != "created")
        ended = experiment.wait()
        if ended.state != "finished":
            sys.exit(f"{name} {ended.state}: {ended.reason}")
    return experiment


def table(rows: list[tuple[str, str, int, list[dict[str, Any]]]]) -> str:
    """Return the table of the page: median, lowest and highest value over the seeds."""
    first = rows[0][3][0]
    lines = [
        (
            f"{len(SEEDS)} seeds; {first['n_generated']} maps of each model against {first['n_maps']} of "
            f"{first['n_simulations']} universes at {first['n_points']} held-back cosmologies."
        ),
        "Each cell: median over seeds (lowest to highest); the last row is what 95 of 100 perfect models score.",
        "",
        f"| | NFE | {' | '.join(SHOWN.values())} |",
        f"|---|---|{'---|' * len(SHOWN)}",
    ]
    for method, sampler, steps, reports in rows:
        nfe = steps * (2 if sampler == "heun" else 1)
        cells = (spread([scores(report)[name] for report in reports]) for name in SHOWN)
        lines.append(f"| {method}, {sampler} {steps} | {nfe} | {' | '.join(cells)} |")
    perfect = (null(scores(first)[name]) for name in SHOWN)
    return "\n".join([*lines, f"| a perfect model | | {' | '.join(perfect)} |"]) + "\n"


def scores(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the scores of a report by `statistic.name`."""
    return {f"{one['statistic']}.{one['name']}": one for one in report["scores"]}


def spread(found: list[dict[str, Any]]) -> str:
    """Return `median (lowest to highest)` of a score, in per cent where it is a fraction about 0."""
    values = sorted(one["value"] for one in found)
    return f"{text(statistics.median(values), found[0])} ({text(values[0], found[0])} to {text(values[-1], found[0])})"


def null(score: Mapping[str, Any]) -> str:
    """Return the range of 95 of 100 perfect models."""
    reach = 2 * score["null_spread"]
    if score["name"] == "w1":
        return f"up to {score['null'] + reach:.3f}"
    return f"{text(score['null'], score)} ± {text(reach, score).lstrip('+')}"


def text(value: float, score: Mapping[str, Any]) -> str:
    """Return a value as the table shows it."""
    plain = score["name"] == "w1" or score["statistic"] == "response"
    return f"{value:.3f}" if plain else f"{100 * value:+.1f} %"


if __name__ == "__main__":
    main()
