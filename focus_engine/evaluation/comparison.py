"""Comparison of several trained models on the same unseen maps, with the cost of sampling (`focus compare`).

Every model draws maps with the same seed at the parameters of the same test maps, on which none of them was trained or
validated. Models of different data, box sizes or resolutions share no maps and are refused.
"""

import json
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.atomic import write_atomically
from focus_engine.config.statistics import statistics_of
from focus_engine.data.maps import MapSet
from focus_engine.data.opening import open_maps, spread
from focus_engine.errors import InputError
from focus_engine.evaluation.sampling import draw_physical, report_document
from focus_engine.evaluation.trained_model import TrainedModel
from focus_engine.evaluation.truth import paired_design
from focus_engine.events.table import DataProgress
from focus_engine.figures.pages import draw_comparison
from focus_engine.generative.sampling import SamplingPlan, SamplingProgress
from focus_engine.progress import relay
from focus_engine.runs.comparison import ComparisonScores, ModelScores, SamplingCost, model_scores
from focus_engine.runs.folder import RunFolder
from focus_engine.statistics.compare import Evaluation, judge
from focus_engine.training.devices import device_name
from focus_engine.units import NORMALISED

COMPARED_MAPS = 96
"""Default number of test maps to compare, spread evenly over the test simulations."""
STEP_COUNTS = (5, 10, 25, 50)
"""Numbers of steps at which error and cost are measured, besides each model's own."""


@dataclass(frozen=True)
class Contender:
    """A trained model to compare.

    Attributes:
        run: its run folder.
        model: the trained model.
        plan: its sampling plan; the seed and the batch size are the same for all models.
    """

    run: RunFolder
    model: TrainedModel
    plan: SamplingPlan


@dataclass(frozen=True)
class ComparisonProgress:
    """Progress of a comparison.

    Attributes:
        done: finished sampling steps times maps, over all models and numbers of steps.
        total: sampling steps times maps in all.
        words: the model being sampled and its number of steps.
    """

    done: int
    total: int
    words: str


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """A compared model with its results.

    Attributes:
        contender: the model, its run and its plan.
        evaluation: every statistic of the samples of its own plan.
        costs: error and cost for each number of steps, including its own.
    """

    contender: Contender
    evaluation: Evaluation
    costs: tuple[SamplingCost, ...]

    @property
    def scores(self) -> ModelScores:
        """What is shown of it."""
        plan = self.contender.plan
        found, scores = self.evaluation.results, self.evaluation.scores()
        return model_scores(self.contender.run.name, (plan.sampler, plan.steps), found, scores, self.costs)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The results of several models on the same test maps.

    Attributes:
        models: the models, in the order given.
        n_maps: number of test maps.
        n_simulations: number of simulations that they belong to.
        device: name of the device on which sampling was timed.
        report: path of the JSON report.
        figure: path of the PNG figure.
    """

    models: tuple[ComparedModel, ...]
    n_maps: int
    n_simulations: int
    device: str
    report: Path
    figure: Path

    @property
    def scores(self) -> ComparisonScores:
        """What is shown of it."""
        return ComparisonScores(tuple(one.scores for one in self.models), self.n_maps, self.n_simulations, self.device)

    def to_dict(self) -> dict[str, Any]:
        """Return the part of the document of `focus compare --json` that is about samples."""
        return {
            "n_maps": self.n_maps,
            "n_simulations": self.n_simulations,
            "device": self.device,
            "runs": [
                {
                    "name": one.contender.run.name,
                    "path": str(one.contender.run.path),
                    **report_document(one.evaluation, one.contender.model, one.contender.plan),
                    "steps": [cost.to_dict() for cost in one.costs],
                }
                for one in self.models
            ],
        }


def why_not_comparable(models: Sequence[tuple[str, TrainedModel]]) -> str | None:
    """Return why the samples of these named models can't be compared, or None if they can."""
    (first, reference), *others = models
    for name, model in models:
        if model.data["units"] == NORMALISED:
            return f"{name} was trained on maps stored as unknown, which have no physical P(k), PDF or slab mean"
    for name, model in others:
        for key, words in (("box_size", "box size"), ("map_shape", "map shape"), ("fingerprint", "data set")):
            one, other = reference.data[key], model.data[key]
            if one != other:
                shown = "" if key == "fingerprint" else f": {one} and {other}"
                return f"{first} and {name} were trained on another {words}{shown}"
        if reference.scaler.names != model.scaler.names:
            return f"{first} and {name} are conditioned on other parameters"
    if not _unseen(models):
        return "no simulation is unseen by all of them (data.train_split or data.split_seed differ)"
    return None


def _device_words(model: TrainedModel) -> str:
    """Return the name of the device that draws, with their number where several share the maps."""
    name = device_name(model.device)
    return f"{len(model.copies)} x {name}" if model.copies else name


def _unseen(models: Sequence[tuple[str, TrainedModel]]) -> list[int]:
    """Return the simulations that are test simulations of every model."""
    common = set.intersection(*(set(model.data["split"]["test"]) for _, model in models))
    return sorted(common)


