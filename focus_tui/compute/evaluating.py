"""`focus evaluate`: compares samples with held-out maps, each score beside what a perfect model scores."""

import json

from focus_engine.evaluation.averages import BestAverage, find_best
from focus_engine.evaluation.run_report import run_report
from focus_engine.evaluation.sampling import EvaluationResult, evaluate_run, report_document
from focus_engine.evaluation.trained_model import find_checkpoint
from focus_engine.evaluation.truth import HeldBack
from focus_engine.figures.latex_table import latex_table
from focus_engine.figures.report import write_report
from focus_engine.runs.folder import RunFolder
from focus_tui.compute.drawing import SamplingReporter, open_model
from focus_tui.compute.options import EvaluateOptions
from focus_tui.compute.progress import relative
from focus_tui.compute.report_view import draw_report
from focus_tui.terminal import out


def evaluate(run: RunFolder, options: EvaluateOptions) -> None:
    """Evaluate `run` on its test maps, or on held-back universes, and print the report.

    Raises:
        InputError: the checkpoint or the data are missing, or the data have changed.
        FocusError: the generated maps are not physical.
    """
    held_back = HeldBack.given(options.universes, options.cosmologies)
    reporter = SamplingReporter(options.progress)
    if options.ema == "best":
        path = find_checkpoint(run, options.checkpoint)
        found: BestAverage = reporter.follow(find_best(run, path, device=options.device))
        reporter.note(found.words())
    model, plan = open_model(run, options, reporter)
    work = evaluate_run(run, model, plan, options.n_maps, options.output, held_back)
    evaluated: EvaluationResult = reporter.track(work, plan)
    if options.report is not None:
        write_report(options.report, run_report(run, evaluated, model, plan))
        reporter.note(f"report  {relative(options.report)}")
    if options.json:
        out(json.dumps(report_document(evaluated.evaluation, model, plan)))
        return
    if options.latex:
        out(latex_table(evaluated.evaluation.scores(), evaluated.evaluation.verdict.text))
        return
    show_report(evaluated)
    out(f"report  {relative(evaluated.report)}\nfigure  {relative(evaluated.figure)}")


def show_report(evaluated: EvaluationResult) -> None:
    """Draw the report of an evaluated model."""
    draw_report(evaluated.evaluation, evaluated.real, evaluated.generated)
