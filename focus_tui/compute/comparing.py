"""`focus compare`: compares the logs of several experiments and the quality of their samples."""

import json
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from focus_engine.config.statistics import STATISTICS, leading_score
from focus_engine.evaluation.comparison import (
    STEP_COUNTS,
    Comparison,
    Contender,
    compare_models,
    why_not_comparable,
)
from focus_engine.runs.comparison import ModelScores, comparison_path
from focus_engine.runs.folder import RunFolder
from focus_tui.charts.overlay import NamedCurve, draw_overlay, draw_ratios, named_legend
from focus_tui.compute.drawing import SamplingReporter, open_model
from focus_tui.compute.options import CompareOptions
from focus_tui.compute.progress import relative
from focus_tui.terminal import cells, colours, fitted, out, visible
from focus_tui.view.compare import METRICS, Difference, config_differences, config_of, data_warning, metric_row
from focus_tui.view.comparison_report import cost_curves, cost_rows, cost_title, ratio_curves, score_rows, turned
from focus_tui.view.log_plot import read_view
from focus_tui.view.run_view import RunView

MAX_COLUMNS = 110
"""The greatest width of a chart or table [cells]."""


def compare(runs: Sequence[RunFolder], options: CompareOptions) -> None:
    """Compare `runs` and print the result.

    Raises:
        InputError: the data of a run are missing or have changed, or an option does not fit its model.
        FocusError: the generated maps are not physical.
    """
    reporter = SamplingReporter(options.progress)
    views = [read_view(run) for run in runs]
    different = config_differences([config_of(view) for view in views])
    comparison: Comparison | None = None
    refusal = "--curves was given" if options.curves else _no_checkpoint(runs, options)
    if refusal is None:
        contenders = _contenders(runs, options, reporter)
        refusal = why_not_comparable([(one.run.name, one.model) for one in contenders])
    if refusal is None:
        comparison = _compare_samples(contenders, options, reporter)
    elif not options.curves:
        reporter.warn(f"samples are not compared, curves are: {refusal}")
    if options.json:
        out(json.dumps(_document(runs, views, different, comparison, refusal), allow_nan=False))
        return
    width = min(MAX_COLUMNS, shutil.get_terminal_size((80, 24)).columns)
    _show_curves(runs, views, width)
    _show_differences(runs, different, width)
    if comparison is not None:
        _show_samples(comparison, width)


def _no_checkpoint(runs: Sequence[RunFolder], options: CompareOptions) -> str | None:
    untrained = [
        run.name
        for run in runs
        if not (run.checkpoint_best if options.checkpoint == "best" else run.checkpoint_last).is_file()
    ]
    return f"{', '.join(untrained)} has no checkpoint yet" if untrained else None


def _contenders(runs: Sequence[RunFolder], options: CompareOptions, reporter: SamplingReporter) -> list[Contender]:
    """Open the model of each run; all use the smallest of their batch sizes."""
    found = [Contender(run, *open_model(run, options, reporter)) for run in runs]
    batch = min(one.plan.batch_size for one in found)
    return [Contender(one.run, one.model, one.model.plan(seed=options.seed, batch_size=batch)) for one in found]


def _compare_samples(
    contenders: Sequence[Contender], options: CompareOptions, reporter: SamplingReporter
) -> Comparison:
    output = options.output or comparison_path([one.run for one in contenders])
    steps = compare_models(contenders, options.n_maps, options.ladder or STEP_COUNTS, output)
    return reporter.track(steps, contenders[0].plan)


def _document(
    runs: Sequence[RunFolder],
    views: Sequence[RunView],
    different: Sequence[Difference],
    comparison: Comparison | None,
    refusal: str | None,
) -> dict[str, Any]:
    """Return the JSON document of `focus compare --json`."""
    names = [run.name for run in runs]
    return {
        "runs": [view.summary.to_dict() | {"curves": _curves(view)} for view in views],
        "warning": data_warning(views) or None,
        "config_differences": {row.key: dict(zip(names, row.values, strict=True)) for row in different},
        "samples": None if comparison is None else comparison.to_dict(),
        "samples_refused": refusal,
    }


def _curves(view: RunView) -> dict[str, list[float | None]]:
    names = ("epoch", "train_loss", "val_loss", "lr", "seconds")
    return {name: [getattr(event, name) for event in view.epochs] for name in names}


def _show_curves(runs: Sequence[RunFolder], views: Sequence[RunView], width: int) -> None:
    """Print the table of numbers and draw the validation losses."""
    names = [visible(run.name) for run in runs]
    rows = [("", *METRICS), *((name, *metric_row(view, views[0])) for name, view in zip(names, views, strict=True))]
    for line in _table(turned(rows, width)):
        out(line)
    warning = data_warning(views)
    if warning:
        out(f"note: {warning}")
    curves = [NamedCurve(place, view.values("epoch"), view.values("val_loss")) for place, view in enumerate(views)]
    out(f"\nvalidation loss   {named_legend(names, color=colours())}")
    out(draw_overlay(curves, width=width, height=14, color=colours(), log=True))


def _show_differences(runs: Sequence[RunFolder], different: Sequence[Difference], width: int) -> None:
    """Print the keys in which the configs differ."""
    if not different:
        out("\nthe configs are the same")
        return
    out(f"\nconfig: {len(different)} keys differ")
    key = max(cells(row.key) for row in different)
    room = max(8, (width - key - 2) // len(runs) - 2)
    for row in [Difference("", tuple(visible(run.name) for run in runs)), *different]:
        out(f"  {fitted(row.key, key)}" + "".join(f"  {fitted(value, room)}" for value in row.values).rstrip())


def _show_samples(comparison: Comparison, width: int) -> None:
    """Draw the ratios, and print the scores and their cost."""
    color, scores = colours(), comparison.scores
    names = [visible(one.name) for one in scores.models]
    legend = named_legend(names, color=color)
    for name in (spec.name for spec in STATISTICS.values() if spec.curve is not None and spec.curve.ratio):
        _show_ratios(scores.models, name, legend, width)
    out(f"\n{comparison.n_maps} maps of {comparison.n_simulations} unseen simulations, at equal parameters and noise")
    for line in _table(turned(score_rows(scores), width)):
        out(line)
    unit = leading_score().unit
    out(f"\n{cost_title()} [{unit}] against seconds per map ({comparison.device})   {legend}")
    costs = cost_curves(scores, "seconds_per_map")
    if all(np.size(curve.x) > 1 for curve in costs):
        out(draw_overlay(costs, width=width, height=14, color=color, log=True, log_x=True, x_label="seconds per map"))
    for line in _table(cost_rows(scores)):
        out(line)
    out(f"\nreport  {relative(comparison.report)}\nfigure  {relative(comparison.figure)}")


def _show_ratios(models: Sequence[ModelScores], statistic: str, legend: str, width: int) -> None:
    """Draw generated / real of each model for one statistic."""
    limits = {one.curves[statistic].limit for one in models if statistic in one.curves}
    out(f"\n{STATISTICS[statistic].short} of samples / real   {legend}")
    limit = limits.pop() if len(limits) == 1 else None
    out(draw_ratios(ratio_curves(models, statistic), width=width, height=14, color=colours(), k_nyquist=limit))


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as aligned lines: the first column to the left, the others to the right."""
    widths = [max(cells(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        right = "".join("  " + " " * (wide - cells(text)) + text for text, wide in zip(others, widths[1:], strict=True))
        lines.append(f"{first}{' ' * (widths[0] - cells(first))}{right}".rstrip())
    return lines