def compare_models(
    contenders: Sequence[Contender], count: int | None, step_counts: Sequence[int], output: Path
) -> Generator[DataProgress | ComparisonProgress, None, Comparison]:
    """Draw the maps of each contender at each number of steps; yield progress and return the comparison.

    The report is written to `output` (.json) and the figure beside it (.png), replacing older ones.

    Raises:
        InputError: the models can't be compared, or the data are missing or have changed.
        FocusError: the maps of a model's own plan are not physical.
        OSError: a file can't be written.
    """
    named = [(one.run.name, one.model) for one in contenders]
    if refused := why_not_comparable(named):
        raise InputError(f"samples are not compared: {refused}")
    maps = yield from _open(contenders[0])
    ids = spread(maps.maps_of(_unseen(named)), count or COMPARED_MAPS)
    models: list[ComparedModel] = []
    work = [_plans(contender, step_counts) for contender in contenders]
    total = sum(plan.steps for plans in work for plan in plans) * len(ids)
    done = 0
    for contender, plans in zip(contenders, work, strict=True):
        model = yield from _sample_and_score(
            contender, maps, ids, plans, _ProgressCount(contender.run.name, done, total)
        )
        models.append(model)
        done += sum(plan.steps for plan in plans) * len(ids)
    comparison = Comparison(
        models=tuple(models),
        n_maps=len(ids),
        n_simulations=len(set(maps.simulation_of(ids).tolist())),
        device=_device_words(contenders[0].model),
        report=output,
        figure=output.with_suffix(".png"),
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(output) as temporary:
        temporary.write_text(json.dumps(comparison.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    draw_comparison(
        comparison.figure,
        [(one.contender.run.name, one.evaluation, one.costs) for one in comparison.models],
        title=f"{len(ids)} maps of {comparison.n_simulations} unseen simulations, {comparison.device}",
    )
    return comparison


def _open(contender: Contender) -> Generator[DataProgress, None, MapSet]:
    maps = yield from open_maps(contender.model.config, contender.run.path)
    if maps.fingerprint != contender.model.data["fingerprint"]:
        raise InputError(f"{contender.run.name}: its data have changed since it was trained; bring the old files back")
    return maps


@dataclass(frozen=True)
class _ProgressCount:
    """Converts the progress of a sampler to that of the comparison, which starts at `done` of `total`."""

    name: str
    done: int
    total: int

    def after(self, steps: int) -> "_ProgressCount":
        return _ProgressCount(self.name, self.done + steps, self.total)

    def progress(self, step: SamplingProgress) -> tuple[ComparisonProgress]:
        running = 0 if step.finished is not None else len(step.x0) * step.step
        done = self.done + step.maps_done * step.steps + running
        return (ComparisonProgress(done, self.total, f"{self.name}, {step.steps} steps"),)


def _sample_and_score(
    contender: Contender, maps: MapSet, ids: NDArray[np.int64], plans: Sequence[SamplingPlan], count: _ProgressCount
) -> Generator[ComparisonProgress, None, ComparedModel]:
    """Sample by each plan and score the maps; those of the model's own plan must be physical."""
    params, real = maps.params_of(ids), maps.read(ids)
    design = paired_design(maps, ids)

    def evaluation(generated: NDArray[np.float32], *, values_only: bool = False) -> Evaluation:
        return judge(
            real,
            generated,
            replace(design, values_only=values_only),
            maps.box_size,
            fields=maps.field_names,
            units=maps.field_units,
        )

    for _ in contender.model.draw(params[: plans[0].batch_size], plans[0]):
        pass  # the first evaluations of a network on a GPU are slower than later ones: not timed
    own: Evaluation | None = None
    costs = []
    for plan in plans:
        began = time.perf_counter()
        generated, nfe = yield from relay(draw_physical(contender.model, params, plan), count.progress)
        count = count.after(plan.steps * len(ids))
        seconds = (time.perf_counter() - began) / len(ids)
        judged: Evaluation | None = None
        if plan == contender.plan:
            judged = own = evaluation(generated)
        elif _is_physical(generated):
            judged = evaluation(generated, values_only=True)
        costs.append(SamplingCost(plan.steps, nfe, seconds, _headlines(judged)))
    assert own is not None  # noqa: S101  (the model's own plan is one of the plans)
    return ComparedModel(contender, own, tuple(costs))


def _headlines(judged: Evaluation | None) -> dict[str, float | None]:
    """Return the first score of each statistic by its key; None for all if the maps were not physical."""
    found = {} if judged is None else judged.results
    headlines = [spec.scores_in(found.get(name))[0] for name, spec in statistics_of(pair=False).items()]
    return {score.spec.key: score.value for score in headlines}


def _plans(contender: Contender, step_counts: Sequence[int]) -> list[SamplingPlan]:
    """Return the plans of a contender by increasing steps, without the numbers that its process does not allow."""
    model, plan = contender.model, contender.plan
    plans = []
    for steps in sorted({*step_counts, plan.steps}):
        try:
            plans.append(replace(plan, steps=steps).checked(model.process))
        except InputError:
            continue
    return plans


def _is_physical(maps: NDArray[np.float32]) -> bool:
    return bool(np.isfinite(maps).all() and (maps >= 0).all() and maps.any(axis=(1, 2, 3)).all())
