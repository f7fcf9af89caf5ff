"""What a screen may ask of the app that hosts it.

The app imports its screens, and a screen knows the app by this protocol only, so that neither waits for the other.
The second half is textual's own, as far as screens use it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from textual.screen import Screen
from textual.timer import Timer

from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder
from focus_tui.charts.half_blocks import ColorDepth
from focus_tui.dashboard.control import Done
from focus_tui.dashboard.feed import Feed
from focus_tui.dashboard.jobs import ComparisonJob, SamplingJob
from focus_tui.dashboard.settings import Settings
from focus_tui.view.columns import RunRow
from focus_tui.view.machine import MachineLoad
from focus_tui.view.run_view import RunView

Answer = TypeVar("Answer")


class Host(Protocol):
    """The app, as its screens see it.

    Attributes:
        root: the experiments folder.
        settings: the user's.
        feed: reads the runs; a screen tells it what to follow.
        rows: all runs, as last read.
        complete: whether `rows` has every run.
        problem: why the folder can't be read; empty where it can.
        load: what the machine does; None until it is read.
        color: whether charts have colours.
        color_depth: of maps; None draws them in shades of ink.
        jobs: sampling in the background, by the run's folder.
        comparisons: comparing in the background, by the runs' folders.
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
        """Whether there is something to take back."""

    def view_of(self, run: RunFolder) -> RunView | None:
        """Return the last view of a run that is or was followed."""

    def summary_of(self, run: RunFolder) -> RunSummary | None:
        """Return where a run stands, as last read."""

    def say(self, words: str, *, severity: str = "information") -> None:
        """Show a sentence for a while."""

    def in_background(self, work: Callable[[], Done]) -> None:
        """Do `work` in a thread and say how it went."""

    def open_run(self, run: RunFolder) -> None:
        """Watch a run."""

    def open_compare(self, runs: tuple[RunFolder, ...]) -> None:
        """Compare runs."""

    def open_sample(self, run: RunFolder) -> None:
        """Sample from a run."""

    def open_doctor(self, run: RunFolder | None) -> None:
        """Say what this machine has and lacks."""

    def open_new(self, source: RunFolder | None = None) -> None:
        """Make an experiment."""

    def edit_config(self, run: RunFolder) -> None:
        """Edit a run's config in $EDITOR."""

    def edit_tags(self, run: RunFolder) -> None:
        """Ask for a run's tags."""

    def edit_note(self, run: RunFolder) -> None:
        """Ask for a run's note."""

    def start_run(self, run: RunFolder, *, resume: bool = False, queue: bool = False) -> None:
        """Start or resume a run."""

    def stop_run(self, run: RunFolder) -> None:
        """Ask how to stop a run, and ask it to."""

    def archive_run(self, run: RunFolder) -> None:
        """Hide a run from the list, or bring it back."""

    def export_run(self, run: RunFolder) -> None:
        """Ask what to take away of a run, and write it."""

    def undo_last(self) -> None:
        """Take the last change back."""

    def leave(self) -> None:
        """Leave the dashboard."""

    @property
    def screen(self) -> Screen[Any]:
        """The screen on top."""

    def push_screen(self, screen: Screen[Answer], callback: Callable[[Answer | None], None] | None = None) -> object:
        """Put a screen on top; `callback` takes its answer."""

    def save_screenshot(self, filename: str | None = None, path: str | None = None) -> str:
        """Write the screen as SVG; return the file."""

    def suspend(self) -> AbstractContextManager[None]:
        """Leave the terminal to another program."""

    def refresh(self, *, layout: bool = False) -> object:
        """Draw everything again."""

    def run_worker(self, work: Callable[[], None], *, thread: bool = False, exit_on_error: bool = True) -> object:
        """Do `work` aside."""

    def call_from_thread(self, callback: Callable[..., object], *arguments: Any, **named: Any) -> object:  # noqa: ANN401
        """Call `callback` in the app's own thread."""

    def set_interval(self, interval: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` every `interval` seconds."""
