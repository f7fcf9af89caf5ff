"""Shared support of the dashboard tests: runs made from real events, and a feed controlled by the test."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from example_events import epoch, samples, spectrum, started, worker
from textual.message import Message
from textual.pilot import Pilot

from focus_engine.events.table import EpochFinished, Event
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.app import FocusApp
from focus_tui.dashboard.feed import RunRead, RunsRead
from focus_tui.view.columns import RunRow
from focus_tui.view.run_view import RunView, fold


def view_from(events: Sequence[Event], name: str = "alpha", root: str = "/x", **summary: object) -> RunView:
    """Return the view of `events`; its summary is taken from the last epoch, overridden by `summary`."""
    view = fold(RunView(summary=RunSummary(name=name, path=f"{root}/{name}")), events)
    known: dict[str, object] = {"state": "running", "phase": "training", "method": "diffusion"}
    if view.epochs:
        last = view.epochs[-1]
        shared = RunSummary.__dataclass_fields__.keys() & EpochFinished.__dataclass_fields__.keys()
        known |= {field: getattr(last, field) for field in shared} | {"updated": last.time}
    return replace(view, summary=replace(view.summary, **(known | summary)))


def row_from(view: RunView, **fields: object) -> RunRow:
    """Return the row of a view."""
    return RunRow(summary=view.summary, val_losses=tuple(event.val_loss for event in view.epochs), **fields)


class FakeFeed:
    """A feed without thread or disk; it posts the given views, and those that a test adds."""

    def __init__(self, views: Sequence[RunView] = (), rows: Sequence[RunRow] | None = None) -> None:
        self.views = {view.summary.path: view for view in views}
        self.rows = tuple(rows) if rows is not None else tuple(row_from(view) for view in views)
        self.followed: tuple[RunFolder, ...] = ()
        self.visible_paths: tuple[str, ...] = ()
        self.refreshed = 0
        self.post: Callable[[Message], object] = lambda message: message
        self.started = self.stopped = False

    def start(self, post: Callable[[Message], object]) -> None:
        self.post, self.started = post, True
        self.post(RunsRead(self.rows))
        self.follow(self.followed)

    def stop(self) -> None:
        self.stopped = True

    def follow(self, runs: Sequence[RunFolder]) -> None:
        self.followed = tuple(runs)
        for run in runs:
            if (view := self.views.get(str(run.path))) is not None:
                self.post(RunRead(view))

    def set_visible(self, paths: Sequence[str]) -> None:
        self.visible_paths = tuple(paths)

    def refresh(self) -> None:
        self.refreshed += 1

    def news(self, view: RunView) -> None:
        """Post a changed view."""
        self.views[view.summary.path] = view
        self.rows = tuple(row_from(view) if row.summary.path == view.summary.path else row for row in self.rows)
        self.post(RunRead(view))
        self.post(RunsRead(self.rows))


@asynccontextmanager
async def on_screen(app: FocusApp, width: int = 120, height: int = 40) -> AsyncIterator[Pilot]:
    """Run `app` headless; its first rows are shown when the block begins."""
    async with app.run_test(size=(width, height)) as pilot:
        while not app.complete:
            await pilot.pause()
        await pilot.pause()
        yield pilot


def full_view(**summary):
    events = [worker(), started(), *(epoch(n, 1 / n, lr=1e-4 / n) for n in range(1, 10))]
    return view_from([*events, spectrum(3), samples(3), spectrum(6), samples(6)], **summary)
