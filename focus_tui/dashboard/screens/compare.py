"""The Compare screen: curves of several runs on common axes, config differences, metrics and sample scores."""

from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from focus_engine.runs.folder import RunFolder
from focus_tui.charts.canvas import smoothed
from focus_tui.charts.overlay import NamedCurve, color_of, draw_overlay, draw_ratios
from focus_tui.dashboard.jobs import ComparisonJob
from focus_tui.dashboard.screens.base import BaseScreen
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.dashboard.widgets.hints import Hints
from focus_tui.dashboard.widgets.sample_scores import SampleScores
from focus_tui.terminal import cells, fitted, visible
from focus_tui.view.arrays import Array, floats
from focus_tui.view.columns import RunRow
from focus_tui.view.compare import METRICS, config_differences, config_of, data_warning, metric_row
from focus_tui.view.run_view import RunView

PANES = ("curves", "ratios", "differences", "scores")
CURVES = (
    ("val_loss", "val loss"),
    ("train_loss", "train loss"),
    ("lr", "learning rate"),
    ("grad_norm", "gradient norm"),
    ("maps_per_second", "maps per second"),
)
SMOOTHINGS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)
WIDE, HIGH = 110, 30
MAX_LEGEND_ROWS = 12
"""Most rows of the legend; it scrolls to further runs, which are drawn too."""


