"""The Compare screen: its tables, charts and keys."""

import asyncio
import json
import os
from pathlib import Path

import numpy as np
import pytest
from dashboard import FakeFeed, on_screen, view_from
from example_events import epoch, spectrum, started, worker
from textual.widgets import Static

from focus_engine.config.load import all_keys
from focus_engine.config.methods import METHODS
from focus_engine.runs.comparison import read_comparison
from focus_engine.runs.folder import RunFolder
from focus_tui.charts.overlay import PALETTE, NamedCurve, color_of, draw_overlay, draw_ratios
from focus_tui.dashboard.app import FocusApp
from focus_tui.dashboard.feed import RunGone
from focus_tui.dashboard.screens.compare import CompareScreen
from focus_tui.dashboard.screens.runs import RunsScreen
from focus_tui.dashboard.screens.watch import WatchScreen
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.dashboard.widgets.sample_scores import SampleScores
from focus_tui.view.compare import config_differences, data_warning, metric_row
from focus_tui.view.comparison_report import cost_curves, cost_rows, ratio_curves, score_rows, turned


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


async def test_continues_without_a_run_that_disappeared(pilot, feed):
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


def test_runs_that_cannot_be_compared_give_a_warning():
    assert data_warning([view("a", 1.0), view("b", 1.0)]) == ""
    assert "not the same box" in data_warning([view("a", 1.0), view("b", 1.0, box_size=50.0)])
    assert "not the same data" in data_warning([view("a", 1.0), view("b", 1.0, data_fingerprint="1")])
    other = view_from([started(config={"method": "flow"})], "c")
    assert "not the same loss" in data_warning([view("a", 1.0), other])


@pytest.mark.parametrize(
    ("method", "block", "key", "values"),
    [
        ("diffusion", "diffusion", "min_snr_gamma", (None, 5.0)),
        ("diffusion", "diffusion", "prediction", ("epsilon", "v")),
        ("diffusion", "diffusion", "shift", (1.0, 4.0)),
        ("diffusion", "training", "loss_scales", (0.0, -1.0)),
        ("flow", "flow_matching", "time_sampling", ("uniform", "logit_normal")),
        ("edm", "edm", "p_mean", (0.0, -1.2)),
        ("flow", "data", "normalize", ("log10", "boxcox")),
        ("edm", "data", "standardize", ("pixels", "spectrum")),
    ],
)
def test_losses_that_weigh_differently_do_not_compare(method, block, key, values):
    runs = [
        view_from([started(config={"method": method, block: {key: value}})], name)
        for name, value in zip("ab", values, strict=True)
    ]
    assert "not the same loss" in data_warning(runs)
    assert data_warning(runs[:1] * 2) == ""


def test_a_setting_of_the_other_method_does_not_change_the_loss():
    runs = [
        view_from([started(config={"method": "flow", "diffusion": {"min_snr_gamma": value}})], name)
        for name, value in (("a", None), ("b", 5.0))
    ]
    assert data_warning(runs) == ""


def test_a_run_of_a_focus_that_did_not_know_a_key_has_its_default():
    old, new, other = (
        view_from([started(config={"method": "diffusion", "diffusion": block})], "a")
        for block in ({"prediction": "v"}, {"prediction": "v", "shift": 1.0}, {"prediction": "v", "shift": 2.0})
    )
    assert data_warning([old, new]) == ""
    assert "not the same loss" in data_warning([old, other])


def test_every_key_that_changes_the_loss_is_one_of_the_config():
    known = set(all_keys())
    for spec in METHODS.values():
        for key in (*spec.loss_keys, *filter(None, [spec.most_steps])):
            assert tuple(key.split(".")) in known, key


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


def test_curves_without_values_show_a_message():
    empty = NamedCurve(0, np.array([1.0]), np.array([np.nan]))
    assert draw_overlay([empty], width=80, height=20) == "nothing to draw yet"
    assert draw_ratios([], width=80, height=20) == "no P(k) yet"


def scored(names, **changes):
    """Return a document of `focus compare` about samples."""

    def run(name, error):
        return {
            "name": name,
            "sampling": {"sampler": "ddim", "steps": 50},
            "power_spectrum": {
                "k": [0.5, 1.0],
                "real_mean": [2.0, 1.0],
                "real_std": [None, 0.5],
                "generated_mean": [2.0, 1 + error],
                "k_nyquist": 4.0,
                "median_abs_error": error,
                "true_vs_true_median_abs_error": 0.2,
                "true_vs_true_same_simulation": 0.1,
            },
            "pdf": {
                **{key: [1.0] for key in ("log10_value", "real_pdf", "real_std", "generated_pdf")},
                "w1": 0.05,
                "true_vs_true_w1": 0.2,
                "true_vs_true_same_simulation": 0.04,
            },
            "slab_mean": {"bias": 0.01, "scatter": 0.3},
            "scores": [
                {
                    "statistic": "power_spectrum",
                    "name": "median_abs_error",
                    "value": error,
                    "error": 0.02,
                    "null": 0.05,
                    "null_spread": 0.01,
                    "p_value": 0.2,
                    "band": None,
                    "verdict": "indistinguishable",
                },
                {"statistic": "pdf", "name": "w1", "value": 0.05, "error": None, "null": None, "null_spread": None},
                {"statistic": "slab_mean", "name": "bias", "value": 0.01},
                {"statistic": "of a later version", "name": "unheard", "value": 1.0},
            ],
            "steps": [
                {"steps": 5, "nfe": 5, "seconds_per_map": 0.02, "power_error": None},
                {"steps": 50, "nfe": 50, "seconds_per_map": 0.2, "power_error": error},
            ],
        }

    runs = [run(name, 0.07 + 0.1 * place) for place, name in enumerate(names)]
    return {"n_maps": 96, "n_simulations": 10, "device": "CPU", "runs": runs, **changes}


