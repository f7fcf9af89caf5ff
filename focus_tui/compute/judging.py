"""`focus judge`: judges maps of any origin against real ones, and reports it like `focus evaluate`."""

import json

from focus_engine.data.judged_files import JudgedFile
from focus_engine.data.judged_pair import JudgedPair, ReadPair, read_pair
from focus_engine.evaluation.judging import DEFAULT_BOX, judge_pair
from focus_engine.figures.latex_table import latex_table
from focus_engine.figures.report import Report, write_report
from focus_tui.compute.judge_options import JudgeOptions
from focus_tui.compute.progress import ProgressReporter, relative
from focus_tui.compute.report_view import draw_report
from focus_tui.terminal import out, visible


def judge(options: JudgeOptions) -> None:
    """Judge two files of maps and print the report.

    Raises:
        InputError: a file, its values or the match of the two is at fault, or the real maps are training maps.
        OSError: the report can't be written.
    """
    reporter = ProgressReporter(options.progress)
    read: ReadPair = reporter.follow(read_pair(_pair(options)))
    for note in read.maps.notes:
        reporter.warn(visible(note))
    if read.maps.box_size is None:
        reporter.warn(f"neither file holds its box size: {DEFAULT_BOX:g} Mpc/h is assumed (--box-size)")
    report: Report = reporter.follow(judge_pair(read, options.seed))
    if options.output is not None:
        write_report(options.output, report)
        reporter.note(f"report  {relative(options.output)}")
    if options.json:
        out(json.dumps(report.document, allow_nan=False))
    elif options.latex:
        out(latex_table(report.evaluation.scores(), report.evaluation.verdict.text))
    else:
        draw_report(report.evaluation, report.real, report.generated)


def _pair(options: JudgeOptions) -> JudgedPair:
    shared = (options.maps_per_simulation, options.box_size)
    return JudgedPair(
        generated=JudgedFile(options.generated, "generated", options.params, *shared),
        real=JudgedFile(options.real, "real", options.real_params, *shared),
        training=options.training,
        common=options.common,
        even_if_trained_on=options.even_if_trained_on,
    )
