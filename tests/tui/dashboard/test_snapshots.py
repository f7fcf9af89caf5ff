"""Snapshots of the screens, cell by cell. After an intended change: pytest tests/tui/dashboard --snapshot-update.

They are compared with any version of Textual; if another version draws differently, the failure names it.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from dashboard import FakeFeed, view_from
from example_events import epoch, samples, spectrum, started, worker
from textual.widgets import Input

from focus_engine.events.table import Warned
from focus_engine.runs import create
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.app import FocusApp

DRAWN_BY = "8.2.8"
"""The version of Textual that drew the snapshots; update it when regenerating them."""


@pytest.fixture
def looks_as_drawn(snap_compare):
    """Return an assertion that an app matches its snapshot; a failure names a different version of Textual."""

    def compare(app: FocusApp, size: tuple[int, int], run_before) -> None:
        same = snap_compare(app, terminal_size=size, run_before=run_before)
        here = version("textual")
        assert same, (
            "the screen looks different from its snapshot"
            + (f", which textual {DRAWN_BY} drew; this is textual {here}: look at both" if here != DRAWN_BY else "")
            + f"; after an intended change: pytest {Path(__file__).name} --snapshot-update, and DRAWN_BY = {here!r}"
        )

    return compare


def losses(n: int, low: float) -> list[float]:
    return [round(low + 0.6 / (1 + i), 4) for i in range(n)]


def trained(name: str, n: int, low: float, **summary: object):
    """Return the view of a run with warmup, a plateau cut, spectra and maps."""
    events: list = [worker(), started(num_epochs=40, warmup_epochs=5)]
    for number, val in enumerate(losses(n, low), 1):
        lr = 1e-4 * min(1.0, number / 5) * (0.3 if number > 15 else 1.0)
        more = {
            "lr": lr,
            "next_lr": lr,
            "lr_cut": number == 15,
            "bad_epochs": 1,
            "early_stop_count": 3,
            "num_epochs": 40,
        }
        events.append(
            epoch(number, val, best_val_loss=val, pk_error=0.1, pk_error_std=0.03, pk_error_null=0.06, **more)
        )
        if number % 5 == 0:
            k = np.geomspace(0.3, 4.0, 24)
            ratio = 1 + 0.3 / number * np.sin(3 * k)
            events += [spectrum(number, tuple(ratio)), samples(number)]
    events.append(Warned(code="data_wait", message="waits for data"))
    return view_from(events, name, updated=None, **summary)


def views():
    return [
        trained("diffusion_camels", 22, 0.1),
        trained("flow_camels", 18, 0.12, state="finished", reason="all epochs are done"),
        trained("한국어_실험", 9, 0.2, state="lost", reason="its worker is gone and recorded no outcome"),
        view_from([], "not_started", state="created"),
    ]


def app(first: str | None = None) -> FocusApp:
    run = None if first is None else RunFolder(Path("/x") / first)
    return FocusApp(Path("/x"), feed=FakeFeed(views()), first=run)


@pytest.fixture(autouse=True)
def steady_cursor(monkeypatch):
    """Stop the cursor from blinking, which would change the snapshot."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _input: None)


async def settled(pilot) -> None:
    while not pilot.app.complete:
        await pilot.pause()
    await pilot.pause()


SIZES = [(80, 24), (120, 40)]
sizes = pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])


@sizes
def test_runs(looks_as_drawn, size):
    looks_as_drawn(app(), size, settled)


@pytest.mark.parametrize("size", [*SIZES, (180, 50)], ids=["80x24", "120x40", "180x50"])
def test_watch(looks_as_drawn, size):
    looks_as_drawn(app("diffusion_camels"), size, settled)


@sizes
def test_compare(looks_as_drawn, size):
    async def compare(pilot) -> None:
        await settled(pilot)
        await pilot.press("space", "space", "c")
        await pilot.pause()

    looks_as_drawn(app(), size, compare)


@sizes
def test_sample(looks_as_drawn, size):
    async def sample(pilot) -> None:
        await settled(pilot)
        await pilot.press("g")
        await pilot.pause()

    looks_as_drawn(app(), size, sample)


@sizes
def test_new(looks_as_drawn, size, monkeypatch):
    monkeypatch.setattr(create, "today", lambda: "2026-11-24")  # the shown config contains the date

    async def new(pilot) -> None:
        await settled(pilot)
        await pilot.press("n")
        for typed in ("", "mine"):  # the form is checked in a thread, at the start and after each word
            await pilot.press(*typed)
            screen = pilot.app.screen
            while screen.values["name"] != typed or not screen._asked or screen._answered != screen._asked:
                await pilot.pause()
        for _ in range(3):
            await pilot.pause()

    looks_as_drawn(app(), size, new)


@sizes
def test_help(looks_as_drawn, size):
    async def ask(pilot) -> None:
        await settled(pilot)
        await pilot.press("question_mark")
        await pilot.pause()

    looks_as_drawn(app("diffusion_camels"), size, ask)


def test_light(looks_as_drawn):
    async def light(pilot) -> None:
        await settled(pilot)
        pilot.app.theme = "focus-light"
        await pilot.pause()

    looks_as_drawn(app("diffusion_camels"), (120, 40), light)


def test_empty(looks_as_drawn):
    looks_as_drawn(FocusApp(Path("/x"), feed=FakeFeed()), (80, 24), settled)
