"""Measure the numbers of docs/reading_the_plots.md and write them into the page.

    python scripts/reading_page.py [--write]

Universes of the default sizes, 12 at each of 8 cosmologies, give the scatter of P(k) between universes, how many
independent maps a universe holds, what a mean of ratios scores for a perfect generator, and an example of scores. The
bias of a sampler is that of an exact denoiser (`sampler_ranking`). A minute of one core. The results stand in
benchmarks/results/reading_the_plots.json, from which `--write` writes the page again. Other numbers of the page are
those of judge_power.json, of CAMELS CV, and constants of the code. They stand between `<!-- NAME -->` and
`<!-- /NAME -->`.
"""

import json
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.evaluation.averages import CANDIDATES
from focus_engine.evaluation.truth import DEFAULT_COSMOLOGIES
from focus_engine.models.power_average import gamma_of
from focus_engine.statistics.camels_scatter import camels_cv_scatter
from focus_engine.statistics.compare import judge
from focus_engine.statistics.design import Design
from focus_engine.statistics.power import SCORED_FRACTION, power_spectrum
from focus_engine.statistics.sample import Rows
from focus_engine.worker.live import FEWEST_MAPS, MOST_MAPS, SAMPLING_SHARE

HOME = Path(__file__).resolve().parent.parent
PAGE = HOME / "docs" / "reading_the_plots.md"
RESULTS = HOME / "benchmarks" / "results" / "reading_the_plots.json"
UNIVERSES, COSMOLOGIES, MAPS, BOX = 12, DEFAULT_COSMOLOGIES, 15, 25.0
BANDS = ((0.0, 1.0), (1.0, 4.0))
"""Ranges of k [h/Mpc]."""
LIGHTER, SHOWN_SCORES = 0.9, ("P(k), 0.25", "slab mean   ")
"""The example: maps of other universes at this share of their density, and its rows."""
STEPS = {"ddim": 50, "abm2": 10}

Array = NDArray[np.float64]
Results = dict[str, Any]


def measure() -> Results:
    """Return the results; plain numbers and lists."""
    began = time.process_time()
    params, maps = universes()
    seconds = (time.process_time() - began) / (UNIVERSES * COSMOLOGIES)
    return {
        "universes": UNIVERSES,
        "cosmologies": COSMOLOGIES,
        "maps": MAPS,
        "cpu_seconds_per_universe": seconds,
        **scatter_of_power(maps),
        "mean_of_slab_ratios": [mean_of_ratios(one) for one in maps.mean(axis=(3, 4))],
        "mean_density_error": {sampler: exact_sampler_error(sampler, steps) for sampler, steps in STEPS.items()},
        "example": example(params, maps),
    }


def universes() -> tuple[Array, NDArray[np.float32]]:
    """Return cosmologies (C, 2) and the maps of the universes at each (C, U, MAPS, N, N)."""
    from focus_engine.simulation.cosmology import Cosmology
    from focus_engine.simulation.designs import DEFAULT_RANGES
    from focus_engine.simulation.held_back import held_back_cosmologies
    from focus_engine.simulation.simulate import UniverseLayout, simulate_universe

    low, high = np.array(list(DEFAULT_RANGES.values())).T
    params = held_back_cosmologies(COSMOLOGIES, low, high, np.zeros((1, 2)))
    layout = UniverseLayout(maps_per_simulation=MAPS, box_size=BOX)
    maps = [
        [simulate_universe(Cosmology(*point), layout, seed=UNIVERSES * place + one) for one in range(UNIVERSES)]
        for place, point in enumerate(params)
    ]
    return params, np.array(maps)


def scatter_of_power(maps: NDArray[np.float32]) -> Results:
    """Return for each band the scatter of mean P(k) between universes, and the independent maps of a universe."""
    flat = maps.reshape(-1, *maps.shape[3:])
    found = power_spectrum(flat, BOX)
    power = found.power.reshape(*maps.shape[:3], -1)
    relative = power / power.mean(axis=(1, 2), keepdims=True)
    own = relative.mean(axis=2)
    of_universe = ((own - own.mean(axis=1, keepdims=True)) ** 2).sum(axis=(0, 1)) / (COSMOLOGIES * (UNIVERSES - 1))
    of_map = ((relative - 1) ** 2).sum(axis=(0, 1, 2)) / (relative[..., 0].size - COSMOLOGIES)
    bands = [(found.k >= low) & (found.k < high) for low, high in BANDS]
    return {
        "scatter_of_universes": [float(np.sqrt(of_universe[band]).mean()) for band in bands],
        "independent_maps": [float((of_map / of_universe)[band].mean()) for band in bands],
    }


def mean_of_ratios(means: Array) -> float:
    """Return the mean of generated / real − 1 over slab means (U, MAPS) of other universes of the same cosmology."""
    ratios = np.asarray(means, dtype=np.float64)[:, :, None, None] / means[None, None]
    apart = ~np.eye(len(means), dtype=bool)
    return float(ratios.mean(axis=(1, 3))[apart].mean() - 1)


