"""Comparing runs: the tables, the charts, and every key of the screen."""

from pathlib import Path

import numpy as np
import pytest
from dashboard import FakeFeed, epoch, on_screen, spectrum, started, view_from, worker
from textual.widgets import Static

from focus_engine.runs.folder import RunFolder
from focus_tui.app import FocusApp
from focus_tui.compare import config_differences, data_warning, metric_row
from focus_tui.feed import RunGone
from focus_tui.overlay import PALETTE, NamedCurve, color_of, draw_overlay, draw_ratios
from focus_tui.screens.compare import CompareScreen
from focus_tui.screens.runs import RunsScreen
from focus_tui.screens.watch import WatchScreen
from focus_tui.widgets.chart import Chart


def view(name: str, best: float, lr: float = 1e-4, **fields: object):
    config = {"experiment": {"name": name}, "training": {"lr": lr, "seed": 0}}
    events = [worker(), started(config=config, **fields), *(epoch(n, best * (1 + 1 / n)) for n in (1, 2, 3))]
    return view_from([*events, spectrum(3, (1.0, best, 1.0))], name, best_val_loss=best)


@pytest.fixture
def feed():
    return FakeFeed([view("alpha", 0.5), view("beta", 0.4, lr=3e-4), view("gamma", 0.8)])


@pytest.fixture
async def pilot(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        app.open_compare(tuple(RunFolder(Path(f"/x/{name}")) for name in ("alpha", "beta", "gamma")))
        await pilot.pause()
        await pilot.pause()
        yield pilot


def words(pilot, selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).render())


async def test_shows_numbers_curves_ratios_and_what_differs(pilot):
    assert isinstance(pilot.app.screen, CompareScreen)
    legend = words(pilot, "#legend")
    assert "reference" in legend
    assert "-20.0 %" in legend
    assert "+60.0 %" in legend
    assert "training.lr" in words(pilot, "#table")
    assert "seed" not in words(pilot, "#table")
    assert "epoch" in pilot.app.screen.query_one("#curves", Chart).text
    assert "k [h/Mpc]" in pilot.app.screen.query_one("#ratios", Chart).text


async def test_another_reference_changes_the_numbers(pilot):
    await pilot.press("down", "R")
    legend = words(pilot, "#legend").splitlines()
    assert "+25.0 %" in next(line for line in legend if "alpha" in line)
    assert "reference" in next(line for line in legend if "beta" in line)


async def test_a_hidden_run_leaves_the_curves_and_colours_stay(pilot):
    before = pilot.app.screen.query_one("#curves", Chart).text
    await pilot.press("down", "space")
    assert "○" in words(pilot, "#legend")
    assert pilot.app.screen.query_one("#curves", Chart).text != before
    assert words(pilot, "#table").strip() == "the configs are the same"
    await pilot.press("space")
    assert pilot.app.screen.query_one("#curves", Chart).text == before


async def test_keys_choose_the_curve_and_its_axes(pilot):
    chart = pilot.app.screen.query_one("#curves", Chart)
    seen = {chart.text}
    for key in ("m", "l", "L", "o"):
        await pilot.press(key)
        assert chart.text not in seen, key
        seen.add(chart.text)
    assert "hours of training" in chart.text
    assert "Train loss" in str(chart.border_title)
    await pilot.press("plus")
    assert "smoothed" in str(chart.border_title)
    await pilot.press("minus")
    assert "smoothed" not in str(chart.border_title)


async def test_panes_alone_and_back(pilot):
    screen = pilot.app.screen
    await pilot.press("3")
    assert not screen.query_one("#charts").display
    await pilot.press("escape")
    assert screen.query_one("#charts").display
    await pilot.press("escape")
    assert isinstance(pilot.app.screen, RunsScreen)


async def test_opens_the_run_under_the_cursor(pilot):
    await pilot.press("enter")
    assert isinstance(pilot.app.screen, WatchScreen)


async def test_goes_on_without_a_run_that_vanished(pilot, feed):
    feed.post(RunGone(RunFolder(Path("/x/beta"))))
    await pilot.pause()
    assert isinstance(pilot.app.screen, CompareScreen)
    assert "○" in words(pilot, "#legend")


async def test_one_pane_at_a_time_on_a_small_screen(pilot):
    await pilot.resize_terminal(80, 24)
    await pilot.pause()
    assert pilot.app.screen.query_one("#curves").display
    assert not pilot.app.screen.query_one("#ratios").display
    assert "alpha" in words(pilot, "#legend")


def test_differences_name_only_what_differs():
    rows = config_differences([{"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": None}])
    assert [(row.key, row.values) for row in rows] == [("a.c", ("2", "3")), ("d", ("-", "(none)"))]


def test_the_change_is_that_of_the_best_loss():
    reference, other = view("a", 0.5), view("b", 0.25)
    assert metric_row(other, reference)[4] == "-50.0 %"
    assert metric_row(reference, reference)[4] == "reference"
    assert metric_row(view_from([], "c", state="created"), reference)[4] == "-"


def test_runs_that_do_not_compare_say_so():
    assert data_warning([view("a", 1.0), view("b", 1.0)]) == ""
    assert "not the same box" in data_warning([view("a", 1.0), view("b", 1.0, box_size=50.0)])
    assert "not the same data" in data_warning([view("a", 1.0), view("b", 1.0, data_fingerprint="1")])
    other = view_from([started(config={"method": "flow"})], "c")
    assert "not the same loss" in data_warning([view("a", 1.0), other])


def test_the_colours_of_the_first_runs_differ_and_every_run_has_a_sign():
    assert len({color_of(place) for place in range(len(PALETTE))}) == len(PALETTE)
    signs = {NamedCurve(place, np.ones(1), np.ones(1)).marker(color=False) for place in range(8)}
    assert len(signs) == 8


@pytest.mark.parametrize("size", [(120, 30), (60, 12), (28, 6), (10, 3)])
@pytest.mark.parametrize("color", [True, False])
def test_charts_fit_their_room(size, color):
    width, height = size
    x = np.arange(1.0, 50.0)
    curves = [NamedCurve(place, x, place + 1 / x) for place in range(3)]
    for text in (
        draw_overlay(curves, width=width, height=height, color=color),
        draw_ratios(curves, width=width, height=height, color=color, k_nyquist=40.0),
    ):
        assert len(text.split("\n")) <= height
        if not color:
            assert all(len(line) <= width for line in text.split("\n"))
            assert "\x1b" not in text


def test_curves_without_values_say_so():
    empty = NamedCurve(0, np.array([1.0]), np.array([np.nan]))
    assert draw_overlay([empty], width=80, height=20) == "nothing to draw yet"
    assert draw_ratios([], width=80, height=20) == "no P(k) yet"
