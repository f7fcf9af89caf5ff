"""One table of statistics, read by everything that shows one; a new statistic needs a spec and a module."""

import inspect
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from toy_statistic import SPEC, measure

from focus_engine.config.statistic_spec import StatisticCurve
from focus_engine.config.statistics import STATISTICS, statistics_of
from focus_engine.figures.pages import draw_comparison, draw_evaluation
from focus_engine.figures.scores import scores_panel
from focus_engine.figures.statistics import OWN_OVERLAYS, OWN_PANELS, draw_statistic
from focus_engine.runs.comparison import read_comparison
from focus_engine.statistics.compare import evaluate_maps
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.protocol import Statistic, statistic_of, taken
from focus_engine.units import SURFACE_DENSITY
from focus_tui.__main__ import run as focus
from focus_tui.compute.report_view import OWN_CHARTS, score_lines
from focus_tui.view.comparison_report import score_rows

HOME = Path(__file__).parent
IDS = np.repeat(np.arange(10), 4)
VECTORS = {
    "power_spectrum": "power",
    "log_power": "power",
    "pdf": "counts",
    "minkowski": "vectors",
    "peaks": "vectors",
    "memorisation": "distance",
    "bispectrum": "values",
    "scattering": "table",
}


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(STATISTICS, SPEC.name, SPEC)


@pytest.fixture(scope="module")
def maps():
    draw = np.random.default_rng(0)
    amplitude = np.linspace(0.4, 0.7, 10)[IDS][:, None, None]
    return 1e11 * np.exp(amplitude * draw.normal(size=(2, IDS.size, 16, 16)))


def evaluated(maps, **changes):
    real, generated = maps
    return evaluate_maps(real, generated, real_simulation_ids=IDS, box_size=25.0, params=0.1 + IDS[:, None], **changes)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("physical", [True, False])
def test_a_new_statistic_is_in_report_json_and_picture(maps, physical, tmp_path):
    evaluation = evaluated(maps, physical=physical)
    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert document["extremes"]["real_mean"] == pytest.approx(measure(MapStack(maps[0], 25.0), None).mean(axis=0))
    (row,) = [line for line in score_lines(evaluation) if line.startswith("toy, lowest")]
    assert row.split()[-9:] == ["12.5", "±", "1.0", "%", "up", "to", "20.0", "%", "ok"]
    draw_evaluation(tmp_path / "with.png", evaluation, units=SURFACE_DENSITY)
    figure = Figure()
    draw_statistic(figure, SPEC, evaluation.results["extremes"], SURFACE_DENSITY)
    (axes,) = figure.axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (
        "toy extremes",
        "which extreme",
        "value [a unit]",
    )
    assert {line.get_label() for line in axes.lines} == {"real", "generated"}
    listed = Figure().subplots()
    scores_panel(listed, evaluation.scores())
    assert "12.5 ± 1.0 % (perfect up to 20.0 %)" in [one.get_text() for one in listed.texts]
    draw_comparison(tmp_path / "compared.png", [("a", evaluation, ()), ("b", evaluation, ())])


