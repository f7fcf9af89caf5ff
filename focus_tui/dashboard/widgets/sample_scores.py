"""Scores of the samples of compared runs: the report of `focus compare`, and the progress of its job."""

from collections.abc import Sequence
from pathlib import Path

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from focus_engine.runs.comparison import ComparisonScores, read_comparison
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import parse_json, read_text
from focus_tui.charts.overlay import color_of
from focus_tui.dashboard.jobs import ComparisonJob
from focus_tui.dashboard.report_files import MAX_REPORT_BYTES, ReportFiles
from focus_tui.terminal import cells, visible
from focus_tui.view.comparison_report import cost_rows, cost_title, score_rows, turned


class SampleScores(VerticalScroll):
    """Shows the newest sample comparison of `runs`, or the progress of a running one."""

    def __init__(self, runs: Sequence[RunFolder], *, id: str, classes: str) -> None:  # noqa: A002  (textual's)
        super().__init__(id=id, classes=classes)
        self._runs = tuple(runs)
        self._reports = ReportFiles([run.figs for run in runs])
        self._read: dict[tuple[int, Path], ComparisonScores | None] = {}
        self._shown: ComparisonScores | None = None
        self._job: ComparisonJob | None = None

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        yield Static(id="scores-text")

    def on_mount(self) -> None:
        """Show the newest report, and poll the job."""
        self.border_title = "4 Samples"
        self.look()
        self.set_interval(0.25, self.look)

    @property
    def running(self) -> bool:
        """Whether a comparison job is running."""
        return self._job is not None and not self._job.poll().ended

    def follow(self, job: ComparisonJob | None) -> None:
        """Show the progress of a job."""
        self._job = job
        self.look()

    def on_resize(self) -> None:
        """Lay the tables out anew."""
        self._shown = None
        self.look()

    def look(self) -> None:
        """Show the job's progress, its failure, or the newest report."""
        progress = None if self._job is None else self._job.poll()
        if progress is not None and not progress.ended:
            share = f"{100 * progress.done // progress.total} %  " if progress.total else ""
            self._say(f"{share}{progress.words}\n\nc: cancel")
            return
        if progress is not None and progress.failed is not None:
            self._say(f"{progress.failed}\n\nc: try again")
            return
        refused = None if progress is None or progress.finished is None else progress.finished.get("samples_refused")
        if refused:
            self._say(f"samples are not compared: {refused}")
            return
        report = self._newest()
        if report is None:
            self._say("c draws samples of all these runs at the parameters of the same\nunseen maps, and scores them")
        elif report is not self._shown:
            self._shown = report
            names, width = [run.name for run in self._runs], self.scrollable_content_region.width
            self.query_one("#scores-text", Static).update(_report_text(report, names, width))

    def _say(self, words: str) -> None:
        self._shown = None
        self.query_one("#scores-text", Static).update(Text(visible_lines(words), style="dim"))

    def _newest(self) -> ComparisonScores | None:
        """Return the newest report on exactly these runs; each file is read once."""
        for stamp in self._reports.newest_first():
            if stamp not in self._read:
                self._read[stamp] = _read(stamp[1], {run.name for run in self._runs})
            if (report := self._read[stamp]) is not None:
                return report
        return None


def _read(path: Path, wanted: set[str]) -> ComparisonScores | None:
    """Return the report in a file; None if it is not a report on the runs of these names."""
    try:
        report = read_comparison(parse_json(read_text(path, most=MAX_REPORT_BYTES)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, StopIteration):
        return None
    return report if {model.name for model in report.models} == wanted else None


def visible_lines(words: str) -> str:
    """Return text with the control characters of each line made visible."""
    return "\n".join(visible(line) for line in words.splitlines())


def _report_text(report: ComparisonScores, names: Sequence[str], width: int) -> Text:
    """Return scores and costs as tables for `width` cells, each run in the colour of its curve."""
    text = Text(no_wrap=True)
    head = f"{report.n_maps} maps of {report.n_simulations} unseen simulations, {report.device}"
    text.append(f"  {visible(head)}\n", style="dim")
    _append_table(text, turned(score_rows(report), width - 2), names)
    text.append(f"\n  {cost_title()} against the number of steps\n", style="dim")
    _append_table(text, cost_rows(report), names)
    return text


def _append_table(text: Text, rows: Sequence[Sequence[str]], names: Sequence[str]) -> None:
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(cells(row[i]) for row in shown) for i in range(len(shown[0]))]
    for number, row in enumerate(shown):
        for place, (cell, wide) in enumerate(zip(row, widths, strict=True)):
            named = cell in names and 0 in {number, place}
            style = Style(color=f"color({color_of(names.index(cell))})") if named else Style(bold=number == 0)
            room = " " * (wide - cells(cell))
            text.append(f"  {cell}{room}" if place == 0 else f"  {room}{cell}", style=style)
        text.append("\n")
