"""Compare diffusion and flow matching at equal network, steps and data, and write docs/method_selection.md.

    python scripts/method_comparison.py EXPERIMENTS_FOLDER

Experiments already finished in the folder are reused, so that the script can be interrupted. It takes about half an
hour on 2 cores. Each seed has its own weights, noise and split, and methods are compared within each seed.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from focus_engine import Experiment

SEEDS = (0, 1, 2)
EPOCHS = 12
STEP_COUNTS = (5, 10, 25, 50, 100)
MAPS = 150
METHODS = {"diffusion": "small", "flow": "small_flow"}
"""Template of each method."""
DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> None:
    """Train the missing experiments, compare them, and write the page."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = Path(sys.argv[1]).absolute()
    pairs = []
    for seed in SEEDS:
        diffusion, flow = (trained(root, method, seed) for method in METHODS)
        comparison = diffusion.compare(flow, count=MAPS, steps=STEP_COUNTS)
        document = json.loads(comparison.report.read_text(encoding="utf-8"))
        pairs.append(document)
        print(f"seed {seed}: {comparison.report}")
        if seed == SEEDS[0]:
            (DOCS / "images").mkdir(parents=True, exist_ok=True)
            (DOCS / "images" / "method_comparison.png").write_bytes(comparison.figure.read_bytes())
    page = (DOCS / "method_selection.md").read_text(encoding="utf-8")
    begin, end = "<!-- measured -->\n", "<!-- /measured -->\n"
    head, rest = page.split(begin)
    (DOCS / "method_selection.md").write_text(head + begin + tables(pairs) + end + rest.split(end)[1], encoding="utf-8")


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


def tables(pairs: list[dict[str, Any]]) -> str:
    """Return the tables of the page: median, lowest and highest value over the seeds."""
    first = pairs[0]
    simulations, maps, device = first["n_simulations"], first["n_maps"], first["device"]
    lines = [
        f"{len(pairs)} seeds; per seed {maps} maps of {simulations} unseen simulations; {device}, one thread.",
        "Each cell: median over seeds (lowest to highest).",
        "",
        "| | NFE per map | s per map | P(k) error | PDF W1 | slab-mean bias |",
        "|---|---|---|---|---|---|",
    ]
    for place, method in enumerate(METHODS):
        runs = [document["runs"][place] for document in pairs]
        own = [next(one for one in run["steps"] if one["steps"] == run["sampling"]["steps"]) for run in runs]
        sampling = runs[0]["sampling"]
        lines.append(
            f"| {method}, {sampling['sampler']} {sampling['steps']} | {own[0]['nfe']} "
            f"| {statistics.median(one['seconds_per_map'] for one in own):.2g} "
            f"| {spread([run['power_spectrum']['median_abs_error'] for run in runs], 100, ' %')} "
            f"| {spread([run['pdf']['w1'] for run in runs])} "
            f"| {spread([run['slab_mean']['bias'] for run in runs], 100, ' %')} |"
        )
    reals = [document["runs"][0] for document in pairs]
    for words, key, pdf in (
        ("true vs true", "true_vs_true_median_abs_error", "true_vs_true_w1"),
        ("true vs true, same simulations", "true_vs_true_same_simulation", "true_vs_true_same_simulation"),
    ):
        power = spread([run["power_spectrum"][key] for run in reals], 100, " %")
        lines.append(f"| {words} | | | {power} | {spread([run['pdf'][pdf] for run in reals])} | |")
    lines += [
        "",
        "P(k) error against NFE per map:",
        "",
        "| NFE per map | diffusion | flow |",
        "|---|---|---|",
    ]
    costs: dict[int, dict[str, list[float]]] = {}
    for place, method in enumerate(METHODS):
        for document in pairs:
            for one in document["runs"][place]["steps"]:
                if one["power_error"] is not None:
                    costs.setdefault(one["nfe"], {}).setdefault(method, []).append(one["power_error"])
    for nfe in sorted(costs):
        cells = [spread(costs[nfe][method], 100, " %") if method in costs[nfe] else "" for method in METHODS]
        lines.append(f"| {nfe} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float], scale: float = 1.0, unit: str = "") -> str:
    """Return `median (lowest to highest)` with three digits."""
    low, middle, high = (scale * one for one in (min(values), statistics.median(values), max(values)))
    return f"{middle:.3g}{unit} ({low:.3g} to {high:.3g})"


if __name__ == "__main__":
    main()
