"""The report of `focus compare`: the scores of the samples of several runs on the same test maps.

The engine makes these records, and the screens read them from the JSON file that the engine wrote.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from focus_engine.config.scores import Score
from focus_engine.config.statistic_spec import StatisticCurve
from focus_engine.config.statistics import STATISTICS, scores_in, statistics_of
from focus_engine.runs.folder import RunFolder

REPORT_FILES = "comparison_*.json"
"""Names of the reports, in the folder of figures of a run."""


@dataclass(frozen=True)
class SamplingCost:
    """The cost and the scores of sampling with a number of steps.

    Attributes:
        steps: steps of the sampler.
        nfe: network function evaluations per map.
        seconds_per_map: wall time of sampling divided by the number of maps [s].
        scores: the first score of each statistic by its key; None where unknown, as for unphysical maps.
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
    """The scores of one model.

    Attributes:
        name: name of its experiment.
        sampler: the sampler that drew its maps.
        steps: number of steps in its config.
        scores: the scores with that number of steps, in the order of the table of statistics.
        curves: the curves of the statistics that have one, by the name of the statistic.
        costs: cost by number of steps, fewest first.
    """

    name: str
    sampler: str
    steps: int
    scores: tuple[Score, ...]
    curves: Mapping[str, StatisticCurve]
    costs: tuple[SamplingCost, ...]

    @property
    def own_cost(self) -> SamplingCost:
        """The cost with the number of steps in its config."""
        return next(cost for cost in self.costs if cost.steps == self.steps)


@dataclass(frozen=True)
class ComparisonScores:
    """The scores of several models on the same test maps.

    Attributes:
        models: the models, in the order in which the user named them.
        n_maps: number of test maps.
        n_simulations: number of simulations that they come from.
        device: the device that was timed.
    """

    models: tuple[ModelScores, ...]
    n_maps: int
    n_simulations: int
    device: str


def comparison_path(runs: Sequence[RunFolder]) -> Path:
    """Return the path of the report of these runs, in the folder of figures of the first."""
    name = "_".join(run.path.name for run in runs)
    if len(name.encode()) > 120:
        name = f"{len(runs)}_runs_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return runs[0].figs / f"comparison_{name}.json"


def model_scores(
    name: str,
    sampling: tuple[str, int],
    found: Mapping[str, Any],
    scores: Sequence[Score],
    costs: Sequence[SamplingCost],
) -> ModelScores:
    """Return the scores of a model from the results of its statistics.

    Args:
        name: name of its experiment.
        sampling: its sampler, and the number of steps in its config.
        found: the result of each statistic by name, or its JSON; a missing statistic is unknown.
        scores: every score.
        costs: cost by number of steps, fewest first.
    """
    specs = [(spec, found.get(spec.name)) for spec in STATISTICS.values()]
    curves = {spec.name: curve for spec, one in specs if (curve := spec.curve_in(one)) is not None}
    return ModelScores(name, *sampling, tuple(scores), curves, tuple(costs))


def read_comparison(document: Mapping[str, Any]) -> ComparisonScores:
    """Return the scores in a document of `focus compare` (its `samples`).

    Raises:
        KeyError, TypeError, ValueError, StopIteration: the document is not one of `focus compare`.
    """
    models = tuple(_read_model(run) for run in document["runs"])
    for model in models:
        _ = model.own_cost
    return ComparisonScores(models, int(document["n_maps"]), int(document["n_simulations"]), str(document["device"]))


def _read_model(run: Mapping[str, Any]) -> ModelScores:
    sampling = run["sampling"]
    sampler, steps = str(sampling["sampler"]), int(sampling["steps"])
    costs = [_read_cost(one) for one in run["steps"]]
    return model_scores(str(run["name"]), (sampler, steps), run, scores_in(run), costs)


def _read_cost(one: Mapping[str, Any]) -> SamplingCost:
    keys = [spec.scores[0].key for spec in statistics_of(pair=False).values()]
    scores = {key: None if one.get(key) is None else float(one[key]) for key in keys}
    return SamplingCost(int(one["steps"]), int(one["nfe"]), float(one["seconds_per_map"]), scores)
