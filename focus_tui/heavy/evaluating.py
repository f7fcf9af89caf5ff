"""`focus evaluate`: samples against held-out maps, each statistic beside its true-against-true."""

import json
import math
import shutil

import numpy as np

from focus_engine.runs.folder import RunFolder
from focus_engine.sampling_job import Evaluated, evaluate_run, report_document
from focus_engine.statistics.compare import Evaluation
from focus_tui.charts import draw_maps, draw_pdf, draw_power
from focus_tui.heavy.drawing import Telling, opened, relative
from focus_tui.options import EvaluateOptions
from focus_tui.terminal import color_depth, colours, out
from focus_tui.words import percent


def evaluate(run: RunFolder, options: EvaluateOptions) -> None:
    """Judge `run` against its test maps and show the report.

    Raises:
        InputError: no such checkpoint, or the data are gone or have changed.
        FocusError: the generated maps are not physical.
    """
    telling = Telling(options.progress)
    model, plan = opened(run, options, telling)
    judged: Evaluated = telling.shown(evaluate_run(run, model, plan, options.n_maps, options.output), plan)
    if options.json:
        out(json.dumps(report_document(judged.evaluation, model, plan)))
        return
    show_report(judged)
    out(f"report  {relative(judged.report)}\nfigure  {relative(judged.figure)}")


def show_report(judged: Evaluated) -> None:
    """Draw maps, P(k) and PDF, and print the scores."""
    columns, _ = shutil.get_terminal_size((80, 24))
    width, color = min(columns, 110), colours()
    power, pdf = judged.evaluation.power_spectrum, judged.evaluation.pdf
    pair = [judged.real[0, 0], judged.generated[0, 0]]
    out(draw_maps(pair, width=width, height=20, titles=("real", "generated"), color_depth=color_depth()))
    out(
        draw_power(
            power.k,
            power.real_mean,
            power.real_std,
            power.generated_mean,
            width=width,
            height=22,
            color=color,
            title="P(k) of samples against held-out maps",
            k_nyquist=power.k_nyquist,
        )
    )
    shown_bins = np.asarray(pdf.real_pdf) > 0
    out(
        draw_pdf(
            pdf.log10_value[shown_bins],
            pdf.real_pdf[shown_bins],
            pdf.generated_pdf[shown_bins],
            pdf.real_std[shown_bins],
            width=width,
            height=14,
            color=color,
            title="one-point PDF",
        )
    )
    for line in score_lines(judged.evaluation):
        out(line)


def score_lines(evaluation: Evaluation) -> list[str]:
    """Return the scores as a table, each beside what real maps score against other real maps."""
    power, pdf, slab = evaluation.power_spectrum, evaluation.pdf, evaluation.slab_mean
    rows = [
        ("statistic", "generated", "true vs true", "same sims"),
        (
            "P(k), median |ratio - 1|",
            percent(power.median_abs_error),
            percent(_known(power.true_vs_true_median_abs_error)),
            percent(_known(power.true_vs_true_same_simulation)),
        ),
        (
            "PDF, W1 in its sigma",
            f"{pdf.w1:.3f}",
            f"{pdf.true_vs_true_w1:.3f}",
            f"{pdf.true_vs_true_same_simulation:.3f}",
        ),
        ("slab mean, bias", percent(slab.bias), "", percent(_known(slab.true_vs_true_bias))),
        ("slab mean, scatter", percent(_known(slab.scatter)), "", percent(_known(slab.true_vs_true_scatter))),
    ]
    head = f"{evaluation.n_maps} maps of {evaluation.n_simulations} test simulations against as many samples"
    return [head, *(f"{name:<26}{value:>12}{between:>14}{within:>12}" for name, value, between, within in rows)]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
