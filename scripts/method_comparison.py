"""Compare diffusion and flow matching, and samplers, at equal network and training; write docs/method_selection.md.

    python scripts/method_comparison.py FOLDER

The networks are those of `scripts/training_ablation.py`, trained if the folder lacks them; measured rows are reused.
Rows of one method share their networks: they differ by the sampler alone.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from training_ablation import CHOICES, HELD_BACK, MAPS, null, scored, spread, trained
from training_ablation import SHOWN as SCORES

from focus_engine.config.samplers import SAMPLERS

mpl.use("agg")
from matplotlib import pyplot as plt

NETWORKS = {"boxcox_v": "diffusion", "boxcox": "flow", "w4": "flow of log10"}
ROWS = {
    "boxcox_v": (("ab2", 5), ("abm2", 10), ("midpoint", 25), ("ddim", 50), ("ddpm", 250)),
    "boxcox": (("heun", 25),),
    "w4": (("ab2", 5), ("abm2", 10), ("midpoint", 25), ("heun", 25), ("sde", 100)),
}
"""Samplers and steps at which each network is judged; those with few NFE are the choice of `--nfe`."""
FEWER_SEEDS = {"ddpm": 2}
"""Seeds of samplers that take minutes of CPU time."""
SHOWN = {name: words for name, words in SCORES.items() if name not in {"peaks.peaks", "classifier.excess"}}
DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> None:
    """Train the missing networks, judge them, and write the page."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]).absolute()
    rows = [
        (
            NETWORKS[name],
            sampler,
            steps,
            [judged(folder, name, seed, sampler, steps) for seed in CHOICES[name].seeds[: FEWER_SEEDS.get(sampler)]],
        )
        for name in NETWORKS
        for sampler, steps in ROWS[name]
    ]
    page = (DOCS / "method_selection.md").read_text(encoding="utf-8")
    begin, end = "<!-- measured -->\n", "<!-- /measured -->\n"
    head, rest = page.split(begin)
    (DOCS / "method_selection.md").write_text(head + begin + table(rows) + end + rest.split(end)[1], encoding="utf-8")
    draw(rows)


def judged(folder: Path, name: str, seed: int, sampler: str, steps: int) -> dict[str, Any]:
    """Return the scores of one network by one sampler, by `statistic.name`."""
    path = folder / f"{name}_{seed}.{sampler}_{steps}.json"
    if not path.is_file():
        model, _ = trained(folder, name, seed)
        path.write_text(json.dumps(scored(model, sampler=sampler, steps=steps)) + "\n", encoding="utf-8")
    document = json.loads(path.read_text(encoding="utf-8"))
    print(f"{name} {seed}, {sampler} {steps}: {document['verdict']}", flush=True)
    return {f"{one['statistic']}.{one['name']}": one for one in document["scores"]}


def nfe(sampler: str, steps: int, method: str) -> int:
    """Return the network function evaluations per map."""
    return SAMPLERS[sampler].nfe(steps, method.split(maxsplit=1)[0])


def table(rows: list[tuple[str, str, int, list[dict[str, Any]]]]) -> str:
    """Return the table of the page: median, lowest and highest value over the seeds."""
    fewer = ", ".join(f"{count} of {sampler}" for sampler, count in FEWER_SEEDS.items())
    truth = f"{HELD_BACK.universes} universes at each of {HELD_BACK.cosmologies} held-back cosmologies"
    lines = [
        f"{MAPS} maps of each network against {truth}; three seeds of each network, {fewer}.",
        "Each cell: median over seeds (lowest to highest); the last row is what 95 of 100 perfect models score.",
        "",
        f"| | NFE | {' | '.join(SHOWN.values())} |",
        f"|---|---|{'---|' * len(SHOWN)}",
    ]
    for method, sampler, steps, found in rows:
        cells = (spread([one[name] for one in found], name) for name in SHOWN)
        lines.append(f"| {method}, {sampler} {steps} | {nfe(sampler, steps, method)} | {' | '.join(cells)} |")
    perfect = (null(rows[0][3][0][name], name) for name in SHOWN)
    return "\n".join([*lines, f"| a perfect model | | {' | '.join(perfect)} |"]) + "\n"


def draw(rows: list[tuple[str, str, int, list[dict[str, Any]]]]) -> None:
    """Draw scores against NFE, with the range of perfect models."""
    words = {
        "slab_mean.bias": "mean density",
        "power_spectrum.middle_scales": "P(k), middle scales",
        "log_power.small_scales": "P(k) of log density, small scales",
    }
    figure, axes = plt.subplots(1, len(words), figsize=(11, 3.6), layout="constrained")
    for axis, name in zip(axes, words, strict=True):
        perfect = rows[0][3][0][name]
        middle, reach = 100 * perfect["null"], 200 * perfect["null_spread"]
        axis.axhspan(middle - reach, middle + reach, color="0.88", label="95 of 100 perfect models")
        for method, marker in (("diffusion", "o"), ("flow", "D"), ("flow of log10", "s")):
            own = [(nfe(sampler, steps, method), sampler, found) for m, sampler, steps, found in rows if m == method]
            values = [100 * statistics.median(one[name]["value"] for one in found) for _, _, found in own]
            axis.plot([calls for calls, _, _ in own], values, marker, label=method)
            for (calls, sampler, _), value in zip(own, values, strict=True):
                axis.annotate(sampler, (calls, value), xytext=(4, 4), textcoords="offset points", fontsize=7)
        axis.set(xscale="log", xlim=(4, 500), xlabel="NFE per map", ylabel="error [%]", title=words[name])
    axes[0].legend(fontsize=8)
    figure.savefig(DOCS / "images" / "method_comparison.png", dpi=110)


if __name__ == "__main__":
    main()
