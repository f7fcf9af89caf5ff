"""The Runs screen: a table of all runs, and a preview of the run under the cursor."""

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
from focus_tui.dashboard.screens.dialogs import ChoiceDialog, TextDialog
from focus_tui.dashboard.settings import save_setting
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.dashboard.widgets.hints import Hints
from focus_tui.dashboard.widgets.run_table import RunTable
from focus_tui.terminal import cells, visible
from focus_tui.view.columns import BY_KEY, RunRow, columns_of, in_default_order
from focus_tui.view.machine import MachineLoad, machine_words
from focus_tui.view.query import parse_query, sort_rows
from focus_tui.view.run_view import RunView, phase_words, plateau_words
from focus_tui.view.words import GLYPHS, age, counted, duration, loss, rate, with_perfect


class RunsScreen(BaseScreen):
    """The list of runs."""

    TITLE_WORDS = "Runs"
    HELP = (
        "Every run under the experiments folder. A filter keeps the runs that match all its words:\n"
        "  state:running method:flow lr>=1e-4 name~vp tag:paper -state:lost archived:yes\n"
        "The state of a run is checked against its worker process."
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
        """Apply the settings and show the title."""
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
        """The table of runs."""
        return self.query_one(RunTable)

    def current_run(self) -> RunFolder | None:
        """Return the run under the cursor."""
        if not self.is_mounted or (row := self.table.current) is None:
            return None
        from pathlib import Path

        return RunFolder(Path(row.summary.path))

    def followed(self) -> tuple[RunFolder, ...]:
        """Return the run under the cursor if the preview is shown."""
        run = self.current_run()
        return (run,) if run is not None and self._preview else ()

    def show_rows(self, rows: tuple[RunRow, ...]) -> None:
        """Filter, sort and show the rows."""
        self._show(rows)
        self._show_title()
        self._show_empty()
        self.refresh_hints()

    def _show(self, rows: tuple[RunRow, ...]) -> None:
        kept = [row for row in rows if self._query.matches(row)]
        self.table.sorted_by = self._sort
        self.table.show(in_default_order(kept) if self._sort is None else sort_rows(kept, *self._sort))

    def show_load(self, load: MachineLoad) -> None:  # noqa: ARG002  (read from the app)
        """Show the machine load in the title."""
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
        """Show why the list is empty and what to do, if it is."""
        app = self.focus_app
        words = ""
        if app.problem:
            words = app.problem
        elif app.complete and not app.rows:
            words = (
                f"No experiments under {app.root} yet.\n\n"
                "  n                                      creates one here\n"
                "  focus new experiment_diffusion         creates one in a shell\n"
                "  focus demo                             runs a small example on a CPU\n"
                "  focus tui --demo                       replays a recorded training"
            )
        elif app.complete and not self.table.rows and not self._query_text:
            words = "All runs are archived: filter with  archived:yes  to see them."
        note = self.query_one("#note", Static)
        if bool(words) != note.display or words:
            note.update(Text(words))
        note.display = bool(words)
        self.query_one("#preview").display = self._preview and bool(self.table.rows)

    @on(RunTable.CursorMoved)
    def moved(self) -> None:
        """Follow and preview the run under the cursor."""
        self.refresh_feed()
        run = self.current_run()
        if run is not None and (view := self.focus_app.view_of(run)) is not None:
            self.show_view(view)
        elif (row := self.table.current) is not None:
            self._drawn_for = ""
            self.query_one("#facts", Static).update(self._facts(RunView(summary=row.summary)))
        self.refresh_hints()

    @on(RunTable.VisibleRowsChanged)
    def looked(self) -> None:
        """Request the curves of the visible rows."""
        self.focus_app.feed.set_visible([row.summary.path for row in self.table.visible_rows])

    @on(RunTable.RunOpened)
    def opened(self) -> None:
        """Open the Watch screen of the run."""
        self.action_open_run()

    @on(RunTable.SortRequested)
    def sort_asked(self, event: RunTable.SortRequested) -> None:
        """Sort by the clicked heading; a second click reverses the order."""
        before = self._sort
        self._sort = (event.key, not before[1]) if before is not None and before[0] == event.key else (event.key, False)
        self.show_rows(self.focus_app.rows)

    def show_view(self, view: RunView) -> None:
        """Draw the preview of the run under the cursor."""
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
        """Return the text of the preview."""
        s = view.summary
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{GLYPHS[s.state][0]} {visible(s.name)}", style="bold")
        text.append(f"  {phase_words(s, view.warmup_epochs)}\n")
        best = "" if s.best_val_loss is None else f"   best {loss(s.best_val_loss)} @ {s.best_epoch}"
        lines = [
            f"epoch {counted(s.epoch, s.num_epochs)}   LR {rate(s.lr)}",
            f"val {loss(s.val_loss)}{best}",
            "P(k) error " + "".join(with_perfect(s.pk_error, s.pk_error_std, s.pk_error_null)),
            plateau_words(view) if view.epochs and s.state in LIVE_STATES else "",
            "" if s.eta_seconds is None else f"{duration(s.eta_seconds)} left, if all epochs run",
            visible(s.reason or ""),
            "" if s.updated is None else f"last event {age(s.updated, time.time())} ago",
            "s starts it" if s.state == "created" else "",
        ]
        text.append("\n".join(line for line in lines if line))
        text.no_wrap = False
        return text

    def run_gone(self, run: RunFolder) -> None:  # noqa: ARG002  (the whole list is read again)
        """Refresh the list after a folder has disappeared."""
        self.focus_app.feed.refresh()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether an action is available."""
        if action == "open_run":
            return self.is_mounted and bool(self.table.rows)
        if action == "compare_runs":
            return self.is_mounted and len(self.table.marked) >= 2
        return super().check_action(action, parameters)

    def action_back(self) -> None:
        """Close the filter input; else clear the filter; else clear the selection."""
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
        """Open the Watch screen of the run under the cursor."""
        if (run := self.current_run()) is not None:
            self.focus_app.open_run(run)

    def action_compare_runs(self) -> None:
        """Open the Compare screen of the selected runs."""
        from pathlib import Path

        self.focus_app.open_compare(tuple(RunFolder(Path(path)) for path in self.table.marked))

    @on(RunTable.SelectionChanged)
    def marked(self) -> None:
        """Update the footer, which offers to compare two or more runs."""
        self.refresh_hints()

    def action_filter(self) -> None:
        """Open the filter input."""
        line = self.query_one("#filter", Input)
        line.display = True
        line.value = self._query_text
        line.focus()

    @on(Input.Changed, "#filter")
    def filter_changed(self, event: Input.Changed) -> None:
        """Filter while typing; an invalid filter, or one without matches, leaves the list unchanged and says so."""
        self._try_query(event.value)

    @on(Input.Submitted, "#filter")
    def filter_submitted(self, event: Input.Submitted) -> None:
        """Close the filter input if the filter is valid."""
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
            line.border_subtitle = "no run matches: the list is unchanged"
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
        choices = [("", "live runs first, then the latest"), *((key, column.title) for key, column in BY_KEY.items())]

        def chosen(key: str | None) -> None:
            if key is not None:
                self._sort = (key, False) if key else None
                self.show_rows(self.focus_app.rows)

        self.app.push_screen(ChoiceDialog("Sort by", choices, self._sort[0] if self._sort else ""), chosen)

    def action_reverse(self) -> None:
        """Reverse the order."""
        if self._sort is not None:
            self._sort = (self._sort[0], not self._sort[1])
            self.show_rows(self.focus_app.rows)

    def action_saved_filters(self) -> None:
        """Choose a saved filter, or save the current one."""
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
                self.app.push_screen(TextDialog("Name of this filter"), named)
            elif query is not None:
                self._set_query(query)

        self.app.push_screen(ChoiceDialog("Saved filters", choices, self._query_text), chosen)

    def action_columns(self) -> None:
        """Ask for the columns to show."""

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
        self.app.push_screen(TextDialog("Columns, in order", now, problem, "available: " + " ".join(BY_KEY)), given)

    def _save(self, key: str, value: object) -> None:
        try:
            save_setting(key, value)
        except (FocusError, OSError) as error:
            self.focus_app.say(f"the setting applies to this session only: {error}", severity="warning")

    def action_preview(self) -> None:
        """Show or hide the preview."""
        self._preview = not self._preview
        self._show_empty()
        self.refresh_feed()
