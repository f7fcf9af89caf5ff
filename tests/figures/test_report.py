"""The HTML report: well-formed, complete in itself, and its numbers are those of the JSON."""

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from focus_engine.config.statistic_spec import CurveSpec, StatisticCurve
from focus_engine.figures.latex_table import latex_table, power_of_ten
from focus_engine.figures.map_pictures import MAX_SIDE, map_pairs
from focus_engine.figures.report import Report, html_text, write_report
from focus_engine.figures.svg_chart import Axis, axis_of, curve_chart, tick_text
from focus_engine.statistics.compare import judge
from focus_engine.statistics.design import Design

VOID = {"meta", "img", "br", "link", "input", "hr"}
IDS, DRAW = np.repeat(np.arange(6), 3), np.random.default_rng(0)
PARAMS = np.repeat(DRAW.uniform((0.1, 0.6), (0.5, 1.0), (6, 2)), 3, axis=0)
HOSTILE = '<script>alert("1")</script> & co'


class Page(HTMLParser):
    """Collect elements and check that each is closed in its order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.rows, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr" and "data-score" in dict(attrs):
            self.rows.append({"score": dict(attrs)["data-score"]})
        if tag == "td":
            self.cell = dict(attrs)["data-label"]
        if tag == "data":
            self.rows[-1][self.cell] = float(dict(attrs)["value"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, words):
        self.words.append(words)


@pytest.fixture(scope="module")
def report():
    real, generated = DRAW.lognormal(25, 0.5, (2, 18, 1, 16, 16))
    evaluation = judge(real, 1.2 * generated, Design.paired(IDS, PARAMS), 25.0)
    return Report(
        title=HOSTILE,
        evaluation=evaluation,
        document=evaluation.to_dict(),
        real=real[::3],
        generated=generated[::3],
        params=PARAMS[::3],
        param_names=("Omega_m", "sigma_8"),
        notes=(HOSTILE,),
        provenance={"real": {"file": HOSTILE, "ids": [1, 2], "seed": None}},
        config=f"name: '{HOSTILE}'",
    )


@pytest.fixture(scope="module")
def text(report):
    return html_text(report)


def test_the_page_is_well_formed_and_starts_with_the_verdict(report, text):
    page = Page(text)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("h1") == tags.count("main") == 1
    assert "script" not in tags
    words = "".join(page.words)
    assert words.count(HOSTILE) == 5
    verdict = report.evaluation.verdict.text
    assert words.index(verdict[1:]) < words.index("Scores") < words.index("Curves") < words.index("Provenance")
    assert all(attrs.get("alt") for tag, attrs in page.elements if tag == "img")


def test_nothing_is_loaded_from_elsewhere(text):
    for _, attrs in Page(text).elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert attrs.get(name, "data:").startswith("data:")
    assert not re.search(r"url\(|@import|https?:", re.sub(r'src="data:[^"]*"', "", text))
    assert len(text.encode()) < 5e6


def test_its_numbers_are_those_of_the_json(report, text):
    document = json.loads(json.dumps(report.document, allow_nan=False))
    expected = [
        {"score": f"{one['statistic']}.{one['name']}"}
        | {
            label: one[key]
            for label, key in (("value", "value"), ("perfect", "null"), ("p", "p_value"))
            if one[key] is not None
        }
        for one in document["scores"]
        if one["value"] is not None
    ]
    assert Page(text).rows == expected
    assert len(expected) > 10
    (p_value,) = re.findall(r'class="verdict \w+" data-p="([^"]+)"', text)
    assert float(p_value) == document["verdict"]["p_value"]


@pytest.mark.parametrize("suffix", ["json", "pdf", "html"])
def test_every_format_is_written(report, tmp_path, suffix):
    path = tmp_path / f"report.{suffix}"
    write_report(path, report)
    starts = {"json": b"{", "pdf": b"%PDF", "html": b"<!DOCTYPE html>"}
    assert path.read_bytes().startswith(starts[suffix])
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_the_latex_table_has_a_row_for_each_known_score(report):
    lines = latex_table(report.evaluation.scores(), "50 % of a_b").splitlines()
    rows = [line for line in lines if line.count("&") == 4]
    assert len(rows) == 1 + sum(score.value is not None for score in report.evaluation.scores())
    assert r"\caption{50 \% of a\_b}" in lines
    for line in lines:
        assert line.isascii()
        assert not re.search(r"(?<!\\)[%_#]", line)
        assert line.count("$") % 2 == 0
    assert [power_of_ten(p) for p in (0.034, 7.9e-10, 1e-12)] == ["0.034", r"$7.9 \times 10^{-10}$", "$10^{-12}$"]


def test_pictures_are_the_maps(report):
    (first, *_), second = report.real, np.full((1, 1, 600, 300), 2.0)
    images = [
        Image.open(BytesIO(base64.b64decode(one)))
        for one in re.findall(r"base64,([^\"]+)", map_pairs(report.real, report.generated, PARAMS, (), units=["x"]))
    ]
    assert len(images) == 12
    shades = np.asarray(images[0])[::-1].astype(float)
    assert np.corrcoef(shades.ravel(), np.log(first[0]).ravel())[0, 1] > 0.98
    (large, _) = re.findall(r"base64,([^\"]+)", map_pairs(second, second, np.empty((1, 0)), (), units=["x"]))
    assert max(Image.open(BytesIO(base64.b64decode(large))).size) <= MAX_SIDE


SPEC = CurveSpec("x", "r", "s", "g", "k [h/Mpc]", "P(k)", x_scale="log", y_scale="log", ratio=True)


def test_a_chart_places_points_where_the_axes_say():
    curve = StatisticCurve((1.0, 10.0, 100.0), (1e5, 1e4, 1e3), (1e4, None, 1e2), (2e5, 1e4, None), limit=200.0)
    root = ET.fromstring(curve_chart(SPEC, curve, "a & b"))  # noqa: S314  (our own)
    real, generated = (
        next(one for one in root.iter("path") if one.get("class") == kind).get("d") for kind in ("real", "generated")
    )
    places = [tuple(map(float, place.split())) for place in real[1:].split("L")]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    assert y1 > y0
    assert generated.count("L") == 1
    assert "10⁵" in [one.text for one in root.iter("text")]


@pytest.mark.parametrize("values", [(), (None,), (3.0,), (0.0, 0.0), (-1.0, 5.0), (1e-8, 1e8), (2.0, 2.0001)])
@pytest.mark.parametrize("log", [False, True])
def test_any_values_give_an_axis_with_ticks_inside(values, log):
    axis = axis_of(values, 0.0, 100.0, log=log)
    assert 1 <= len(axis.ticks()) <= 9
    for tick in axis.ticks():
        assert -0.01 <= axis.place(tick) <= 100.01
    assert axis.place(None) is None
    assert Axis(1, 10, 0, 1, log=True).place(-1.0) is None


def test_ticks_in_words():
    assert [tick_text(value) for value in (0.3, 20, 1e5, 3e-7, -2.0, 0)] == ["0.3", "20", "10⁵", "3·10⁻⁷", "−2", "0"]