def test_a_figure_grows_by_a_row_for_a_fourth_statistic(maps, tmp_path):
    evaluation = evaluated(maps)
    for count, name in ((3, "three"), (4, "four")):
        few = replace(evaluation, results=dict(list(evaluation.results.items())[:count]))
        draw_evaluation(tmp_path / f"{name}.png", few)
    three, four = (matplotlib.image.imread(tmp_path / f"{name}.png").shape for name in ("three", "four"))
    assert four[0] > 1.3 * three[0]
    assert four[1] == three[1]


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Return the experiments folder that commands use, with a trained experiment and a copy of it."""
    shutil.copytree(HOME / "old_run" / "data", tmp_path / "data")
    for name in ("stopped", "copied"):
        shutil.copytree(HOME / "old_run" / "experiments" / "stopped", tmp_path / "experiments" / name)
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(tmp_path / "experiments"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "experiments"


@pytest.mark.process
@pytest.mark.usefixtures("toy")
def test_a_new_statistic_is_in_the_output_of_the_commands(trained, capfd):
    assert focus(["evaluate", "stopped", "--checkpoint", "last"]) == 0
    said = capfd.readouterr().out
    assert "toy extremes" in said
    assert "value [a unit]" in said
    assert "toy, shift of the extremes" in said
    assert "lowest" in json.loads((trained / "stopped" / "evaluation.json").read_text())["extremes"]

    command = ["compare", "stopped", "copied", "--checkpoint", "last", "-n", "8", "--steps", "2"]
    assert focus([*command, "-o", "report.json"]) == 0
    assert "toy low" in capfd.readouterr().out
    document = json.loads(Path("report.json").read_text())
    assert [set(run["extremes"]) >= {"shift", "lowest"} for run in document["runs"]] == [True, True]
    assert all("toy_shift" in cost for run in document["runs"] for cost in run["steps"])
    rows = score_rows(read_comparison(document))
    assert rows[0][-1] == "toy low"
    assert rows[1][-1] == "12.5 ± 1.0 %"
    assert rows[-1][-1] == "up to 20.0 %"


@pytest.mark.usefixtures("toy")
def test_a_new_statistic_is_in_the_reference(monkeypatch):
    monkeypatch.syspath_prepend(HOME.parent / "scripts")
    import write_reference

    page = write_reference.statistics()
    assert "## `extremes`" in page
    assert "| `lowest` | toy, lowest | fraction | off |" in page
    sys.modules.pop("write_reference")


def test_names_are_keys_and_no_two_scores_share_one():
    assert all(name == spec.name for name, spec in STATISTICS.items())
    keys = [score.key for spec in STATISTICS.values() for score in spec.scores]
    assert len(set(keys)) == len(keys)
    assert {*OWN_PANELS, *OWN_OVERLAYS, *OWN_CHARTS} <= set(STATISTICS)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_module_has_the_functions_of_a_statistic(name):
    module = statistic_of(STATISTICS[name])
    for function in ("compare",) if STATISTICS[name].measured_by else ("bins", "measure", "compare"):
        wanted = list(inspect.signature(getattr(Statistic, function)).parameters)[1:]
        assert list(inspect.signature(getattr(module, function)).parameters) == wanted


@pytest.fixture(scope="module")
def results(maps):
    """Return the result of each statistic that needs no training maps, by its name."""
    of_fields = evaluated(np.stack([maps, maps**1.1], axis=2), fields=("Mcdm", "T"))
    return {**of_fields.results, **of_fields.others["Mcdm x T"]}


@pytest.mark.parametrize("name", [name for name, spec in STATISTICS.items() if not spec.needs_training])
def test_a_spec_reads_the_same_from_a_result_and_from_its_json(name, results):
    spec, result = STATISTICS[name], results[name]
    written = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert spec.scores_in(result) == spec.scores_in(written)
    assert spec.curve_in(result) == spec.curve_in(written)
    assert any(score.value is not None for score in spec.scores_in(result))
    assert all(score.value is None for score in spec.scores_in(None))


def test_maps_are_measured_once(maps):
    """Comparisons use one vector per map: a subset of vectors equals a measurement of that subset of maps."""
    rows = np.array([0, 1, 2, 9, 10, 11])
    real, generated = (MapStack(one, 25.0, training=maps[1]) for one in maps)
    for spec in (one for one in statistics_of(pair=False).values() if not one.measured_by):
        statistic = statistic_of(spec)
        bins = statistic.bins(real, generated)
        whole, part = statistic.measure(real, bins), statistic.measure(MapStack(real.values[rows], 25.0), bins)
        vectors = VECTORS.get(spec.name)
        pick = (lambda one: getattr(one, vectors)) if vectors else (lambda one: one)  # noqa: B023
        np.testing.assert_array_equal(pick(taken(whole, rows)), pick(part))


def test_a_ratio_is_unknown_where_a_value_is():
    curve = StatisticCurve((1.0, 2.0, 3.0), (2.0, None, 0.0), (None,) * 3, (3.0, 1.0, 1.0))
    assert curve.ratio == (1.5, None, None)
