"""Runs made of real events, and a feed that posts what a test says: what tests of the dashboard share."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from textual.message import Message
from textual.pilot import Pilot

from focus_engine.events import EpochFinished, Event, PowerSpectrumMeasured, RunStarted, SamplesDrawn, WorkerStarting
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.state import RunSummary
from focus_tui.app import FocusApp
from focus_tui.columns import RunRow
from focus_tui.feed import RunRead, RunsRead
from focus_tui.present import RunView, fold

NOW = 1_790_000_000.0


def epoch(number: int, val: float = 0.5, **fields: object) -> EpochFinished:
    """Return the end of an epoch; what a test does not care about has some value."""
    values = {
        "time": NOW + number,
        "epoch": number,
        "num_epochs": 20,
        "phase": "training",
        "step": 10 * number,
        "train_loss": val * 1.1,
        "val_loss": val,
        "val_loss_raw": val,
        "lr": 1e-4,
        "next_lr": 1e-4,
        "lr_cut": False,
        "grad_norm": 1.0,
        "seconds": 2.0,
        "maps_per_second": 50.0,
        "data_wait": 0.0,
        "is_best": True,
        "best_val_loss": val,
        "best_epoch": number,
        "scheduler": "plateau",
        "bad_epochs": 0,
        "plateau_patience": 2,
        "early_stop_count": 0,
        "early_stop_patience": 10,
        "pk_error": None,
        "eta_seconds": 2.0 * (20 - number),
    }
    return EpochFinished(**(values | fields))


def started(after: int = 0, **fields: object) -> RunStarted:
    """Return the start of a training that goes on after an epoch."""
    values = {
        "time": NOW,
        "method": "diffusion",
        "epoch": after,
        "num_epochs": 20,
        "steps_per_epoch": 10,
        "warmup_epochs": 2,
        "batch_size": 16,
        "accumulate": 1,
        "n_parameters": 1000,
        "maps": (100, 10, 10),
        "simulations": (10, 1, 1),
        "map_shape": (1, 8, 8),
        "box_size": 25.0,
        "param_names": ("Omega_m", "sigma_8"),
        "resident": True,
        "terminal_snr": None,
        "precision": "float32",
        "seed": 0,
        "threads": 1,
        "device": "cpu",
        "device_name": "CPU",
        "git_commit": None,
        "versions": {},
        "config": {"training": {"lr": 1e-4, "scheduler": {"factor": 0.3, "min_lr": 1e-7}}, "data": {"num_workers": 4}},
        "config_sha256": "0",
        "data_fingerprint": "0",
    }
    return RunStarted(**(values | fields))


def spectrum(number: int, ratio: Sequence[float] = (1.0, 1.1, 0.9)) -> PowerSpectrumMeasured:
    """Return a P(k) of samples."""
    k = tuple(0.5 * 8 ** (i / max(1, len(ratio) - 1)) for i in range(len(ratio)))
    real = tuple(100 / value for value in k)
    return PowerSpectrumMeasured(
        time=NOW + number,
        epoch=number,
        k=k,
        real_mean=real,
        real_std=tuple(0.3 * value for value in real),
        generated_mean=tuple(a * b for a, b in zip(real, ratio, strict=True)),
        ratio=tuple(ratio),
        k_nyquist=4.0,
        median_abs_error=0.1,
        true_vs_true=0.08,
        n_maps=16,
    )


def samples(number: int) -> SamplesDrawn:
    """Return thumbnails of 4 x 4 pixels."""
    import base64

    shades = [base64.b64encode(bytes(range(start, start + 160, 10))).decode() for start in (0, 60)]
    return SamplesDrawn(
        time=NOW + number,
        epoch=number,
        path="samples/a.npz",
        height=4,
        width=4,
        low=9.0,
        high=12.0,
        params=((0.3, 0.8), (0.2, 0.9)),
        real=tuple(shades),
        generated=tuple(reversed(shades)),
        seconds=1.0,
        nfe=50,
    )


def worker(**fields: object) -> WorkerStarting:
    """Return the first word of a worker."""
    values = {
        "time": NOW,
        "pid": 1,
        "host": "h",
        "boot_id": None,
        "process_start": None,
        "focus_version": "0",
        "resume": False,
        "foreground": False,
    }
    return WorkerStarting(**(values | fields))


def view_from(events: Sequence[Event], name: str = "alpha", root: str = "/x", **summary: object) -> RunView:
    """Return the view that `events` make, its summary as given or as the last epoch has it."""
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
    """Posts the views that it was given, and whatever a test adds; no thread, no disk."""

    def __init__(self, views: Sequence[RunView] = (), rows: Sequence[RunRow] | None = None) -> None:
        self.views = {view.summary.path: view for view in views}
        self.rows = tuple(rows) if rows is not None else tuple(row_from(view) for view in views)
        self.followed: tuple[RunFolder, ...] = ()
        self.looked_at: tuple[str, ...] = ()
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

    def look_at(self, paths: Sequence[str]) -> None:
        self.looked_at = tuple(paths)

    def refresh(self) -> None:
        self.refreshed += 1

    def news(self, view: RunView) -> None:
        """Let a run have changed."""
        self.views[view.summary.path] = view
        self.rows = tuple(row_from(view) if row.summary.path == view.summary.path else row for row in self.rows)
        self.post(RunRead(view))
        self.post(RunsRead(self.rows))


@asynccontextmanager
async def on_screen(app: FocusApp, width: int = 120, height: int = 40) -> AsyncIterator[Pilot]:
    """Run `app` on a screen without a terminal; what its feed posts first is shown when the block begins."""
    async with app.run_test(size=(width, height)) as pilot:
        while not app.complete:
            await pilot.pause()
        await pilot.pause()
        yield pilot
