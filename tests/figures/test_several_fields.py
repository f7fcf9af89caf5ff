"""Reports of several fields of 256² maps: their size, and the scatter of CAMELS CV beside P(k) of its field alone."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from focus_engine.figures.html_report import html_page
from focus_engine.figures.map_pictures import MAX_PIXELS, map_pairs
from focus_engine.figures.panels import power_panels
from focus_engine.statistics.camels_scatter import camels_cv_scatter
from focus_engine.statistics.compare import judge
from focus_engine.statistics.design import Design
from focus_engine.units import SURFACE_DENSITY
from focus_tui.compute.report_view import scatter_lines

FIELDS, UNITS = ("HI", "Mcdm", "T"), (SURFACE_DENSITY, SURFACE_DENSITY, "K")
IDS = np.repeat(np.arange(2), 2)
DRAW = np.random.default_rng(0)
REAL, GENERATED = DRAW.lognormal(25, 0.5, (2, 4, 3, 256, 256)).astype(np.float32)
PARAMS = DRAW.uniform(0.1, 0.5, (2, 2))[IDS]


@pytest.fixture(scope="module")
def evaluation():
    design = replace(Design.paired(IDS, PARAMS), values_only=True)  # errors and nulls would take a second more
    return judge(REAL, GENERATED, design, 25.0, fields=FIELDS, units=UNITS)


def test_a_report_of_three_fields_is_one_small_page(evaluation):
    given = {"params": (PARAMS, ("Omega_m", "sigma_8")), "units": UNITS, "provenance": {"real": {"seed": 0}}}
    page = html_page("title", evaluation, maps=(REAL, GENERATED), config="seed: 0", **given)
    assert len(page.encode()) < 5e6
    assert page.count("<img") == 12
    assert page.count("<svg") > 3 * 5
    assert not re.search(r"https?:|url\(|@import|<script|<link", re.sub(r'src="data:[^"]*"', "", page))
    assert page.count('class="reference"') == 2  # the edges of ±1σ of one field
    assert page.count("±1σ of Mcdm in the CV set of CAMELS") == 1


def test_the_pictures_of_a_report_have_a_bounded_size():
    """40 fields of noise, which a PNG can't make smaller."""
    maps = np.broadcast_to(REAL[:1, :1], (1, 40, 256, 256))
    page = map_pairs(maps, maps, np.empty((1, 0)), (), units=[SURFACE_DENSITY] * 40)
    assert page.count("<img") == 80
    assert len(page) < MAX_PIXELS * 4 / 3 + 80 * 2000


def test_the_scatter_of_camels_stands_in_figure_terminal_and_json(evaluation):
    power = {
        name: results["power_spectrum"]
        for name, results in {"HI": evaluation.results, **evaluation.others}.items()
        if " x " not in name
    }
    assert [name for name, one in power.items() if one.camels_cv_std is not None] == ["Mcdm"]
    found = power["Mcdm"].scatter_by_band
    lines = scatter_lines(evaluation)
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.startswith(f"Mcdm, {found['band'][0]}"))
    shown = [f"{100 * found[name][0]:.0f}" for name in ("generated", "real", "camels_cv")]
    assert re.findall(r"(\d+) %", row) == shown
    saved = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert saved["power_spectrum"]["camels_cv_std"] is None
    assert saved["fields"]["Mcdm"]["power_spectrum"]["scatter_by_band"]["camels_cv"] == list(found["camels_cv"])
    labels = []
    for name in ("HI", "Mcdm"):
        figure = Figure()
        power_panels(figure, power[name], name)
        labels.append([text.get_text() for text in figure.axes[0].get_legend().get_texts()])
    assert set(labels[1]) - set(labels[0]) == {"±1σ of Mcdm in the CV set of CAMELS"}


def test_scatters_are_relative_to_the_mean_of_the_real_maps(evaluation):
    power = evaluation.others["Mcdm"]["power_spectrum"]
    scatter = camels_cv_scatter()
    np.testing.assert_allclose(scatter.at(scatter.k), scatter.std_map)
    np.testing.assert_allclose(power.camels_cv_std, scatter.at(power.k))
    shares = {"real": power.fixed_std, "generated": power.generated_std, "camels_cv": power.camels_cv_std}
    for name, std in shares.items():
        relative = std / power.real_mean
        assert (relative.min() < power.scatter_by_band[name]).all()
        assert (power.scatter_by_band[name] < relative.max()).all()
