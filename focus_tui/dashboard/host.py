"""The interface of the app that screens may use.

The app imports its screens, and a screen knows the app by this protocol only, which avoids a circular import.
The second half repeats the part of Textual's interface that screens use.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from textual.screen import Screen
from textual.timer import Timer

from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.control import ActionResult
from focus_tui.dashboard.feed import Feed
from focus_tui.dashboard.jobs import ComparisonJob, SamplingJob
from focus_tui.dashboard.settings import Settings
from focus_tui.terminal import ColorDepth
from focus_tui.view.columns import RunRow
from focus_tui.view.machine import MachineLoad
from focus_tui.view.run_view import RunView

Answer = TypeVar("Answer")


class Host(Protocol):
    """The app as its screens see it.

    Attributes:
        root: the experiments folder.
        settings: of the user.
        feed: reads the runs; screens set which runs it follows.
        rows: all runs, as last read.
        complete: whether `rows` holds every run.
        problem: why the folder cannot be read; empty if it can.
        load: machine load; None until it is read.
        color: whether charts use colour.
        color_depth: of maps; None draws them in greyscale.
        jobs: sampling jobs, by run folder.
        comparisons: comparison jobs, by the set of run folders.
    """

    root: Path
    settings: Settings
    feed: Feed
    rows: tuple[RunRow, ...]
    complete: bool
    problem: str
    load: MachineLoad | None
    color: bool
    color_depth: ColorDepth
    jobs: dict[Path, SamplingJob]
    comparisons: dict[frozenset[Path], ComparisonJob]

    @property
    def can_undo(self) -> bool:
        """Whether an action can be undone."""

    def view_of(self, run: RunFolder) -> RunView | None:
        """Return the last view of a run; None if it was never followed."""

    def summary_of(self, run: RunFolder) -> RunSummary | None:
        """Return the summary of a run, as last read."""

    def say(self, words: str, *, severity: str = "information") -> None:
        """Show a message for some seconds."""

    def in_background(self, work: Callable[[], ActionResult]) -> None:
        """Run `work` in a thread and show its result."""

    def open_run(self, run: RunFolder) -> None:
        """Open the Watch screen of a run."""

    def open_compare(self, runs: tuple[RunFolder, ...]) -> None:
        """Open the Compare screen of runs."""

    def open_sample(self, run: RunFolder) -> None:
        """Open the Sample screen of a run."""

    def open_doctor(self, run: RunFolder | None) -> None:
        """Show the checks of `focus doctor`."""

    def open_new(self, source: RunFolder | None = None) -> None:
        """Open the New screen; `source` is the run to copy."""

    def edit_config(self, run: RunFolder) -> None:
        """Open the config of a run in $EDITOR."""

    def edit_tags(self, run: RunFolder) -> None:
        """Ask for the tags of a run."""

    def edit_note(self, run: RunFolder) -> None:
        """Ask for the note on a run."""

    def start_run(self, run: RunFolder, *, resume: bool = False, queue: bool = False) -> None:
        """Start or resume a run."""

    def stop_run(self, run: RunFolder) -> None:
        """Ask when to stop a run, then request the stop."""

    def archive_run(self, run: RunFolder) -> None:
        """Archive a run, which hides it from the list, or restore it."""

    def export_run(self, run: RunFolder) -> None:
        """Ask what to export from a run, and write it."""

    def undo_last(self) -> None:
        """Undo the last change."""

    def leave(self) -> None:
        """Quit the dashboard."""

    @property
    def screen(self) -> Screen[Any]:
        """The topmost screen."""

    def push_screen(self, screen: Screen[Answer], callback: Callable[[Answer | None], None] | None = None) -> object:
        """Push a screen; `callback` receives its result."""

    def save_screenshot(self, filename: str | None = None, path: str | None = None) -> str:
        """Write the screen as SVG and return the file path."""

    def suspend(self) -> AbstractContextManager[None]:
        """Release the terminal to another program."""

    def refresh(self, *, layout: bool = False) -> object:
        """Redraw everything."""

    def run_worker(self, work: Callable[[], None], *, thread: bool = False, exit_on_error: bool = True) -> object:
        """Run `work` as a Textual worker."""

    def call_from_thread(self, callback: Callable[..., object], *arguments: Any, **named: Any) -> object:  # noqa: ANN401
        """Call `callback` in the thread of the app."""

    def set_interval(self, interval: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` every `interval` seconds."""
