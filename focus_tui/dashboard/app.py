"""The dashboard app: passes what the feed reads to the screens, and carries out their actions on runs.

It never imports torch or matplotlib; work that needs them runs in a separate process. Killing the dashboard at any
moment is safe, because workers and jobs do not depend on it.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.theme import BUILTIN_THEMES, Theme

from focus_engine.errors import FocusError
from focus_engine.launch.summary import LIVE_STATES, RunSummary
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard import control
from focus_tui.dashboard.feed import DiskFeed, Feed, MachineRead, RunGone, RunRead, RunsRead
from focus_tui.dashboard.jobs import ComparisonJob, SamplingJob
from focus_tui.dashboard.screens.base import BaseScreen
from focus_tui.dashboard.screens.dialogs import ChoiceDialog, TextDialog
from focus_tui.dashboard.screens.runs import RunsScreen
from focus_tui.dashboard.settings import LoadedSettings, Settings, load_settings, save_setting
from focus_tui.terminal import ColorDepth
from focus_tui.view.columns import RunRow
from focus_tui.view.machine import MachineLoad
from focus_tui.view.run_view import RunView

FOCUS_DARK = Theme(
    name="focus-dark",
    primary="#7aa2f7",
    secondary="#56b4e9",
    accent="#e69f00",
    foreground="#d8dee9",
    background="#0f1218",
    surface="#141923",
    panel="#1c2330",
    success="#2fb08a",
    warning="#e69f00",
    error="#e0633c",
    dark=True,
)
FOCUS_LIGHT = Theme(
    name="focus-light",
    primary="#2456b3",
    secondary="#0072b2",
    accent="#b35c00",
    foreground="#1c2330",
    background="#fbfbf8",
    surface="#f3f3ee",
    panel="#e6e6df",
    success="#00794f",
    warning="#a86400",
    error="#b53a12",
    dark=False,
)
MOST_VIEWS = 4
"""Views of runs that are kept though no screen shows them: each takes up to about 10 MB and is read again if shown."""


def colours_of_terminal() -> tuple[bool, ColorDepth]:
    """Return whether charts use colour (not with NO_COLOR), and the colour depth of maps; None means greyscale."""
    if os.environ.get("NO_COLOR"):
        return False, None
    if os.environ.get("COLORTERM") in {"truecolor", "24bit"} or os.environ.get("TEXTUAL_COLOR_SYSTEM") == "truecolor":
        return True, "truecolor"
    term = os.environ.get("TERM", "")
    return True, "256" if "256" in term or not term else "16"


def action_names() -> frozenset[str]:
    """Return the names of all actions, whose keys the settings can change."""
    from focus_tui.dashboard.screens.compare import CompareScreen
    from focus_tui.dashboard.screens.new import NewScreen
    from focus_tui.dashboard.screens.sample import SampleScreen
    from focus_tui.dashboard.screens.watch import WatchScreen

    screens = (BaseScreen, RunsScreen, WatchScreen, CompareScreen, SampleScreen, NewScreen)
    bindings = (binding for screen in screens for binding in screen.BINDINGS)
    return frozenset(binding.id for binding in bindings if isinstance(binding, Binding) and binding.id)


class FocusApp(App[None]):
    """`focus tui`."""

    CSS_PATH = "focus.tcss"
    TITLE = "FOCUS"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "leave", "quit", show=False, priority=True)]

    def __init__(
        self,
        root: Path,
        *,
        feed: Feed | None = None,
        settings: LoadedSettings | None = None,
        first: RunFolder | None = None,
        recording: bool = False,
    ) -> None:
        super().__init__()
        loaded = self._load_settings() if settings is None else settings
        self.root = root
        self.settings: Settings = loaded.settings
        self.feed: Feed = DiskFeed(root, self.settings.refresh) if feed is None else feed
        self.rows: tuple[RunRow, ...] = ()
        self.complete = False
        self.problem = ""
        self.load: MachineLoad | None = None
        self.color, self.color_depth = colours_of_terminal()
        self.jobs: dict[Path, SamplingJob] = {}
        self.comparisons: dict[frozenset[Path], ComparisonJob] = {}
        self._views: dict[str, RunView] = {}
        self._undo: list[tuple[str, Callable[[], str]]] = []
        self._setting_warnings = loaded.warnings
        self._first = first
        self._recording = recording
        self._live: frozenset[str] = frozenset()
        self._stalled: frozenset[str] = frozenset()

    @property
    def can_undo(self) -> bool:
        """Whether an action can be undone."""
        return bool(self._undo)

    def _load_settings(self) -> LoadedSettings:
        """Read the settings; import the screens for their action names only if the file sets keys."""
        themes = [*BUILTIN_THEMES, FOCUS_DARK.name, FOCUS_LIGHT.name]
        loaded = load_settings(themes=themes)
        return load_settings(themes=themes, actions=action_names()) if loaded.settings.keys else loaded

    def _save_theme(self, theme: Theme) -> None:
        """Save a theme chosen in the palette."""
        if theme.name != self.settings.theme:
            self.settings = replace(self.settings, theme=theme.name)
            try:
                save_setting("theme", theme.name)
            except (FocusError, OSError) as error:
                self.say(f"the theme applies to this session only: {error}", severity="warning")

    def on_mount(self) -> None:
        """Show the list of runs and start the feed."""
        for theme in (FOCUS_DARK, FOCUS_LIGHT):
            self.register_theme(theme)
        self.theme = self.settings.theme
        self.set_keymap({action: ",".join(keys) for action, keys in self.settings.keys.items()})
        self.theme_changed_signal.subscribe(self, self._save_theme)
        self.push_screen(RunsScreen())
        for warning in self._setting_warnings:
            self.say(warning, severity="warning")
        if self._first is not None:
            self.open_run(self._first)
        self.feed.start(self.post_message)

    def on_unmount(self) -> None:
        """Stop the feed."""
        self.feed.stop()

    def on_runs_read(self, message: RunsRead) -> None:
        """Store the rows and show them."""
        self._announce_ended(message.rows)
        self.rows, self.complete, self.problem = message.rows, message.complete, message.problem
        if (screen := self._top()) is not None:
            screen.show_rows(self.rows)

    def on_run_read(self, message: RunRead) -> None:
        """Store the view of a run and show it."""
        path = message.view.summary.path
        before = self._views.pop(path, None)
        self._views[path] = message.view
        self._drop_old_views()
        if (screen := self._top()) is not None:
            screen.show_view(message.view)
            if before is None or before.summary.state != message.view.summary.state:
                screen.refresh_hints()

    def _drop_old_views(self) -> None:
        """Drop the oldest views beyond `MOST_VIEWS` that no screen shows."""
        if len(self._views) <= MOST_VIEWS:
            return
        screens = [screen for screen in self.screen_stack if isinstance(screen, BaseScreen)]
        shown = {str(run.path) for screen in screens for run in screen.followed()}
        for path in [path for path in self._views if path not in shown][: len(self._views) - MOST_VIEWS]:
            del self._views[path]

    def on_run_gone(self, message: RunGone) -> None:
        """Drop a run whose folder has disappeared."""
        self._views.pop(str(message.run.path), None)
        if (screen := self._top()) is not None:
            screen.run_gone(message.run)

    def on_machine_read(self, message: MachineRead) -> None:
        """Store the machine load and show it."""
        self.load = message.load
        if (screen := self._top()) is not None:
            screen.show_load(message.load)

    def _top(self) -> BaseScreen | None:
        """Return the topmost full screen, below any dialog."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, BaseScreen)), None)

    def _announce_ended(self, rows: tuple[RunRow, ...]) -> None:
        """Ring the bell and show a message when a live run has ended or hangs."""
        alive = frozenset(row.summary.path for row in rows if row.summary.state in LIVE_STATES)
        for row in rows:
            if row.summary.path in self._live - alive:
                words = f"{row.summary.name}: {row.summary.state.replace('_', ' ')}. {row.summary.reason or ''}"
                self.bell()
                self.say(words, severity="warning" if row.summary.state in {"failed", "lost"} else "information")
        stalled = frozenset(row.summary.path for row in rows if row.summary.state == "stalled")
        for row in rows:
            if row.summary.path in stalled - self._stalled:
                self.bell()
                self.say(f"{row.summary.name}: stalled. {row.summary.reason or ''}", severity="warning")
        self._live, self._stalled = alive, stalled

    def view_of(self, run: RunFolder) -> RunView | None:
        """Return the last view of a run; None if it was never followed."""
        return self._views.get(str(run.path))

    def summary_of(self, run: RunFolder) -> RunSummary | None:
        """Return the summary of a run, as last read."""
        path = str(run.path)
        if (view := self._views.get(path)) is not None and run in (self._top() or RunsScreen()).followed():
            return view.summary
        return next((row.summary for row in self.rows if row.summary.path == path), None)

    def say(self, words: str, *, severity: str = "information") -> None:
        """Show a message for 8 s, or 15 s for a warning or an error."""
        self.notify(words, severity=severity, markup=False, timeout=8 if severity == "information" else 15)  # type: ignore[arg-type]

    def open_screen(self, screen: BaseScreen) -> None:
        """Push a full screen."""
        self.push_screen(screen)

    def open_run(self, run: RunFolder) -> None:
        """Open the Watch screen of a run."""
        from focus_tui.dashboard.screens.watch import WatchScreen

        self.open_screen(WatchScreen(run))

    def open_compare(self, runs: tuple[RunFolder, ...]) -> None:
        """Open the Compare screen of runs."""
        from focus_tui.dashboard.screens.compare import CompareScreen

        self.open_screen(CompareScreen(runs))

    def open_sample(self, run: RunFolder) -> None:
        """Open the Sample screen of a run."""
        if self._refuse_recording():
            return
        from focus_tui.dashboard.screens.sample import SampleScreen

        self.open_screen(SampleScreen(run))

    def open_doctor(self, run: RunFolder | None) -> None:
        """Show the checks of `focus doctor`."""
        from focus_tui.dashboard.screens.doctor import Doctor

        self.push_screen(Doctor(self.root, run))

    def open_new(self, source: RunFolder | None = None) -> None:
        """Open the New screen; `source` is the run to copy."""
        if self._refuse_recording():
            return
        from focus_tui.dashboard.screens.new import NewScreen

        self.open_screen(NewScreen(source))

    def edit_config(self, run: RunFolder) -> None:
        """Open the config of a run in $EDITOR."""
        if self._refuse_recording():
            return
        from focus_tui.dashboard.screens.new import edit_config

        edit_config(self, run)

    def in_background(self, work: Callable[[], control.ActionResult]) -> None:
        """Run `work` in a thread and show its result; FocusError and OSError are shown as messages."""

        def run() -> None:
            try:
                done = work()
            except (FocusError, OSError) as error:
                self.call_from_thread(self.say, str(error), severity="error")
            else:
                self.call_from_thread(self._report_result, done)
            self.feed.refresh()

        self.run_worker(run, thread=True, exit_on_error=False)

    def _report_result(self, done: control.ActionResult) -> None:
        if done.undo is not None:
            self._undo.append((done.words, done.undo))
        told = done.undo is None or done.offers_undo
        self.say(done.words if told else f"{done.words}\nu undoes it")
        if (screen := self._top()) is not None:
            screen.refresh_hints()

    def _refuse_recording(self) -> bool:
        """Return whether a recording is shown, which cannot be trained, and tell the user so."""
        if self._recording:
            self.say("this is a recording: create a run of your own with  focus new NAME --template small")
        return self._recording

    def start_run(self, run: RunFolder, *, resume: bool = False, queue: bool = False) -> None:
        """Start or resume a run; the worker needs a few seconds to report."""
        if self._refuse_recording():
            return
        self.say(f"{'queueing' if queue else 'resuming' if resume else 'starting'} {run.name} …")
        self.in_background(lambda: control.start(run, resume=resume, queue=queue))

    def stop_run(self, run: RunFolder) -> None:
        """Ask when to stop a run, then request the stop."""
        summary = self.summary_of(run)
        epoch = "the current epoch" if summary is None else f"epoch {(summary.epoch or 0) + 1}"
        choices = [
            ("epoch", f"after {epoch}: nothing is lost, can be withdrawn"),
            ("now", "now, within a step, with a checkpoint"),
            ("", "leave it running"),
        ]

        def chosen(when: str | None) -> None:
            if when == "epoch":
                self.in_background(lambda: control.stop(run, "epoch"))
            elif when == "now":
                self.in_background(lambda: control.stop(run, "now"))

        self.push_screen(ChoiceDialog(f"Stop {run.name}?", choices), chosen)

    def archive_run(self, run: RunFolder) -> None:
        """Archive a run, which hides it from the list, or restore it."""
        row = next((row for row in self.rows if row.summary.path == str(run.path)), None)
        if row is not None and row.summary.state in LIVE_STATES:
            self.say(f"{run.name} is {row.summary.state}: stop it before archiving it", severity="error")
            return
        archived = row is None or not row.labels.archived
        self.in_background(lambda: control.archive(run, archived))

    def edit_tags(self, run: RunFolder) -> None:
        """Ask for the tags of a run."""
        from focus_engine.runs.labels import check_tag, read_labels

        def problem(text: str) -> str | None:
            try:
                for tag in text.split():
                    check_tag(tag)
            except FocusError as error:
                return str(error)
            return None

        def given(text: str | None) -> None:
            if text is not None:
                tags = tuple(dict.fromkeys(text.split()))
                words = f"{run.name}: tags {' '.join(tags) or 'cleared'}"
                self.in_background(lambda: control.relabel(run, lambda labels: replace(labels, tags=tags), words))

        tags = " ".join(read_labels(run).tags)
        self.push_screen(TextDialog(f"Tags of {run.name}", tags, problem, "words, separated by spaces"), given)

    def edit_note(self, run: RunFolder) -> None:
        """Ask for the note on a run."""
        from focus_engine.runs.labels import read_labels

        def given(text: str | None) -> None:
            if text is not None:
                words = f"{run.name}: note {'kept' if text else 'cleared'}"
                self.in_background(lambda: control.relabel(run, lambda labels: replace(labels, note=text), words))

        self.push_screen(TextDialog(f"Note on {run.name}", read_labels(run).note), given)

    def export_run(self, run: RunFolder) -> None:
        """Ask what to export from a run, and write it."""
        from focus_tui.dashboard.export import ask_and_export

        ask_and_export(self, run)

    def undo_last(self) -> None:
        """Undo the last change."""
        if self._undo:
            _, undo = self._undo.pop()
            self.in_background(lambda: control.ActionResult(undo()))

    def action_leave(self) -> None:
        """Quit; runs continue."""
        self.leave()

    def leave(self) -> None:
        """Quit, and print which runs and jobs continue."""
        alive = [row.summary.name for row in self.rows if row.summary.state in LIVE_STATES]
        said = []
        if alive:
            named = ", ".join(alive[:5]) + (" …" if len(alive) > 5 else "")
            said.append(f"{'continues' if len(alive) == 1 else 'continue'} in the background: {named} (focus ls)")
        jobs: list[SamplingJob | ComparisonJob] = [*self.jobs.values(), *self.comparisons.values()]
        said += [f"sampling continues: {job.label}" for job in jobs if not job.poll().ended]
        self.exit(message="\n".join(said) or None)