def exact_sampler_error(sampler: str, steps: int) -> float:
    """Return the relative error of the mean density of an exact denoiser of a diffusion."""
    from sampler_ranking import PROCESSES, cell

    from focus_engine.config.samplers import SAMPLERS

    spec = SAMPLERS[sampler]
    return float(cell(spec, PROCESSES["diffusion"], spec.spacing, spec.nfe(steps, "diffusion")).split()[0]) / 100


def example(params: Array, maps: NDArray[np.float32]) -> list[str]:
    """Return rows of the table of scores of maps of one half of the universes, made lighter, against the other."""
    from focus_tui.compute.report_view import score_lines

    real, other = maps[:, ::2], LIGHTER * maps[:, 1::2, ::3]
    point, unit = np.repeat(np.arange(COSMOLOGIES), real[0, ..., 0, 0].size), np.arange(real[..., 0, 0].size) // MAPS
    drawn = Rows.of(np.repeat(np.arange(COSMOLOGIES), other[0, ..., 0, 0].size))
    size = maps.shape[3:]
    design = Design(params, Rows.of(point, unit), drawn)
    lines = score_lines(judge(real.reshape(-1, *size), other.reshape(-1, *size), design, BOX))
    return [line for line in lines if line.startswith(("score", *SHOWN_SCORES))]


def parts(found: Results) -> dict[str, str]:
    """Return the text of each part of the page by its name."""
    judged = json.loads((HOME / "benchmarks" / "results" / "judge_power.json").read_text(encoding="utf-8"))["sizes"]
    camels, (large, middle) = camels_cv_scatter(), found["scatter_of_universes"]
    of_camels = [camels.effective_maps[(camels.k >= low) & (camels.k < high)].mean() for low, high in BANDS]
    truth = 30 * COSMOLOGIES
    ratios, seconds = found["mean_of_slab_ratios"], truth * found["cpu_seconds_per_universe"]
    alarms = " and ".join(
        f"{100 * judged[size]['perfect']['verdict']:.0f} % of {judged[size]['perfect']['trials']} trials with {words}"
        for size, words in (("150", "150 maps"), ("1500", "1,500"))
    )
    ddim, abm2 = (found["mean_density_error"][name] for name in STEPS)
    fewest = round(1 / SAMPLING_SHARE)
    return {
        "lengths": f"{len(CANDIDATES)} lengths",
        "profile": f"at 0.05 the last tenth has {100 * (1 - 0.9 ** (gamma_of(0.05) + 1)):.0f} % of the weight",
        "live": wrapped(
            f"{FEWEST_MAPS} to {MOST_MAPS} samples are measured, as many as {100 * SAMPLING_SHARE:.0f} % of the "
            f"training time allows. {FEWEST_MAPS} are always drawn, for the pictures: where the training between two "
            f"sample times is shorter than {fewest} times their cost, they cost more."
        ),
        "scored": f"{SCORED_FRACTION:g} of the Nyquist wavenumber",
        "first_order": f"{100 * ddim:+.0f} % by {STEPS['ddim']} steps of `ddim`, even of an exact network; "
        f"{100 * abm2:+.1f} % by {STEPS['abm2']} of `abm2`",
        "example": "\n".join(["", "```text", *found["example"], "```", ""]),
        "alarms": f"so it was in {alarms}",
        "independent_maps": f"{of_camels[0]:.0f} below 1 h/Mpc and {of_camels[1]:.0f} at 1 to 4 h/Mpc in CAMELS CV, "
        f"{found['independent_maps'][0]:.0f} and {found['independent_maps'][1]:.0f} in universes of FOCUS",
        "ratios": f"{100 * np.mean(ratios):+.0f} % for slab means of universes ({100 * min(ratios):+.0f} to "
        f"{100 * max(ratios):+.0f} % at {COSMOLOGIES} cosmologies)",
        "universes": wrapped(
            f"In {UNIVERSES} universes of the default sizes at each of {COSMOLOGIES} cosmologies, mean P(k) of a "
            f"universe scattered by {100 * large:.0f} % (k < 1 h/Mpc) and {100 * middle:.0f} % (1 to 4 h/Mpc) at fixed "
            f"parameters. 30 universes at each of {COSMOLOGIES} cosmologies ({seconds:.0f} s of one core) thus give "
            f"the pooled P(k) to {100 * large / truth**0.5:.1f} and {100 * middle / truth**0.5:.1f} %: "
            "that scatter over the root of the "
            f"number of universes, {truth}, not a comparison with another truth."
        ),
    }


def wrapped(text: str) -> str:
    """Return a paragraph in lines of its own, at most 118 characters long."""
    return "\n" + textwrap.fill(text, 118) + "\n"


def written(page: str, found: Results) -> str:
    """Return the page with its parts replaced; raises ValueError if it has not each part once."""
    for name, text in parts(found).items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        head, rest = page.split(begin)
        _, tail = rest.split(end)
        page = head + begin + text + end + tail
    return page


def main() -> None:
    """Measure unless told to write alone, and write the page."""
    if sys.argv[1:] != ["--write"]:
        RESULTS.write_text(json.dumps(measure(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
