"""The base of all full screens: keys that act on a run, footer, help, and updates from the feed."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.screen import Screen

from focus_engine.launch.summary import LIVE_STATES, RunSummary
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.host import Host
from focus_tui.dashboard.removed_widgets import forget_removed_widgets
from focus_tui.dashboard.screens.dialogs import Help
from focus_tui.dashboard.widgets.hints import Hints
from focus_tui.dashboard.widgets.palette import ScreenActions
from focus_tui.view.columns import RunRow
from focus_tui.view.machine import MachineLoad
from focus_tui.view.run_view import RunView

STARTABLE = ("created", "failed", "lost", "stopped")
RESUMABLE = ("stopped", "failed", "lost", "finished", "early_stopped")
STOPPABLE = (*LIVE_STATES, "unreachable")


def named(binding: BindingType) -> BindingType:
    """Return a binding with its action name as id (`stop_run`, `pane_1`), by which settings can change its keys."""
    if not isinstance(binding, Binding):
        return binding
    return replace(binding, id=binding.action.replace("(", "_").replace(")", ""))


class BaseScreen(Screen[None]):
    """A full screen of the dashboard.

    Updates arrive through `show_rows`, `show_view` and `show_load`; `followed` returns the runs that the feed follows.
    """

    TITLE_WORDS: ClassVar[str] = ""
    HELP: ClassVar[str] = ""
    HINTS: ClassVar[tuple[str, ...]] = ()
    BINDINGS: ClassVar[list[BindingType]] = [
        named(Binding("escape", "back", "back")),
        named(Binding("s", "start_run", "start")),
        named(Binding("S", "queue_run", "queue", tooltip="start or resume when its device is free")),
        named(Binding("x", "stop_run", "stop")),
        named(Binding("r", "resume_run", "resume")),
        named(Binding("g", "sample_run", "sample")),
        named(Binding("n", "new_run", "new")),
        named(Binding("e", "edit_config", "edit")),
        named(Binding("t", "edit_tags", "tags")),
        named(Binding("T", "edit_note", "note")),
        named(Binding("a", "archive_run", "archive")),
        named(Binding("u", "undo", "undo")),
        named(Binding("w", "export", "export")),
        named(Binding("D", "doctor", "doctor", tooltip="check this machine for training, with remedies")),
        named(Binding("question_mark", "help", "help")),
        named(Binding("q", "quit_dashboard", "quit")),
    ]

    COMMANDS = Screen.COMMANDS | {ScreenActions}

    def __init_subclass__(cls, **keywords: Any) -> None:  # noqa: ANN401  (textual's)
        cls.BINDINGS = [named(binding) for binding in cls.__dict__.get("BINDINGS", [])]
        super().__init_subclass__(**keywords)

    @property
    def focus_app(self) -> Host:
        """The app, typed as the host of this screen."""
        return cast("Host", self.app)

    def show_rows(self, rows: tuple[RunRow, ...]) -> None:
        """Show the rows of all runs."""

    def show_view(self, view: RunView) -> None:
        """Show the changed view of a followed run."""

    def show_load(self, load: MachineLoad) -> None:
        """Show the machine load."""

    def run_gone(self, run: RunFolder) -> None:
        """Handle a followed run whose folder no longer exists."""

    def followed(self) -> tuple[RunFolder, ...]:
        """Return the runs whose views this screen needs."""
        run = self.current_run()
        return () if run is None else (run,)

    def current_run(self) -> RunFolder | None:
        """Return the run that the keys act on."""
        return None

    def current_summary(self) -> RunSummary | None:
        """Return the summary of that run."""
        run = self.current_run()
        return None if run is None else self.focus_app.summary_of(run)

    def refresh_feed(self) -> None:
        """Make the feed follow the runs of this screen."""
        if self.is_active:
            self.focus_app.feed.follow(self.followed())

    def refresh_hints(self) -> None:
        """Show the available keys in the footer."""
        for hints in self.query(Hints):
            hints.show(self, self.HINTS)

    def on_mount(self) -> None:
        """Show the footer once the screen has its size."""
        self.call_after_refresh(self.refresh_hints)

    def on_resize(self) -> None:
        """Fit the footer to the new width."""
        self.call_after_refresh(self.refresh_hints)

    def on_screen_resume(self) -> None:
        """Show what changed while another screen was on top."""
        if not self.is_active:  # another screen was pushed immediately
            return
        forget_removed_widgets()
        self.show_rows(self.focus_app.rows)
        self.refresh_feed()
        for run in self.followed():
            if (view := self.focus_app.view_of(run)) is not None:
                self.show_view(view)
        self.call_after_refresh(self.refresh_hints)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  (textual's)
        """Return whether an action is available; unavailable ones are not offered."""
        summary = self.current_summary()
        state = None if summary is None else summary.state
        match action:
            case "start_run":
                return state == "created" or (state in STARTABLE and not self._has_checkpoints())
            case "resume_run":
                return state in RESUMABLE
            case "queue_run":
                return state == "created" or state in {*STARTABLE, *RESUMABLE}
            case "stop_run":
                return state in STOPPABLE
            case "sample_run" | "edit_config" | "edit_tags" | "edit_note" | "archive_run" | "export":
                return state is not None
            case "undo":
                return self.focus_app.can_undo
        return True

    def _has_checkpoints(self) -> bool:
        run = self.current_run()
        return run is not None and run.has_checkpoints()

    def action_back(self) -> None:
        """Return to the screen below."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()

    def action_help(self) -> None:
        """Show the help text and keys of this screen."""
        self.app.push_screen(Help(f"{self.TITLE_WORDS}: keys", self.HELP, list(self._keys())))

    def _keys(self) -> Iterable[tuple[str, str]]:
        said: dict[str, list[str]] = {}
        for key, entry in self.active_bindings.items():
            binding = entry.binding
            if binding.description and not binding.action.startswith(("app.", "screen.", "command_palette")):
                said.setdefault(binding.tooltip or binding.description, []).append(key)
        yield from ((",".join(keys), words) for words, keys in said.items())
        yield "ctrl+p", "every action by its name, themes"

    def action_start_run(self) -> None:
        """Start the run."""
        if (run := self.current_run()) is not None:
            self.focus_app.start_run(run)

    def action_resume_run(self) -> None:
        """Resume the run from its last checkpoint."""
        if (run := self.current_run()) is not None:
            self.focus_app.start_run(run, resume=True)

    def action_queue_run(self) -> None:
        """Queue the run; it starts, or resumes from its last checkpoint, when its device is free."""
        if (run := self.current_run()) is not None:
            self.focus_app.start_run(run, resume=run.has_checkpoints(), queue=True)

    def action_stop_run(self) -> None:
        """Ask when to stop the run, then request the stop."""
        if (run := self.current_run()) is not None:
            self.focus_app.stop_run(run)

    def action_sample_run(self) -> None:
        """Open the Sample screen of the run."""
        if (run := self.current_run()) is not None:
            self.focus_app.open_sample(run)

    def action_new_run(self) -> None:
        """Open the New screen."""
        self.focus_app.open_new()

    def action_edit_config(self) -> None:
        """Open the config.yaml of the run in $EDITOR."""
        if (run := self.current_run()) is not None:
            self.focus_app.edit_config(run)

    def action_edit_tags(self) -> None:
        """Ask for the tags of the run."""
        if (run := self.current_run()) is not None:
            self.focus_app.edit_tags(run)

    def action_edit_note(self) -> None:
        """Ask for the note on the run."""
        if (run := self.current_run()) is not None:
            self.focus_app.edit_note(run)

    def action_archive_run(self) -> None:
        """Archive the run, or restore it."""
        if (run := self.current_run()) is not None:
            self.focus_app.archive_run(run)

    def action_undo(self) -> None:
        """Undo the last change."""
        self.focus_app.undo_last()

    def action_export(self) -> None:
        """Ask what to export from the run."""
        if (run := self.current_run()) is not None:
            self.focus_app.export_run(run)

    def action_doctor(self) -> None:
        """Check this machine, and the config and data of the current run."""
        self.focus_app.open_doctor(self.current_run())

    def action_quit_dashboard(self) -> None:
        """Quit; runs continue."""
        self.focus_app.leave()
