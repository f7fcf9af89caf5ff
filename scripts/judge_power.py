"""Judge the judge: false alarms on perfect generators, power on generators with a known fault.

    OMP_NUM_THREADS=1 nice -n 5 python scripts/judge_power.py [--pool FOLDER] [--trials 20] [--perfect-trials 100]

Universes are simulated at 100 parameter points, 17 at each: one real, fifteen from which generators draw a map each,
one for training. With 9, two maps of one universe each, a generator is not quite perfect: PQMass alone told it from
real maps in 14 % of 80 trials, and in 5 % of 120 where 8 universes gave a map each. Each trial takes another real
universe at each point. Everything is resumed after an interruption. Writes
benchmarks/results/judge_power.json and docs/judge_power.md. It takes hours of one core, mostly of simulation.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from judge_faults import FAULT_BY_NAME, FAULTS, Fault, changed_maps, spread_rows
from judge_page import write_results
from judge_pool import Array, Index, Measurements, Pool, judged_statistics, simulated_pool

from focus_engine.cache import cache_folder
from focus_engine.statistics.compare import Evaluation
from focus_engine.statistics.design import Design
from focus_engine.statistics.protocol import statistic_of, taken
from focus_engine.statistics.sample import Draw, Rows, Sample, Scaled

HOME = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Size:
    """The size of a trial: parameter points, and real simulations at each."""

    name: str
    points: int
    simulations: int = 1


SIZES = (Size("150", 10), Size("1500", 100), Size("cv", 10, 3))
"""150 and 1,500 maps of one simulation at each point; 450 of three at each of 10 points, for false alarms alone."""


@dataclass(frozen=True, eq=False)
class SharedNull(Design):
    """A design that computes the null of a score once for all generators, and no errors: a verdict needs none.

    Attributes:
        known: nulls by the function of the score and the real vectors.
    """

    known: dict[tuple[str, str], Array] = field(default_factory=dict)

    @property
    def bootstraps(self) -> tuple[Draw, ...]:  # type: ignore[override]
        """No draws."""
        return ()

    def perfect_scores(self, score: Callable[[Sample], Array], scaled: Scaled) -> Array:
        """Return the scores of perfect generators, computed by the first call."""
        function = f"{score.__module__}.{score.__qualname__}"
        key = function, hashlib.sha256(np.ascontiguousarray(scaled.pool).tobytes()).hexdigest()
        if key not in self.known:
            self.known[key] = super().perfect_scores(score, scaled)
        return self.known[key]


@dataclass(frozen=True, eq=False)
class Trial:
    """The real universes of a trial, and what generators may draw from.

    Attributes:
        size: its size.
        seed: seed of all choices.
        points: (P,) the parameter points in use.
        real: (simulations, G) the real universes at each of all points.
        pool: the true maps.
        known: the nulls of independent and of grouped generators.
    """

    size: Size
    seed: int
    points: Index
    real: Index
    pool: Pool
    known: dict[bool, dict[tuple[str, str], Array]] = field(default_factory=dict)

    @classmethod
    def drawn(cls, size: Size, seed: int, pool: Pool) -> Trial:
        """Return a trial of points and universes drawn at random."""
        rng = np.random.default_rng([seed, 1])
        total = len(pool.params)
        points = np.sort(rng.permutation(total)[: size.points])
        universes = np.argsort(rng.random((pool.universes, total)), axis=0)
        return cls(size, seed, points.astype(np.intp), universes[: size.simulations].astype(np.intp), pool)

    def nulls(self, fault: Fault) -> dict[tuple[str, str], Array]:
        """Return the nulls that are known for generators like this one."""
        return self.known.setdefault(fault.choice == "grouped", {})

    def real_rows(self) -> tuple[Index, Rows]:
        """Return rows of the pool for the real maps, and their places."""
        rows = np.concatenate([self.pool.rows[self.real[:, point], point] for point in self.points])
        simulation = np.arange(len(rows)).repeat(rows.shape[1])
        return rows.ravel(), Rows.of(simulation // self.size.simulations, simulation)

    def generated_rows(self, fault: Fault, table: Index) -> tuple[Index, Rows]:
        """Return rows of a set of maps for the generated maps, and their places.

        Args:
            fault: the generator.
            table: rows of its maps (U, G, m), or of the training maps (1, G, m).
        """
        rng = np.random.default_rng([self.seed, 2])
        count = self.pool.maps.shape[2]
        rows = np.concatenate(
            [self._of_point(fault, table, source, count, rng) for source in self._sources(fault, rng)]
        )
        place = np.arange(len(self.points), dtype=np.intp).repeat(count)
        return rows, Rows.of(place, place if fault.choice == "grouped" else None)

    def _sources(self, fault: Fault, rng: np.random.Generator) -> Index:
        """Return for each point the point whose maps are returned."""
        if fault.choice == "shuffled":
            return rng.permutation(self.points)
        if fault.choice == "reversed":
            params, ends = self.pool.params, self.pool.params.min(axis=0) + self.pool.params.max(axis=0)
            mirrored = np.stack([params[:, 0], ends[1] - params[:, 1]], axis=1)
            distance = ((mirrored[:, None, :] - params[None, :, :]) ** 2).sum(axis=2)
            return np.argmin(distance, axis=1)[self.points].astype(np.intp)
        return self.points

    def _of_point(self, fault: Fault, table: Index, point: int, count: int, rng: np.random.Generator) -> Index:
        """Return rows of `count` maps of a point, from universes that are not real here."""
        if fault.choice == "memorised":
            return rng.choice(table[0, point], count)
        others = np.setdiff1d(np.arange(len(table)), self.real[:, point])
        if fault.choice == "grouped":
            return table[rng.choice(others), point]
        if fault.choice == "repeated":
            return np.repeat(rng.choice(table[rng.choice(others), point]), count)
        rounds = -(-count // len(others))
        shuffled = rng.permuted(table[others, point], axis=1)[:, :rounds].T
        return np.concatenate([rng.permutation(row) for row in shuffled])[:count]  # as few of one universe as possible


def scores_of(trial: Trial, fault: Fault, real: Mapping[str, Any], made: Mapping[str, Any], table: Index) -> Evaluation:
    """Return the judgement of a trial, from what is measured of the pool and of the maps of the generator."""
    real_rows, real_places = trial.real_rows()
    generated_rows, generated_places = trial.generated_rows(fault, table)
    params = trial.pool.params[trial.points]
    design = SharedNull(params, real_places, generated_places, trial.seed, known=trial.nulls(fault))
    results = {}
    for spec in judged_statistics():
        source = spec.measured_by or spec.name
        pair = (
            taken(real[source], real_rows),
            taken(made[source], generated_rows),
        )
        results[spec.name] = statistic_of(spec).compare(*pair, design)
    size = trial.pool.box_size
    return Evaluation(results, len(real_rows), trial.size.points * trial.size.simulations, size, trial.seed)


def judged(evaluation: Evaluation) -> dict[str, Any]:
    """Return p-values, deviations from the null in its spread, and verdicts of every score, and the verdict."""
    scores, verdict = evaluation.scores(), evaluation.verdict
    return {
        "p": {score.id: score.p_value for score in scores},
        "z": {score.id: _deviation(score.value, score.null, score.null_spread) for score in scores},
        "caught": [score.id for score in scores if score.verdict not in {"indistinguishable", "unknown"}],
        "verdict": verdict.p_value,
        "deciding": verdict.deciding_score,
    }


def _deviation(value: float | None, null: float | None, spread: float | None) -> float | None:
    return None if value is None or null is None or not spread else (value - null) / spread


def trials(
    pool: Pool, measured: Measurements, counts: Mapping[str, int], log: Path, sizes: Sequence[Size] = SIZES
) -> Iterator[dict[str, Any]]:
    """Yield the outcome of each trial; those in the log are not computed again.

    Args:
        pool: the true maps.
        measured: what is measured of them.
        counts: number of trials of each generator and size.
        log: JSON lines of the finished trials.
        sizes: the sizes; those that need more universes than the pool has are left out.
    """
    done = {_key(one): one for one in map(json.loads, log.read_text().splitlines())} if log.exists() else {}
    sets = {name: made_by(FAULT_BY_NAME[name], pool, measured) for name in counts}
    fitting = [size for size in sizes if size.simulations + 2 <= pool.universes]
    for seed, size in itertools.product(range(max(counts.values())), fitting):
        trial = Trial.drawn(size, seed, pool)
        for name in (name for name, count in counts.items() if seed < count):
            if size.simulations > 1 and name != "perfect":
                continue
            if (name, size.name, seed) not in done:
                outcome = judged(scores_of(trial, FAULT_BY_NAME[name], measured.of_pool(), *sets[name]))
                one = {"fault": name, "size": size.name, "seed": seed, **outcome}
                done[_key(one)] = one
                with log.open("a") as file:
                    file.write(json.dumps(one) + "\n")
            yield done[name, size.name, seed]


def made_by(fault: Fault, pool: Pool, measured: Measurements) -> tuple[dict[str, Any], Index]:
    """Return what is measured of the maps of a generator, and the table of their rows."""
    if fault.change is None:
        return measured.of_pool(), pool.rows
    others = pool.universes - 1
    rows = pool.rows if fault.every else spread_rows(pool, -(-pool.maps.shape[2] // others))
    maps = changed_maps(fault, pool, rows)
    shape = (1, *pool.training.shape[:2]) if fault.choice == "memorised" else rows.shape
    return measured.of(fault.name, maps), np.arange(len(maps), dtype=np.intp).reshape(shape)


def _key(outcome: Mapping[str, Any]) -> tuple[str, str, int]:
    return outcome["fault"], outcome["size"], outcome["seed"]


def _code() -> str:
    """Return a digest of the code that decides an outcome: that of the judge and of this script."""
    files = [HOME / "focus_engine" / "config" / "statistics.py", *(HOME / "scripts").glob("judge_[fp]*.py")]
    files += (HOME / "focus_engine" / "statistics").glob("*.py")
    names = {"judge_page.py"}
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(files) if file.name not in names)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def main() -> None:
    """Simulate the pool, run the missing trials, and write the results after each fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, default=cache_folder() / "judge_power", help="folder of the universes")
    parser.add_argument("--universes", type=int, default=16, help="universes at each point, besides one for training")
    parser.add_argument("--trials", type=int, default=20, help="trials of each fault and size")
    parser.add_argument("--perfect-trials", type=int, default=100, help="trials of each perfect generator and size")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in FAULTS], help="judge these, keep the others")
    parser.add_argument("--out", type=Path, default=HOME, help="repository that the results are written to")
    given = parser.parse_args()
    pool = simulated_pool(given.pool, given.universes)
    measured = Measurements(pool, given.pool / "measured")
    chosen = [fault for fault in FAULTS if given.only is None or fault.name in given.only]
    counts = {fault.name: given.perfect_trials if fault.perfect else given.trials for fault in chosen}
    log = given.pool / f"trials-{_code()}-{pool.universes}.jsonl"
    print(f"trials are in {log}", flush=True)
    outcomes = []
    for outcome in trials(pool, measured, counts, log):
        outcomes.append(outcome)
        words = "unknown" if outcome["verdict"] is None else f"{outcome['verdict']:.2g} by {outcome['deciding']}"
        print(f"{outcome['seed']} {outcome['size']} {outcome['fault']}: p = {words}", flush=True)
    write_results(outcomes, pool.universes, given.out)


if __name__ == "__main__":
    main()
