"""What the samples of several runs scored on the same unseen maps: the report of `focus compare`, among their figures.

The engine fills these records, and the screens read them back from the JSON file that the engine wrote.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from focus_engine.config.statistics import STATISTICS, Score, StatisticCurve
from focus_engine.runs.folder import RunFolder

REPORT_FILES = "comparison_*.json"
"""Reports among the figures of a run."""


@dataclass(frozen=True)
class SamplingCost:
    """What a number of steps costs and what it yields.

    Attributes:
        steps: of the sampler.
        nfe: network evaluations per map.
        seconds_per_map: wall time of sampling divided by the number of maps [s].
        scores: the headline of each statistic by its key; None where it is not known, such as of unphysical maps.
    """

    steps: int
    nfe: int
    seconds_per_map: float
    scores: Mapping[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Return the object of the JSON file."""
        return {"steps": self.steps, "nfe": self.nfe, "seconds_per_map": self.seconds_per_map, **self.scores}


@dataclass(frozen=True)
class ModelScores:
    """How one model did.

    Attributes:
        name: of its experiment.
        sampler: that drew its maps.
        steps: its own number of them.
        scores: at that number, in the order of the table of statistics.
        curves: of the statistics that have one, by the name of the statistic.
        costs: with few steps first.
    """

    name: str
    sampler: str
    steps: int
    scores: tuple[Score, ...]
    curves: Mapping[str, StatisticCurve]
    costs: tuple[SamplingCost, ...]

    @property
    def own_cost(self) -> SamplingCost:
        """The cost at its own number of steps."""
        return next(cost for cost in self.costs if cost.steps == self.steps)


@dataclass(frozen=True)
class ComparisonScores:
    """How several models did on the same test maps.

    Attributes:
        models: in the order in which they were named.
        n_maps: test maps compared.
        n_simulations: of how many simulations.
        device: on what it was timed.
    """

    models: tuple[ModelScores, ...]
    n_maps: int
    n_simulations: int
    device: str


def comparison_path(runs: Sequence[RunFolder]) -> Path:
    """Return where the report of these runs goes: among the figures of the first."""
    name = "_".join(run.path.name for run in runs)
    if len(name.encode()) > 120:
        name = f"{len(runs)}_runs_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return runs[0].figs / f"comparison_{name}.json"


def model_scores(
    name: str, sampling: tuple[str, int], found: Mapping[str, Any], costs: Sequence[SamplingCost]
) -> ModelScores:
    """Return what is shown of a model.

    Args:
        name: of its experiment.
        sampling: its sampler, and its own number of steps.
        found: what each statistic found, by name: results or their JSON; a statistic that is missing is unknown.
        costs: with few steps first.
    """
    specs = [(spec, found.get(spec.name)) for spec in STATISTICS.values()]
    curves = {spec.name: curve for spec, one in specs if (curve := spec.curve_in(one)) is not None}
    scores = tuple(score for spec, one in specs for score in spec.scores_in(one))
    return ModelScores(name, *sampling, scores, curves, tuple(costs))


def read_comparison(document: Mapping[str, Any]) -> ComparisonScores:
    """Return the scores in a document of `focus compare` (its `samples`).

    Raises:
        KeyError, TypeError, ValueError, StopIteration: it is no such document.
    """
    models = tuple(_read_model(run) for run in document["runs"])
    for model in models:
        _ = model.own_cost
    return ComparisonScores(models, int(document["n_maps"]), int(document["n_simulations"]), str(document["device"]))


def _read_model(run: Mapping[str, Any]) -> ModelScores:
    sampling = run["sampling"]
    sampler, steps = str(sampling["sampler"]), int(sampling["steps"])
    return model_scores(str(run["name"]), (sampler, steps), run, [_read_cost(one) for one in run["steps"]])


def _read_cost(one: Mapping[str, Any]) -> SamplingCost:
    keys = [spec.scores[0].key for spec in STATISTICS.values()]
    scores = {key: None if one.get(key) is None else float(one[key]) for key in keys}
    return SamplingCost(int(one["steps"]), int(one["nfe"]), float(one["seconds_per_map"]), scores)
