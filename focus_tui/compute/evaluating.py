"""`focus evaluate`: samples against held-out maps, each statistic beside its true-against-true."""

import json
import math
import shutil

import numpy as np

from focus_engine.evaluation.sampling import Evaluated, evaluate_run, report_document
from focus_engine.runs.folder import RunFolder
from focus_engine.statistics.compare import Evaluation, FieldEvaluation
from focus_engine.statistics.pdf import PdfComparison
from focus_engine.units import NORMALISED, SURFACE_DENSITY
from focus_tui.charts.curves import DENSITY_POWER, FIELD_POWER, draw_maps, draw_pdf, draw_power
from focus_tui.compute.drawing import Telling, opened, relative
from focus_tui.compute.options import EvaluateOptions
from focus_tui.terminal import color_depth, colours, out
from focus_tui.view.words import percent


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
    evaluation, power = judged.evaluation, judged.evaluation.power_spectrum
    units = NORMALISED if power.normalised else SURFACE_DENSITY
    pair = [judged.real[0, 0], judged.generated[0, 0]]
    titles = ("real", "generated")
    out(draw_maps(pair, width=width, height=20, titles=titles, color_depth=color_depth(), units=units))
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
            y_label=FIELD_POWER if power.normalised else DENSITY_POWER,
        )
    )
    if isinstance(evaluation, Evaluation):
        _show_pdf(evaluation.pdf, width, color=color)
    for line in score_lines(evaluation):
        out(line)


def _show_pdf(pdf: PdfComparison, width: int, *, color: bool) -> None:
    shown = np.asarray(pdf.real_pdf) > 0
    out(
        draw_pdf(
            pdf.log10_value[shown],
            pdf.real_pdf[shown],
            pdf.generated_pdf[shown],
            pdf.real_std[shown],
            width=width,
            height=14,
            color=color,
            title="one-point PDF",
        )
    )


def score_lines(evaluation: Evaluation | FieldEvaluation) -> list[str]:
    """Return the scores as a table, each beside what real maps score against other real maps."""
    power = evaluation.power_spectrum
    rows = [
        ("statistic", "generated", "true vs true", "same sims"),
        (
            "P(k), median |ratio - 1|",
            percent(power.median_abs_error),
            percent(_known(power.true_vs_true_median_abs_error)),
            percent(_known(power.true_vs_true_same_simulation)),
        ),
        *(_density_rows(evaluation) if isinstance(evaluation, Evaluation) else ()),
    ]
    head = f"{evaluation.n_maps} maps of {evaluation.n_simulations} test simulations against as many samples"
    note = ["of the normalised field: PDF and slab mean need a density"] if power.normalised else []
    return [head, *(f"{name:<26}{value:>12}{between:>14}{within:>12}" for name, value, between, within in rows), *note]


def _density_rows(evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    pdf, slab = evaluation.pdf, evaluation.slab_mean
    truths = f"{pdf.true_vs_true_w1:.3f}", f"{pdf.true_vs_true_same_simulation:.3f}"
    return [
        ("PDF, W1 in its sigma", f"{pdf.w1:.3f}", *truths),
        ("slab mean, bias", percent(slab.bias), "", percent(_known(slab.true_vs_true_bias))),
        ("slab mean, scatter", percent(_known(slab.scatter)), "", percent(_known(slab.true_vs_true_scatter))),
    ]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
