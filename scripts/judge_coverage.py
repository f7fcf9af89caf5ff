"""Count how often the error of a score holds its deviation, for few and for many simulations with a known answer.

Vectors follow their parameters and scatter by 0.2 between simulations and by 0.2 within; each parameter point has one
simulation of 6 maps, and 6 generated maps drawn independently. The scores are the mean ratio and the mean difference of
generated and real vectors. One sigma should hold 68 %, two 95 %. Minutes of one core.
Run: python scripts/judge_coverage.py [--trials 400]
"""

import argparse

import numpy as np

from focus_engine.statistics.design import Design
from focus_engine.statistics.sample import Rows

MAPS, SCATTER = 6, 0.2


def one(points: int, seed: int, kind: str) -> tuple[float, float]:
    """Return value and error of the score of a trial."""
    rng = np.random.default_rng([seed, points])
    params = np.random.default_rng(5).uniform(0.7, 1.3, size=(points, 2))
    place, each = np.arange(points).repeat(MAPS), np.arange(points * MAPS)

    def vectors(simulation: np.ndarray) -> np.ndarray:
        common = SCATTER * rng.normal(size=(int(simulation.max()) + 1, 2))[simulation]
        return params[place] ** 2 * np.exp(common + SCATTER * rng.normal(size=common.shape))

    design = Design(params, Rows.of(place, place), Rows.of(place), seed)
    design.__dict__["nulls"] = ()  # p-values are not needed here
    ratio = kind == "ratio"
    scaled = design.scale(vectors(place), vectors(each), "ratio" if ratio else "difference")
    (found,) = design.estimate(
        lambda of: of.excess[:1] if ratio else ((of.generated.mean - of.real.mean) * scaled.spread)[:1],
        scaled,
        ("both",),
    )
    return float(found.value or 0), float(found.error or 0)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    trials = parser.parse_args().trials
    print(f"{'simulations':>11} {'score':>11} {'error/scatter':>14} {'in 1 σ':>7} {'in 2 σ':>7}")
    for points in (5, 10, 25, 100):
        for kind in ("ratio", "difference"):
            value, error = np.array([one(points, seed, kind) for seed in range(trials)]).T
            off = np.abs(value - value.mean()) / error
            relative = np.sqrt((error**2).mean()) / value.std()
            print(f"{points:>11} {kind:>11} {relative:>14.2f} {(off < 1).mean():>7.2f} {(off < 2).mean():>7.2f}")


if __name__ == "__main__":
    main()