class CompareScreen(BaseScreen):
    """Compares the curves, configs and samples of runs."""

    TITLE_WORDS = "Compare"
    HELP = (
        "A colour per run, kept while others are hidden. Losses compare only between runs with the same\n"
        "method, prediction and data; P(k) ratios are each against the run's own validation maps."
    )
    HINTS = (
        *("choose_curve", "pane(1)", "judge_samples", "hide_run", "make_reference", "toggle_log_y", "smoother"),
        *("open_run", "help", "back"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "select(-1)", "up", show=False),
        Binding("down,j", "select(1)", "down", show=False),
        Binding("enter", "open_run", "watch"),
        Binding("space", "hide_run", "hide", tooltip="hide or show the run"),
        Binding("R", "make_reference", "reference", tooltip="compare the others with this run"),
        Binding("m", "choose_curve", "curve", tooltip="the next curve: val loss, train loss, LR …"),
        Binding("1", "pane(1)", "panes", tooltip="curves alone (again: all)"),
        Binding("2", "pane(2)", "ratios", tooltip="P(k) ratios alone"),
        Binding("3", "pane(3)", "config", tooltip="config differences alone"),
        Binding("4", "pane(4)", "samples", tooltip="sample scores alone"),
        Binding("c", "judge_samples", "samples", tooltip="draw samples of all runs and score them; again: cancel"),
        Binding("l", "toggle_log_y", "log-y", tooltip="logarithmic values"),
        Binding("L", "toggle_log_x", "log-x", tooltip="logarithmic epochs"),
        Binding("o", "toggle_time", "time", tooltip="plot against hours of training, or epochs"),
        Binding("plus,equals_sign", "smoother", "smooth", tooltip="smoother curves"),
        Binding("minus", "rougher", "rougher", tooltip="less smooth"),
    ]

    def __init__(self, runs: tuple[RunFolder, ...]) -> None:
        super().__init__()
        self._runs = runs
        self._views: dict[str, RunView] = {}
        self._hidden: set[int] = set()
        self._at = self._reference = self._curve = 0
        self._log_y = self._log_x = self._time = False
        self._smoothing = 0.0
        self._alone: str | None = None

    def compose(self) -> ComposeResult:
        """Lay out legend, charts and tables."""
        yield Static(id="legend")
        with Horizontal(id="charts"):
            yield Chart(id="curves", classes="pane")
            yield Chart(id="ratios", classes="pane")
        with Horizontal(id="tables"):
            with VerticalScroll(id="differences", classes="pane"):
                yield Static(id="table")
            yield SampleScores(self._runs, id="scores", classes="pane")
        yield Hints()

    def on_mount(self) -> None:
        """Show a running comparison job and draw."""
        super().on_mount()
        self.query_one(SampleScores).follow(self.focus_app.comparisons.get(self._key))
        self._lay_out()
        self._draw()

    @property
    def _key(self) -> frozenset[Path]:
        return frozenset(run.path for run in self._runs)

    def on_resize(self, event: events.Resize | None = None) -> None:  # noqa: ARG002  (textual's)
        """Lay out for the new size."""
        super().on_resize()
        self._lay_out()
        self._draw()

    def followed(self) -> tuple[RunFolder, ...]:
        """Return all compared runs."""
        return self._runs

    def current_run(self) -> RunFolder | None:
        """Return the run under the cursor of the legend."""
        return self._runs[self._at]

    def show_rows(self, rows: tuple[RunRow, ...]) -> None:
        """Ignore the rows; the views hold more."""

    def show_view(self, view: RunView) -> None:
        """Store a changed view and redraw."""
        if any(view.summary.path == str(run.path) for run in self._runs):
            self._views[view.summary.path] = view
            self._draw()

    def run_gone(self, run: RunFolder) -> None:
        """Hide a run whose folder has disappeared; close the screen if fewer than two are left."""
        left = tuple(one for one in self._runs if one != run)
        self.focus_app.say(f"{run.name} no longer exists", severity="warning")
        if len(left) < 2:
            self.action_back()
            return
        self._hidden.add(self._runs.index(run))
        self._draw()

    def _known(self) -> list[tuple[int, RunView]]:
        """Return index and view of the runs that have been read and are not hidden."""
        views = [(place, self._views.get(str(run.path))) for place, run in enumerate(self._runs)]
        return [(place, view) for place, view in views if view is not None and place not in self._hidden]

    def _lay_out(self) -> None:
        roomy = self.size.width >= WIDE and self.size.height >= HIGH
        alone = self._alone or (None if roomy else "curves")
        for pane in PANES:
            self.query_one(f"#{pane}").display = alone in {None, pane}
        self.query_one("#charts").display = alone not in {"differences", "scores"}
        self.query_one("#tables").display = alone not in {"curves", "ratios"}

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self._draw_legend()
        self._draw_curves()
        self._draw_ratios()
        self._draw_differences()

    def _draw_legend(self) -> None:
        reference = self._views.get(str(self._runs[self._reference].path))
        rows: list[tuple[str, ...]] = []
        for run in self._runs:
            view = self._views.get(str(run.path))
            known = view is not None and reference is not None
            rows.append(metric_row(view, reference) if known else ("reading …",) + ("",) * (len(METRICS) - 1))  # type: ignore[arg-type]
        widths = [max(cells(row[i]) for row in (METRICS, *rows)) for i in range(len(METRICS))]
        shown = [i for i in range(len(METRICS)) if sum(widths[: i + 1]) + 2 * i + 20 <= self.size.width]
        name_room = max(8, self.size.width - 6 - sum(widths[i] + 2 for i in shown))
        name = min(name_room, max(cells(visible(run.name)) for run in self._runs))
        text = Text(no_wrap=True)
        text.append("    " + " " * name, style="bold")
        text.append("".join(f"  {METRICS[i]:>{widths[i]}}" for i in shown) + "\n", style="bold")
        first = max(0, min(self._at - MAX_LEGEND_ROWS // 2, len(rows) - MAX_LEGEND_ROWS))
        for place in range(first, min(len(rows), first + MAX_LEGEND_ROWS)):
            hidden, here = place in self._hidden, place == self._at
            style = Style(dim=hidden, reverse=here)
            text.append("  ○ " if hidden else "  ● ", style=Style(color=f"color({color_of(place)})", bold=True))
            text.append(fitted(visible(self._runs[place].name), name), style=style)
            numbers = (" " * (2 + widths[i] - cells(rows[place][i])) + rows[place][i] for i in shown)
            text.append("".join(numbers), style=style)
            text.append("\n")
        warning = data_warning([view for _, view in self._known()])
        if warning:
            text.append(f"  {warning}\n", style="yellow")
        text.rstrip()
        self.query_one("#legend", Static).update(text)

    def _draw_curves(self) -> None:
        field, words = CURVES[self._curve]
        known, color = self._known(), self.focus_app.color
        curves = [
            NamedCurve(place, self._x(view), smoothed(view.values(field), self._smoothing)) for place, view in known
        ]
        chart = self.query_one("#curves", Chart)
        smooth = f"  smoothed {self._smoothing:g}" if self._smoothing else ""
        chart.border_title = f"1 {words.capitalize()}{smooth}"
        x_label = "hours of training" if self._time else "epoch"

        def draw(width: int, height: int) -> str:
            keywords = {"width": width, "height": height, "color": color}
            return draw_overlay(curves, x_label=x_label, log=self._log_y, log_x=self._log_x, **keywords)  # type: ignore[arg-type]

        marks = tuple((place, len(view.epochs), view.epochs[-1].time if view.epochs else 0) for place, view in known)
        chart.show(draw, (field, self._log_y, self._log_x, self._time, self._smoothing, marks))

    def _x(self, view: RunView) -> Array:
        return view.values("seconds").cumsum() / 3600 if self._time else view.values("epoch")

    def _draw_ratios(self) -> None:
        latest = [(place, view.spectra[-1]) for place, view in self._known() if view.spectra]
        curves = [NamedCurve(place, floats(event.k), floats(event.ratio)) for place, event in latest]
        nyquists = {event.k_nyquist for _, event in latest}
        nyquist = nyquists.pop() if len(nyquists) == 1 else None
        chart, color = self.query_one("#ratios", Chart), self.focus_app.color
        chart.border_title = "2 P(k) of samples / real"

        def draw(width: int, height: int) -> str:
            return draw_ratios(curves, width=width, height=height, color=color, k_nyquist=nyquist)

        chart.show(draw, ("ratios", tuple((place, event.epoch, event.time) for place, event in latest)))

    def _draw_differences(self) -> None:
        known = self._known()
        pane = self.query_one("#differences")
        rows = config_differences([config_of(view) for _, view in known])
        pane.border_title = f"3 Config: {len(rows)} keys differ"
        text = Text(no_wrap=True)
        if not rows:
            text.append("  the configs are the same" if len(known) > 1 else "  nothing to compare")
        key = max((cells(row.key) for row in rows), default=0)
        room = max(6, (self.size.width - key - 4) // max(1, len(known)) - 2)
        width = [min(room, max(cells(row.values[i]) for row in rows)) for i in range(len(known))] if rows else []
        for row in rows:
            text.append(f"  {fitted(row.key, key)}")
            for (place, _), value, wide in zip(known, row.values, width, strict=True):
                text.append("  " + fitted(value, wide), style=Style(color=f"color({color_of(place)})"))
            text.append("\n")
        self.query_one("#table", Static).update(text)

    def action_select(self, by: int) -> None:
        """Move the cursor of the legend."""
        self._at = max(0, min(self._at + by, len(self._runs) - 1))
        self._draw_legend()
        self.refresh_hints()

    def action_open_run(self) -> None:
        """Open the Watch screen of the run under the cursor."""
        self.focus_app.open_run(RunFolder(Path(self._runs[self._at].path)))

    def action_hide_run(self) -> None:
        """Hide the run under the cursor, or show it again."""
        self._hidden ^= {self._at}
        self._draw()

    def action_judge_samples(self) -> None:
        """Start a job that draws samples of all runs and scores them, or cancel the running one."""
        job = self.focus_app.comparisons.get(self._key)
        if job is not None and not job.poll().ended:
            job.cancel()
            return
        try:
            job = ComparisonJob.start([run.path for run in self._runs])
        except OSError as error:
            self.focus_app.say(f"the comparison cannot be started: {error}", severity="error")
            return
        self.focus_app.comparisons[self._key] = job
        self.query_one(SampleScores).follow(job)
        if not self.query_one("#scores").display:
            self.action_pane(PANES.index("scores") + 1)

    def action_make_reference(self) -> None:
        """Make the run under the cursor the reference of the metrics."""
        self._reference = self._at
        self._draw_legend()

    def action_choose_curve(self) -> None:
        """Draw the next quantity."""
        self._curve = (self._curve + 1) % len(CURVES)
        self._draw_curves()

    def action_pane(self, number: int) -> None:
        """Show one pane alone, or all again."""
        pane = PANES[number - 1]
        self._alone = None if self._alone == pane else pane
        self._lay_out()
        self._draw()

    def action_back(self) -> None:
        """Show all panes again, or close the screen if they are."""
        if self._alone is not None:
            self.action_pane(PANES.index(self._alone) + 1)
            return
        super().action_back()

    def action_toggle_log_y(self) -> None:
        """Switch the values between logarithmic and linear axes."""
        self._log_y = not self._log_y
        self._draw_curves()

    def action_toggle_log_x(self) -> None:
        """Switch the epochs between logarithmic and linear axes."""
        self._log_x = not self._log_x
        self._draw_curves()

    def action_toggle_time(self) -> None:
        """Switch the x axis between hours of training and epochs."""
        self._time = not self._time
        self._draw_curves()

    def action_smoother(self) -> None:
        """Increase the smoothing."""
        self._smoothing = next((value for value in SMOOTHINGS if value > self._smoothing), SMOOTHINGS[-1])
        self._draw_curves()

    def action_rougher(self) -> None:
        """Decrease the smoothing."""
        self._smoothing = next((value for value in reversed(SMOOTHINGS) if value < self._smoothing), 0.0)
        self._draw_curves()