def by_heading(rows, row):
    """Return the cells of a row by their headings."""
    return dict(zip(rows[0], rows[row], strict=True))


def test_scores_stand_beside_what_a_perfect_model_scores():
    report = read_comparison(scored(("alpha", "beta")))
    rows = score_rows(report)
    assert rows[1][:5] == ("alpha", "ddim 50", "50", "0.2", "7.0 ± 2.0 %")
    cells = by_heading(rows, 1)
    assert (cells["PDF W1"], cells["slab bias"], cells["log P small"]) == ("0.050", "+1.0 %", "-")
    assert rows[3][:5] == ("perfect model", "", "", "", "up to 7.0 %")
    assert by_heading(rows, 3)["PDF W1"] == "unknown"
    assert cost_rows(report)[1] == ("5", "5", "0.02", "-", "5", "0.02", "-")
    assert [curve.y.tolist() for curve in cost_curves(report, "nfe")] == [[7.000000000000001], [17.0]]
    assert ratio_curves(report.models, "power_spectrum")[1].y.tolist() == [1.0, 1.17]


def test_a_table_too_wide_is_turned():
    rows = score_rows(read_comparison(scored(("alpha", "beta"))))
    assert turned(rows, 400) == rows
    narrow = turned(rows, 80)
    assert narrow[0] == ("", "alpha", "beta", "perfect model")
    assert narrow[4] == ("P(k)", "7.0 ± 2.0 %", "17.0 ± 2.0 %", "up to 7.0 %")
    assert turned(narrow, 10) == narrow


def test_a_report_from_before_a_statistic_was_there_leaves_it_unknown():
    document = scored(("alpha",))
    for name in ("slab_mean", "scores"):
        del document["runs"][0][name]
    rows = score_rows(read_comparison(document))
    cells = by_heading(rows, 1)
    assert (cells["P(k)"], cells["PDF W1"], cells["slab bias"]) == ("7.0 %", "0.050", "-")
    with pytest.raises(KeyError):
        read_comparison({**document, "runs": [{"name": "alpha"}]})


@pytest.fixture
def on_disk(tmp_path):
    """Return folders of three runs, with a comparison of two of them, an older one, and invalid files."""
    runs = {name: RunFolder(tmp_path / name) for name in ("alpha", "beta", "gamma")}
    for run in runs.values():
        run.make_folders()
    old, new = runs["alpha"].figs / "comparison_old.json", runs["beta"].figs / "comparison_alpha_beta.json"
    old.write_text(json.dumps(scored(("alpha", "beta"), n_maps=11)), encoding="utf-8")
    new.write_text(json.dumps(scored(("beta", "alpha"), n_maps=22)), encoding="utf-8")
    os.utime(old, (1, 1))
    (runs["alpha"].figs / "comparison_broken.json").write_text("{", encoding="utf-8")
    (runs["alpha"].figs / "comparison_list.json").write_text("[]", encoding="utf-8")
    return runs


async def test_the_newest_comparison_of_these_runs_is_shown(on_disk):
    app = FocusApp(Path("/x"), feed=FakeFeed([]))
    async with on_screen(app) as pilot:
        app.open_compare((on_disk["alpha"], on_disk["beta"]))
        await pilot.pause()
        text = words(pilot, "#scores-text")
        assert "22 maps of 10 unseen simulations" in text
        assert "perfect model" in text
        app.open_compare((on_disk["alpha"], on_disk["gamma"]))
        await pilot.pause()
        assert "c draws samples" in words(pilot, "#scores-text")


async def test_samples_are_scored_in_the_background_and_a_failure_is_shown(on_disk):
    app = FocusApp(Path("/x"), feed=FakeFeed([]))
    async with on_screen(app) as pilot:
        app.open_compare((on_disk["alpha"], on_disk["gamma"]))  # without configs: no experiments
        await pilot.pause()
        await pilot.press("c")
        job = next(iter(app.comparisons.values()))
        await asyncio.to_thread(job.wait, 60)
        app.screen.query_one(SampleScores).look()
        await pilot.pause()
        assert "alpha" in words(pilot, "#scores-text")
        assert "try again" in words(pilot, "#scores-text")
