"""How often maps of a trained network are told from real ones, over many draws of noise.

Other benchmarks draw each network once, from noise whose mean is near zero (`alternation.noise_seed`), because few maps
are judged and all their means follow that of their noise. This one takes networks as they are and draws them again and
again, from seeds that nobody has chosen: 160 maps at the 8 cosmologies of `time_to_spectrum.py`, judged as there
against 24 universes at each. A perfect model is measured in the same way: real maps of further universes.
Prints a line for each draw and writes benchmarks/results/noise_draws.json; a minute and a half for each
network on one core. Several can be measured at a time with a file of `--keep` each: `--collect` writes their results.
Run: python benchmarks/noise_draws.py NAME=CHECKPOINT... [--draws 40]
     python benchmarks/noise_draws.py NAME=CHECKPOINT... --keep FILE; python benchmarks/noise_draws.py --collect FILE...
"""

import argparse
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alternation import machine
from numpy.typing import NDArray
from time_to_spectrum import config_of, judged, prepare

from focus_engine.evaluation.trained_model import TrainedModel, open_trained
from focus_engine.evaluation.truth import HeldBack, Truth, universe_truth
from focus_engine.progress import drain
from focus_engine.training.devices import device_name

RESULTS = Path(__file__).parent / "results" / "noise_draws.json"
MAPS, TRUE, FURTHER, COSMOLOGIES = 160, 24, 96, 8
SHARED = TRUE * COSMOLOGIES
"""Universes at each cosmology of the larger set that may have the initial field of a true one: fields are numbered
through a set, so that those of the truth are 0 to SHARED - 1."""
FIRST_SEED = 1000
"""Of the noise; the next draw has the next."""
KEPT = ("power_spectrum.", "log_power.", "pdf.", "slab_mean.", "bispectrum.", "response.")
PERFECT = "a perfect model"
CPU = device_name(torch.device("cpu"))
Draw = Callable[[int], NDArray[np.float32]]
"""Returns the maps (n, H, W) of a draw."""


def main() -> None:
    """Measure what is missing, print it, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="*", metavar="NAME=CHECKPOINT")
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--without-perfect", action="store_true", help="measure the checkpoints alone")
    parser.add_argument("--keep", type=Path, help="file of rows, to go on where a measurement was interrupted")
    parser.add_argument("--collect", type=Path, nargs="+", help="measure nothing, and write the rows of these files")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if missing := [str(path) for path in given.collect or () if not path.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    found = {(row["name"], row["draw"]): row for path in given.collect or [given.keep] for row in kept(path)}
    rows = [found[key] for key in sorted(found)]
    if not given.collect:
        run = prepare(config_of("small_flow", 0, {}))
        truth, real = (
            drain(universe_truth(run.config, run.data.maps, run.data.split.train, one, MAPS)) for one in SETS
        )
        named = {} if given.without_perfect else {PERFECT: further(real)}
        named |= {name: drawn(Path(path), truth) for name, _, path in (one.partition("=") for one in given.checkpoints)}
        for row in measured(named, given.draws, truth, run.data.maps.box_size, rows):
            rows.append(row | {"date": datetime.now(UTC).isoformat(timespec="seconds"), "cpu": CPU})
            print(f"{row['name']}, draw {row['draw']}: mean {row['scores']['slab_mean.bias'][0]:+.3f}", flush=True)
            if given.keep:
                with given.keep.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    if given.keep:
        return
    document = {**machine(), "maps": MAPS, "universes": TRUE, "cosmologies": COSMOLOGIES, "rows": rows}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


SETS = (HeldBack(TRUE, COSMOLOGIES), HeldBack(SHARED + FURTHER, COSMOLOGIES))
"""The truth, and a set whose last universes have other initial fields."""


def kept(path: Path | None) -> list[dict[str, Any]]:
    """Return the rows of a file; none where there is none."""
    return [json.loads(text) for text in path.read_text().splitlines()] if path and path.is_file() else []


def measured(
    named: dict[str, Draw], draws: int, truth: Truth, box: float, rows: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the row of each draw that `rows` lacks."""
    have = {(row["name"], row["draw"]) for row in rows}
    for name, draw in named.items():
        for number in range(draws):
            if (name, number) not in have:
                scores = judged(draw(number), truth, box)["scores"]
                some = {key: value for key, value in scores.items() if key.startswith(KEPT)}
                yield {"name": name, "draw": number, "scores": {key: rounded(value) for key, value in some.items()}}


def rounded(score: list[float | None]) -> list[float | None]:
    """Return a score with four digits of each number."""
    return [None if one is None else float(f"{one:.4g}") for one in score]


def drawn(path: Path, truth: Truth) -> Draw:
    """Return what draws maps of a checkpoint at the parameters of `truth`."""
    model: TrainedModel = open_trained(path, device="cpu")

    def draw(number: int) -> NDArray[np.float32]:
        steps = model.draw(truth.params, model.plan(seed=FIRST_SEED + number))
        return model.physical(torch.cat([step.finished for step in steps if step.finished is not None]))

    return draw


def further(real: Truth) -> Draw:
    """Return what draws real maps of universes with other fields than the truth, none twice in one draw."""
    by_point = np.asarray(real.maps).reshape(COSMOLOGIES, SHARED + FURTHER, -1, *real.maps.shape[-2:])[:, SHARED:]
    pool = by_point.reshape(COSMOLOGIES, -1, 1, *real.maps.shape[-2:])

    def draw(number: int) -> NDArray[np.float32]:
        random = np.random.default_rng(number)
        return np.concatenate([one[random.choice(len(one), MAPS // COSMOLOGIES, replace=False)] for one in pool])

    return draw


if __name__ == "__main__":
    main()
