"""Tables and curves of the scores that `focus compare` measured on samples. Pure."""

from collections.abc import Sequence

from focus_engine.config.scores import Score
from focus_engine.config.statistics import STATISTICS, leading_score
from focus_engine.runs.comparison import ComparisonScores, ModelScores, SamplingCost
from focus_tui.charts.overlay import NamedCurve
from focus_tui.terminal import cells, cut
from focus_tui.view.arrays import floats


def turned(rows: Sequence[tuple[str, ...]], width: int) -> list[tuple[str, ...]]:
    """Return the rows of a table, or its columns as rows where only these fit in `width` cells, or fit better."""
    columns = list(zip(*rows, strict=True))
    return columns if _width(rows) > width and _width(columns) < _width(rows) else list(rows)


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return the width of a table whose columns are two cells apart."""
    return sum(2 + max(map(cells, column)) for column in zip(*rows, strict=True)) - 2


def score_rows(report: ComparisonScores) -> list[tuple[str, ...]]:
    """Return one row of the compared scores per model, followed by what a perfect model scores."""
    headings = [score.heading for spec in STATISTICS.values() for score in spec.scores if score.compared]
    rows: list[tuple[str, ...]] = [("", "sampler", "NFE", "s/map", *headings)]
    for one in report.models:
        cost = one.own_cost
        scores = [score.value_words for score in _compared(one)]
        rows.append((one.name, f"{one.sampler} {one.steps}", str(cost.nfe), f"{cost.seconds_per_map:.2g}", *scores))
    rows.append(("perfect model", "", "", "", *(score.null_words for score in _compared(report.models[0]))))
    return rows


def _compared(model: ModelScores) -> list[Score]:
    """Return the compared scores of the first field, in the order of the table."""
    found = {(score.statistic, score.spec.name): score for score in reversed(model.scores)}
    specs = [(spec.name, score) for spec in STATISTICS.values() for score in spec.scores if score.compared]
    return [found.get((name, score.name), Score(score, name)) for name, score in specs]


def cost_title() -> str:
    """Return the name of the score that `cost_rows` and `cost_curves` show against cost."""
    return f"{leading_score().heading} error"


def cost_rows(report: ComparisonScores) -> list[tuple[str, ...]]:
    """Return the leading score and its cost by number of steps, three columns per model."""
    steps = sorted({cost.steps for one in report.models for cost in one.costs})
    names = [cut(one.name, 24) for one in report.models]
    rows = [("steps", *(word for name in names for word in ("NFE", "s/map", name)))]
    for number in steps:
        costs = (cell for one in report.models for cell in _cost_cells(one.costs, number))
        rows.append((str(number), *costs))
    return rows


def _cost_cells(costs: Sequence[SamplingCost], steps: int) -> tuple[str, str, str]:
    cost = next((cost for cost in costs if cost.steps == steps), None)
    if cost is None:
        return ("-",) * 3
    leading = leading_score()
    return str(cost.nfe), f"{cost.seconds_per_map:.2g}", leading.text(cost.scores[leading.key])


def cost_curves(report: ComparisonScores, what: str) -> list[NamedCurve]:
    """Return the leading score [its unit] of each model against `nfe` or `seconds_per_map`."""
    leading = leading_score()
    scale = 100 if leading.unit == "%" else 1
    curves = []
    for place, one in enumerate(report.models):
        scored = [(getattr(cost, what), cost.scores[leading.key]) for cost in one.costs]
        known = [(cost, scale * score) for cost, score in scored if score]
        curves.append(NamedCurve(place, floats([cost for cost, _ in known]), floats([score for _, score in known])))
    return curves


def ratio_curves(models: Sequence[ModelScores], statistic: str) -> list[NamedCurve]:
    """Return generated / real of each model in `statistic`, where the model has that curve."""
    curves = [(place, one.curves[statistic]) for place, one in enumerate(models) if statistic in one.curves]
    return [NamedCurve(place, floats(curve.x), floats(curve.ratio)) for place, curve in curves]
