"""The Watch screen: loss, learning rate, P(k), maps and log of one run, updated live."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal

from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.screens.base import BaseScreen
from focus_tui.dashboard.screens.dialogs import TextDialog
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.dashboard.widgets.hints import Hints
from focus_tui.dashboard.widgets.watch_head import Head, head_lines
from focus_tui.dashboard.widgets.watch_layout import head_rows, lay_out
from focus_tui.dashboard.widgets.watch_log import LogPane
from focus_tui.terminal import visible
from focus_tui.view.columns import RunRow, in_default_order
from focus_tui.view.machine import MachineLoad
from focus_tui.view.panes import LOG, PANES, pane_number, panes_with_picture
from focus_tui.view.pictures.picture import SPANS, Picture, PictureOptions, sampled_epochs
from focus_tui.view.run_view import RunView

SMOOTHINGS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
READING = Picture("", lambda *_: "reading …", "reading")


def pane_bindings() -> list[BindingType]:
    """Return the keys that enlarge the panes; the footer shows the first key for all."""
    labels = [f"to {PANES[-1].key} panes", *(pane.label for pane in PANES[1:])]
    tooltips = [f"{PANES[0].subject} alone; again: all panes", *(f"{pane.subject} alone" for pane in PANES[1:])]
    return [
        Binding(pane.key, f"pane({pane_number(pane.name)})", label, tooltip=tooltip)
        for pane, label, tooltip in zip(PANES, labels, tooltips, strict=True)
    ]


def pane_words() -> str:
    """Return the list of panes for the help text."""
    *most, last = (pane.label for pane in panes_with_picture())
    shown = f"{', '.join(most)} and {last} of one run, and its log."
    return shown[0].upper() + shown[1:]


class PaneChart(Chart):
    """A chart pane; a click enlarges it."""

    _title_shown = ""

    def set_title(self, title: str) -> None:
        """Set the title on the border; an unchanged title causes no redraw."""
        if title != self._title_shown:
            self._title_shown, self.border_title = title, Text(title)

    def on_click(self, event: events.Click) -> None:
        """Enlarge this pane, or show all again."""
        event.stop()
        if isinstance(self.screen, WatchScreen) and self.id is not None:
            self.screen.action_pane(pane_number(self.id))


class WatchScreen(BaseScreen):
    """Shows the progress of a run."""

    TITLE_WORDS = "Watch"
    HELP = (
        f"{pane_words()}\n"
        "Val loss is that of the averaged weights; ★ is the best epoch, ░ warmup, ╎ a rate cut,\n"
        "╏ a resume, ┃ early stopping. P(k): the grey band is the scatter of real maps.\n"
        f"{PANES[0].key} to {PANES[-1].key} enlarge a pane, as a click does; again, or esc, shows all."
    )
    HINTS = (
        *("start_run", "stop_run", "resume_run", "pane(1)", "earlier", "toggle_log_y", "smoother", "zoom_in"),
        *("sample_run", "help", "back"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *pane_bindings(),
        Binding("left", "earlier", "scrub", tooltip="P(k) and maps of the previous epoch"),
        Binding("right", "later", "later", tooltip="P(k) and maps of the next epoch"),
        Binding("end", "latest", "latest", tooltip="P(k) and maps of the latest epoch"),
        Binding("full_stop", "other_maps(1)", "next maps", tooltip="maps of the next parameters first"),
        Binding("comma", "other_maps(-1)", "previous maps", tooltip="maps of the previous parameters first"),
        Binding("l", "toggle_log_y", "log-y", tooltip="logarithmic or linear loss"),
        Binding("L", "toggle_log_x", "log-x", tooltip="logarithmic or linear epochs"),
        Binding("plus,equals_sign", "smoother", "smooth", tooltip="smoother losses"),
        Binding("minus", "rougher", "rougher", tooltip="less smooth losses"),
        Binding(
            "z",
            "zoom_in",
            "zoom",
            tooltip="curves of all epochs, after warmup, of the latest half, quarter",
        ),
        Binding("i", "toggle_steps", "steps", tooltip="show or hide losses within epochs"),
        Binding("f", "follow_log", "follow", tooltip="follow the end of the log, or stop"),
        Binding("slash", "search", "search", tooltip="search the log"),
        Binding("enter", "search_on", "next match", tooltip="the next match in the log"),
        Binding("N", "search_back", "previous match", tooltip="the previous match in the log"),
        Binding("left_square_bracket", "other_run(-1)", "previous run", tooltip="watch the previous run"),
        Binding("right_square_bracket", "other_run(1)", "next run", tooltip="watch the next run"),
    ]

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self._run = run
        self._view: RunView | None = None
        self._look = PictureOptions()
        self._zoomed: str | None = None
        self._search_text = ""
        self._brief_log = False

    def compose(self) -> ComposeResult:
        """Lay out head, charts and log."""
        yield Head(id="head")
        with Horizontal(id="body"):
            with Container(id="panes"):
                for pane in panes_with_picture():
                    yield PaneChart(id=pane.name, classes="pane")
            yield LogPane(id=LOG, classes="pane")
        yield Hints()

    def on_mount(self) -> None:
        """Apply the settings and draw."""
        super().on_mount()
        settings, app = self.focus_app.settings, self.focus_app
        self._look = PictureOptions(
            log_y=settings.log_y,
            smoothing=settings.smoothing,
            color=app.color,
            color_depth=app.color_depth,
            colormap=settings.colormap,
        )
        self._lay_out()
        self._draw()

    def on_resize(self) -> None:
        """Lay the panes out for the new size."""
        super().on_resize()
        self._lay_out()
        self._draw()

    def current_run(self) -> RunFolder | None:
        """Return the watched run."""
        return self._run

    def show_view(self, view: RunView) -> None:
        """Store a changed view of the watched run and redraw."""
        if view.summary.path == str(self._run.path):
            self._view = view
            self._draw()

    def show_load(self, load: MachineLoad) -> None:
        """Show the machine load in the head."""
        self._draw_head(load)

    def run_gone(self, run: RunFolder) -> None:
        """Close the screen if the watched run has disappeared."""
        if run == self._run:
            words = f"{visible(run.name)} no longer exists: its folder was removed or renamed"
            self.focus_app.say(words, severity="warning")
            super().action_back()

    def _lay_out(self) -> None:
        """Show the panes that fit the screen."""
        layout = lay_out(self.size.width, self.size.height, self._zoomed)
        for pane in panes_with_picture():
            self.query_one(f"#{pane.name}").display = pane.name in layout.pictures
        panes, log = self.query_one("#panes"), self.query_one(LogPane)
        panes.display = bool(layout.pictures)
        panes.styles.grid_size_columns = layout.columns
        panes.styles.grid_size_rows = max(1, -(-len(layout.pictures) // layout.columns))
        self.query_one("#body").styles.layout = "horizontal" if layout.log == "column" else "vertical"
        log.display = layout.log != "none"
        log.styles.width = layout.log_size if layout.log == "column" else "1fr"
        log.styles.height = layout.log_size if layout.log == "strip" else "1fr"
        self._brief_log = layout.log == "strip"
        self.set_focus(log if log.display else None)

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self._draw_head(self.focus_app.load)
        view = self._view or RunView(summary=RunSummary(name=self._run.name, path=str(self._run.path)))
        for pane in panes_with_picture():
            chart = self.query_one(f"#{pane.name}", PaneChart)
            if chart.display:
                shown = pane.draw(view, self._look) if self._view else READING
                chart.set_title(f"{pane.key} {shown.title}")
                chart.show(shown.draw, shown.key)
        self._draw_log(view)

    def _draw_log(self, view: RunView) -> None:
        log = self.query_one(LogPane)
        found = f"  / {visible(self._search_text)}" if self._search_text else ""
        log.set_title(f"{PANES[pane_number(LOG) - 1].key} Log{found}" + ("" if log.follow else "  (f follows)"))
        log.show(view.log, brief=self._brief_log)

    def _draw_head(self, load: MachineLoad | None) -> None:
        if self._view is None:
            lines = [Text(f" {visible(self._run.name)}: reading …", style="dim")]
        else:
            lines = head_lines(self._view, load, self.size.width, head_rows(self.size.height))
        self.query_one(Head).show(lines)

    def _change(self, **fields: object) -> None:
        self._look = replace(self._look, **fields)  # type: ignore[arg-type]
        self._draw()

    def action_pane(self, number: int) -> None:
        """Enlarge a pane, or show all again."""
        pane = PANES[number - 1].name
        self._zoomed = None if self._zoomed == pane else pane
        self._lay_out()
        self._draw()

    def action_back(self) -> None:
        """End the search; else show all panes again; else close the screen."""
        if self._search_text:
            self._search_text = ""
            self.query_one(LogPane).clear_match()
            self._draw()
        elif self._zoomed is not None:
            self.action_pane(pane_number(self._zoomed))
        else:
            super().action_back()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether an action is available."""
        match action:
            case "earlier" | "later" | "latest":
                return self._view is not None and len(sampled_epochs(self._view)) > 1
            case "search_on" | "search_back":
                return bool(self._search_text)
            case "zoom_in" | "toggle_log_y" | "toggle_log_x" | "smoother" | "rougher":
                return self._view is not None and len(self._view.epochs) > 1
            case "other_maps":
                return self._view is not None and bool(self._view.samples)
        return super().check_action(action, parameters)

    def _scrub(self, by: int) -> None:
        epochs = sampled_epochs(self._view) if self._view is not None else ()
        if not epochs:
            return
        at = len(epochs) - 1 if self._look.epoch not in epochs else epochs.index(self._look.epoch)
        at = max(0, min(at + by, len(epochs) - 1))
        self._change(epoch=None if at == len(epochs) - 1 else epochs[at])

    def action_earlier(self) -> None:
        """Show P(k) and maps of the previous sampled epoch."""
        self._scrub(-1)

    def action_later(self) -> None:
        """Show P(k) and maps of the next sampled epoch."""
        self._scrub(1)

    def action_latest(self) -> None:
        """Show P(k) and maps of the latest sampled epoch."""
        self._change(epoch=None)

    def action_other_maps(self, by: int) -> None:
        """Show the maps of the next or previous parameters first."""
        pairs = max(1, len(self._view.samples[-1].real)) if self._view and self._view.samples else 1
        self._change(pair=(self._look.pair + by) % pairs)

    def action_zoom_in(self) -> None:
        """Show the curves over the next shorter span of epochs; after the shortest, over all."""
        self._change(span=SPANS[(SPANS.index(self._look.span) + 1) % len(SPANS)])

    def action_toggle_log_y(self) -> None:
        """Switch the loss between logarithmic and linear axes."""
        self._change(log_y=not self._look.log_y)

    def action_toggle_log_x(self) -> None:
        """Switch the epochs between logarithmic and linear axes."""
        self._change(log_x=not self._look.log_x)

    def action_smoother(self) -> None:
        """Increase the smoothing of the losses."""
        later = [value for value in SMOOTHINGS if value > self._look.smoothing + 1e-9]
        self._change(smoothing=later[0] if later else SMOOTHINGS[-1])

    def action_rougher(self) -> None:
        """Decrease the smoothing of the losses."""
        before = [value for value in SMOOTHINGS if value < self._look.smoothing - 1e-9]
        self._change(smoothing=before[-1] if before else 0.0)

    def action_toggle_steps(self) -> None:
        """Show or hide the losses within epochs."""
        self._change(steps=not self._look.steps)

    def action_follow_log(self) -> None:
        """Follow the end of the log, or stop following."""
        self.query_one(LogPane).toggle_follow()
        self._draw()

    def action_search(self) -> None:
        """Ask for the text to search the log for."""

        def given(words: str | None) -> None:
            if words:
                self._search_text = words
                self.action_search_on()

        self.app.push_screen(TextDialog("Search the log for", self._search_text), given)

    def action_search_on(self) -> None:
        """Go to the next match."""
        self._find_match(backwards=False)

    def action_search_back(self) -> None:
        """Go to the previous match."""
        self._find_match(backwards=True)

    def _find_match(self, *, backwards: bool) -> None:
        if self._search_text and not self.query_one(LogPane).search(self._search_text, backwards=backwards):
            self.focus_app.say(f"{visible(self._search_text)} is not in the log", severity="warning")
        self._draw()

    def action_other_run(self, by: int) -> None:
        """Watch the next or previous run of the list."""
        rows: list[RunRow] = in_default_order(row for row in self.focus_app.rows if not row.labels.archived)
        paths = [row.summary.path for row in rows]
        if not paths:
            return
        at = paths.index(str(self._run.path)) if str(self._run.path) in paths else 0
        self._run = RunFolder(Path(paths[(at + by) % len(paths)]))
        self._view, self._look = self.focus_app.view_of(self._run), replace(self._look, epoch=None)
        self.refresh_feed()
        self._draw()
        self.refresh_hints()

    @on(events.ScreenResume)
    def screen_resumed(self) -> None:
        """Redraw with what changed while another screen was on top."""
        self._draw()
