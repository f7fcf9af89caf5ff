"""Home: every run in a table, and below it the run under the cursor."""

import time
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from focus_engine.errors import FocusError
from focus_engine.launch.summary import LIVE_STATES
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.screens.base import BaseScreen
from focus_tui.dashboard.screens.dialogs import Ask, Choose
from focus_tui.dashboard.settings import save_setting
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.dashboard.widgets.hints import Hints
from focus_tui.dashboard.widgets.run_table import RunTable
from focus_tui.terminal import cells, visible
from focus_tui.view.columns import BY_KEY, RunRow, columns_of, in_default_order
from focus_tui.view.machine import MachineLoad, machine_words
from focus_tui.view.query import parse_query, sort_rows
from focus_tui.view.run_view import RunView, phase_words, plateau_words
from focus_tui.view.words import GLYPHS, age, counted, duration, loss, percent, rate


class RunsScreen(BaseScreen):
    """The list of runs."""

    TITLE_WORDS = "Runs"
    HELP = (
        "Every run under the experiments folder. A filter keeps those that fit all its words:\n"
        "  state:running method:flow lr>=1e-4 name~vp tag:paper -state:lost archived:yes\n"
        "The state is proved from the worker's process, never assumed."
    )
    HINTS = (
        *("open_run", "start_run", "stop_run", "resume_run", "compare_runs", "filter", "new_run"),
        *("mark", "sample_run", "help", "quit_dashboard"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open_run", "watch"),
        Binding("slash", "filter", "filter"),
        Binding("c", "compare_runs", "compare", tooltip="compare the selected runs (space selects)"),
        Binding("o", "sort", "sort", tooltip="sort by a column"),
        Binding("O", "reverse", "reverse", tooltip="reverse the order"),
        Binding("F", "saved_filters", "filters", tooltip="saved filters"),
        Binding("C", "columns", "columns", tooltip="choose the columns"),
        Binding("p", "preview", "preview", tooltip="show or hide the preview"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._query_text = ""
        self._query = parse_query("")
        self._sort: tuple[str, bool] | None = None
        self._preview = True
        self._drawn_for = ""

    def compose(self) -> ComposeResult:
        """Lay out title, filter, table and preview."""
        yield Static(id="title")
        yield Input(placeholder="state:running lr>=1e-4 name~vp    enter keeps it, esc leaves", id="filter")
        yield Static(id="note")
        yield RunTable(id="table")
        with Horizontal(id="preview"):
            yield Static(id="facts")
            with Vertical(id="curve"):
                yield Chart(id="loss")
        yield Hints()

    def on_mount(self) -> None:
        """Take the settings."""
        super().on_mount()
        settings = self.focus_app.settings
        self.table.use_columns(settings.columns)
        if settings.sort:
            key, descending = settings.sort.removeprefix("-"), settings.sort.startswith("-")
            self._sort = (key, descending) if key in BY_KEY else None
        self.query_one("#filter").display = False
        self.query_one("#note").display = False
        self.table.focus()
        self._show_title()

    @property
    def table(self) -> RunTable:
        """The list."""
        return self.query_one(RunTable)

    def current_run(self) -> RunFolder | None:
        """Return the run under the cursor."""
        if not self.is_mounted or (row := self.table.current) is None:
            return None
        from pathlib import Path

        return RunFolder(Path(row.summary.path))

    def followed(self) -> tuple[RunFolder, ...]:
        """Follow the run under the cursor, while its preview is on the screen."""
        run = self.current_run()
        return (run,) if run is not None and self._preview else ()

    def show_rows(self, rows: tuple[RunRow, ...]) -> None:
        """Filter, sort and show."""
        self._show(rows)
        self._show_title()
        self._show_empty()
        self.refresh_hints()

    def _show(self, rows: tuple[RunRow, ...]) -> None:
        kept = [row for row in rows if self._query.matches(row)]
        self.table.sorted_by = self._sort
        self.table.show(in_default_order(kept) if self._sort is None else sort_rows(kept, *self._sort))

    def show_load(self, load: MachineLoad) -> None:  # noqa: ARG002  (the title takes it from the app)
        """Show what the machine does in the title."""
        self._show_title()

    def _show_title(self) -> None:
        rows = [row for row in self.focus_app.rows if not row.labels.archived]
        live = sum(row.summary.state in LIVE_STATES for row in rows)
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(" FOCUS ", style="bold reverse").append(f"  {visible(str(self.focus_app.root))}  ", style="dim")
        text.append(f"{len(rows)} runs" if len(rows) != 1 else "1 run")
        text.append(f"  {live} live", style="bold green" if live else "dim")
        if not self.focus_app.complete and self.focus_app.rows:
            text.append("  reading …", style="dim")
        if self._query_text:
            text.append(f"  / {self._query_text} ({len(self.table.rows)})", style="bold yellow")
        load = self.focus_app.load
        if load is not None:
            words = machine_words(load, None)
            room = self.size.width - text.cell_len - 2
            if cells(words) <= room:
                text.append(" " * (room - cells(words)) + words, style="dim")
        self.query_one("#title", Static).update(text)

    def _show_empty(self) -> None:
        """Teach, where there is nothing to list."""
        app = self.focus_app
        words = ""
        if app.problem:
            words = app.problem
        elif app.complete and not app.rows:
            words = (
                f"No experiments under {app.root} yet.\n\n"
                "  n                                      makes one here\n"
                "  focus new experiment_diffusion         makes one in a shell\n"
                "  focus demo                             shows the whole journey on a CPU\n"
                "  focus tui --demo                       replays a recorded training"
            )
        elif app.complete and not self.table.rows and not self._query_text:
            words = "All runs are archived: filter with  archived:yes  to see them."
        note = self.query_one("#note", Static)
        if bool(words) != note.display or words:
            note.update(Text(words))
        note.display = bool(words)
        self.query_one("#preview").display = self._preview and bool(self.table.rows)

    @on(RunTable.Moved)
    def moved(self) -> None:
        """Follow the run under the cursor."""
        self.refresh_feed()
        run = self.current_run()
        if run is not None and (view := self.focus_app.view_of(run)) is not None:
            self.show_view(view)
        elif (row := self.table.current) is not None:
            self._drawn_for = ""
            self.query_one("#facts", Static).update(self._facts(RunView(summary=row.summary)))
        self.refresh_hints()

    @on(RunTable.Looked)
    def looked(self) -> None:
        """Ask for the curves of the rows on the screen."""
        self.focus_app.feed.look_at([row.summary.path for row in self.table.visible_rows])

    @on(RunTable.Opened)
    def opened(self) -> None:
        """Watch the run."""
        self.action_open_run()

    @on(RunTable.SortAsked)
    def sort_asked(self, event: RunTable.SortAsked) -> None:
        """Sort by the heading; again turns the order round."""
        before = self._sort
        self._sort = (event.key, not before[1]) if before is not None and before[0] == event.key else (event.key, False)
        self.show_rows(self.focus_app.rows)

    def show_view(self, view: RunView) -> None:
        """Draw the preview."""
        row = self.table.current
        if row is None or view.summary.path != row.summary.path or not self._preview:
            return
        self.query_one("#facts", Static).update(self._facts(view))
        app, epochs = self.focus_app, [event.epoch for event in view.epochs]
        key = (view.summary.path, len(epochs), epochs[-1:], view.resumed_after, view.early_stopped, app.color_depth)

        def draw(width: int, height: int) -> str:
            from focus_tui.charts.curves import draw_losses

            if not epochs:
                return "no epoch yet"
            return draw_losses(
                epochs,
                view.values("train_loss"),
                view.values("val_loss"),
                width=width,
                height=height,
                color=app.color,
                warmup_epochs=view.warmup_epochs,
                cuts=view.cuts,
                best_epoch=view.best_epoch,
                resumed_after=view.resumed_after,
                early_stopped=view.early_stopped,
            )

        self.query_one("#loss", Chart).show(draw, key)

    def _facts(self, view: RunView) -> Text:
        """The run under the cursor in words."""
        s = view.summary
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{GLYPHS[s.state][0]} {visible(s.name)}", style="bold")
        text.append(f"  {phase_words(s, view.warmup_epochs)}\n")
        best = "" if s.best_val_loss is None else f"   best {loss(s.best_val_loss)} @ {s.best_epoch}"
        error = "-" if s.pk_error is None else percent(s.pk_error)
        lines = [
            f"epoch {counted(s.epoch, s.num_epochs)}   LR {rate(s.lr)}",
            f"val {loss(s.val_loss)}{best}",
            f"P(k) error {error}",
            plateau_words(view) if view.epochs and s.state in LIVE_STATES else "",
            "" if s.eta_seconds is None else f"{duration(s.eta_seconds)} left, if all epochs run",
            visible(s.reason or ""),
            "" if s.updated is None else f"last word {age(s.updated, time.time())} ago",
            "s starts it" if s.state == "created" else "",
        ]
        text.append("\n".join(line for line in lines if line))
        text.no_wrap = False
        return text

    def run_gone(self, run: RunFolder) -> None:  # noqa: ARG002  (the list tells of all)
        """Look at the list again, for a folder vanished."""
        self.focus_app.feed.refresh()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what applies."""
        if action == "open_run":
            return self.is_mounted and bool(self.table.rows)
        if action == "compare_runs":
            return self.is_mounted and len(self.table.marked) >= 2
        return super().check_action(action, parameters)

    def action_back(self) -> None:
        """Leave the filter's line; then drop the filter."""
        line = self.query_one("#filter", Input)
        if line.display:
            line.display = False
            self.table.focus()
        elif self._query_text:
            self._set_query("")
        elif self.table.marked:
            self.table.marked.clear()
            self.table.refresh()
            self.refresh_hints()

    def action_open_run(self) -> None:
        """Watch the run under the cursor."""
        if (run := self.current_run()) is not None:
            self.focus_app.open_run(run)

    def action_compare_runs(self) -> None:
        """Compare the selected runs."""
        from pathlib import Path

        self.focus_app.open_compare(tuple(RunFolder(Path(path)) for path in self.table.marked))

    @on(RunTable.Marked)
    def marked(self) -> None:
        """Say how many are selected."""
        self.refresh_hints()

    def action_filter(self) -> None:
        """Write a filter."""
        line = self.query_one("#filter", Input)
        line.display = True
        line.value = self._query_text
        line.focus()

    @on(Input.Changed, "#filter")
    def filter_changed(self, event: Input.Changed) -> None:
        """Filter as it is typed; a filter that nothing fits, or that is wrong, keeps the old view and says so."""
        self._try_query(event.value)

    @on(Input.Submitted, "#filter")
    def filter_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        if self._try_query(event.value):
            event.input.display = False
            self.table.focus()

    def _try_query(self, text: str) -> bool:
        line = self.query_one("#filter", Input)
        try:
            query = parse_query(text)
        except FocusError as error:
            line.border_subtitle = str(error)
            return False
        if text.strip() and not any(query.matches(row) for row in self.focus_app.rows):
            line.border_subtitle = "no run fits: the list stays as it was"
            return False
        line.border_subtitle = ""
        self._query, self._query_text = query, text.strip()
        self.show_rows(self.focus_app.rows)
        return True

    def _set_query(self, text: str) -> None:
        self._query, self._query_text = parse_query(text), text
        self.show_rows(self.focus_app.rows)

    def action_sort(self) -> None:
        """Ask for the column to sort by."""
        choices = [("", "live ones first, then the latest"), *((key, column.title) for key, column in BY_KEY.items())]

        def chosen(key: str | None) -> None:
            if key is not None:
                self._sort = (key, False) if key else None
                self.show_rows(self.focus_app.rows)

        self.app.push_screen(Choose("Sort by", choices, self._sort[0] if self._sort else ""), chosen)

    def action_reverse(self) -> None:
        """Turn the order round."""
        if self._sort is not None:
            self._sort = (self._sort[0], not self._sort[1])
            self.show_rows(self.focus_app.rows)

    def action_saved_filters(self) -> None:
        """Choose a saved filter, or save the one that is set."""
        saved = dict(self.focus_app.settings.filters)
        choices = [(query, f"{name}: {query}") for name, query in saved.items()]
        if self._query_text:
            choices.append(("\0save", f"save this one: {self._query_text}"))
        if not choices:
            self.focus_app.say("No saved filters yet: set one with / and save it here with F.")
            return

        def named(name: str | None) -> None:
            if name:
                from dataclasses import replace

                filters = {**saved, name: self._query_text}
                self.focus_app.settings = replace(self.focus_app.settings, filters=filters)
                self._save("filters", filters)

        def chosen(query: str | None) -> None:
            if query == "\0save":
                self.app.push_screen(Ask("Name of this filter"), named)
            elif query is not None:
                self._set_query(query)

        self.app.push_screen(Choose("Saved filters", choices, self._query_text), chosen)

    def action_columns(self) -> None:
        """Choose the columns."""

        def problem(text: str) -> str | None:
            try:
                columns_of(text.replace(",", " ").split())
            except FocusError as error:
                return str(error)
            return None

        def given(text: str | None) -> None:
            if text is not None:
                keys = tuple(dict.fromkeys(text.replace(",", " ").split()))
                self.table.use_columns(keys)
                self._save("columns", list(keys))

        now = " ".join(self.focus_app.settings.columns)
        self.app.push_screen(Ask("Columns, in order", now, problem, "there are: " + " ".join(BY_KEY)), given)

    def _save(self, key: str, value: object) -> None:
        try:
            save_setting(key, value)
        except (FocusError, OSError) as error:
            self.focus_app.say(f"kept for this session only: {error}", severity="warning")

    def action_preview(self) -> None:
        """Show or hide the preview."""
        self._preview = not self._preview
        self._show_empty()
        self.refresh_feed()
