import re
import subprocess
import sys

import numpy as np
import pytest

from focus_engine.config.statistic_spec import CurveSpec, StatisticCurve
from focus_engine.config.statistics import STATISTICS
from focus_tui.charts.canvas import reduced, smoothed
from focus_tui.charts.curves import draw_losses, draw_lr, draw_power, draw_single_power
from focus_tui.charts.statistic import draw_statistic
from focus_tui.terminal import cells

K = np.arange(1, 23) * 0.2513
REAL = 10 * K**-1.5
SIZES = [(80, 24), (120, 40), (48, 14), (30, 8), (180, 50)]
EPOCHS = np.arange(1, 61)
TRAIN = 0.05 + np.exp(-EPOCHS / 9)


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def charts(width, height, color):
    size = {"width": width, "height": height, "color": color, "title": "a title of 실험 · epoch 10"}
    x = np.linspace(9, 13, 64)
    pdf = np.exp(-((x - 11) ** 2))
    return {
        "power": draw_power(K, REAL, 0.5 * REAL, 1.08 * REAL, k_nyquist=5.6, **size),
        "single": draw_single_power(K, REAL, 0.5 * REAL, **size),
        "losses": draw_losses(
            EPOCHS,
            TRAIN,
            1.1 * TRAIN,
            warmup_epochs=5,
            cuts=(31, 44),
            best_epoch=55,
            resumed_after=(20,),
            early_stopped=True,
            **size,
        ),
        "lr": draw_lr(EPOCHS, np.where(EPOCHS < 30, 1e-4, 3e-5), **size),
        "pdf": draw_statistic(
            STATISTICS["pdf"].curve,
            StatisticCurve(*(tuple(values) for values in (x, pdf, 0.1 * pdf, 0.9 * pdf))),
            **size,
        ),
        "linear": draw_statistic(
            CurveSpec("x", "real", "std", "generated", "x", "y", ratio=True),
            StatisticCurve((1.0, 2.0, 3.0), (-1.0, None, 2.0), (None, 0.1, 0.2), (0.0, 0.5, 2.0), limit=2.5),
            **size,
        ),
    }


@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_everything_fits(width, height, color):
    for name, text in charts(width, height, color).items():
        lines = plain(text).split("\n")
        assert len(lines) <= height, name
        assert max(map(cells, lines)) <= width, name
        assert ("\x1b" in text) == color, name
        assert "│" in text, name
        assert lines[-1].strip(), name


def test_no_colour_leaks_into_the_next_line():
    for text in charts(80, 24, color=True).values():
        for line in text.split("\n"):
            assert "\x1b" not in line or line.rstrip(" ").rfind("\x1b[0m") >= line.rfind("\x1b[38")


@pytest.mark.parametrize("color", [True, False])
def test_axes_have_units_and_readable_ticks(color):
    drawn = {name: plain(text) for name, text in charts(80, 24, color).items()}
    for name in ("power", "single"):
        assert "P(k) [(Mpc/h)²]" in drawn[name]
        assert "k [h/Mpc]" in drawn[name]
        assert re.search(r"\b0\.5 +1 +2 +5\b", drawn[name])
        assert re.search(r"^ *10┤", drawn[name], re.MULTILINE)
    assert "k_Nyquist" in drawn["power"]
    assert "epoch" in drawn["losses"].split("\n")[-1]
    assert "10⁻⁴┤" in drawn["lr"]
    assert "10¹¹" in drawn["pdf"]
    assert "[(M☉/h)/(Mpc/h)²]" in drawn["pdf"]
    for text in drawn.values():
        assert not re.search(r"\d[kKMG]\b|\d\.\d{5}|e[+-]\d\d", text.split("\n", 1)[1])


def test_what_happened_is_marked():
    text = plain(charts(120, 40, color=True)["losses"])
    for sign, words in (
        ("★", "best @ 55"),
        ("░", "warmup"),
        ("╎", "rate cut"),
        ("╏", "resumed"),
        ("┃", "early stop"),
    ):
        assert f"{sign} {words}" in text
        assert text.count(sign) > 1 or sign == "░"
    quiet = plain(draw_losses(EPOCHS, TRAIN, TRAIN, width=80, height=24))
    assert not set("★┊╎╏┃") & set(quiet)


def test_warmup_is_shaded_to_its_end_and_all_over_while_it_lasts():
    size = {"width": 80, "height": 24, "color": False}
    for draw in (
        lambda n: draw_losses(EPOCHS[:n], TRAIN[:n], TRAIN[:n], warmup_epochs=30, **size),
        lambda n: draw_lr(EPOCHS[:n], TRAIN[:n], warmup_epochs=30, **size),
    ):
        after, during = draw(60), draw(8)
        assert "░ warmup" in after
        assert "┊" in after
        assert "░ warmup" in during
        assert "┊" not in during
        assert dotted(after.split("\n")[-4]) < 40
        assert dotted(during.split("\n")[-4]) > 60


def dotted(line):
    """Return the last column of the canvas with braille dots; 0 without any."""
    return max((i for i, c in enumerate(re.split("[│┤]", line, maxsplit=1)[-1]) if c >= "\u2800"), default=0)


def test_early_stopping_stands_right_of_the_curves():
    text = plain(draw_losses(EPOCHS, TRAIN, TRAIN, width=80, height=24, early_stopped=True))
    rows = [line for line in text.split("\n")[1:-3] if "┃" in line]
    assert len(rows) > 15
    assert all(line.rstrip().endswith("┃") for line in rows)


def test_where_curves_cross_the_later_one_stays_whole():
    """The validation loss is drawn the same whichever training loss crosses it."""
    wave = 2 + np.sin(EPOCHS / 3)
    one = draw_losses(EPOCHS, 4 - wave, wave, width=80, height=24, log=False)
    other = draw_losses(EPOCHS, (4 - wave)[::-1], wave, width=80, height=24, log=False)
    assert inked(one, 208) == inked(other, 208)
    assert inked(one, 32) != inked(other, 32)


def inked(text, color):
    """Return the cells in a colour: row, column, character."""
    cells = set()
    for row, line in enumerate(text.split("\n")[1:]):
        column = 0
        for code, words in re.findall(r"(?:\x1b\[(?:38;5;)?(\d+)m)?([^\x1b]*)", line):
            cells |= {(row, column + i, c) for i, c in enumerate(words) if code == str(color) and c != " "}
            column += len(words)
    return cells


def test_smoothing_keeps_the_losses_behind():
    rough = TRAIN * (1 + 0.5 * (-1.0) ** EPOCHS)
    size = {"width": 80, "height": 24}
    smooth = draw_losses(EPOCHS, rough, rough, smoothing=0.9, **size)
    assert not inked(draw_losses(EPOCHS, rough, rough, **size), 244)
    assert len(inked(smooth, 244)) > len(inked(smooth, 208))


def test_a_part_of_the_epochs_is_smoothed_as_in_the_whole():
    """Epochs before the first one shown enter the average."""
    falling = np.where(EPOCHS < 30, 100.0, 1.0)
    size = {"width": 80, "height": 24, "color": True, "log": False}
    text = draw_losses(EPOCHS, falling, falling, smoothing=0.9, first_epoch=31, **size)
    assert len({row for row, _, _ in inked(text, 208)}) > 3


def test_the_generated_curve_has_the_name_given():
    text = draw_power(K, REAL, REAL, REAL, width=80, height=24, color=False, generated_label="epoch 20")
    assert "• epoch 20" in text
    assert "generated" not in text


def test_curves_stand_where_their_values_are():
    """A straight line in log-log: the first point is high on the left, the last low on the right."""
    text = plain(draw_single_power(K, REAL, width=80, height=24, color=False))
    canvas = [line.split("│")[-1].split("┤")[-1] for line in text.split("\n")[1:-3]]
    inked = [(row, column) for row, line in enumerate(canvas) for column, c in enumerate(line) if c >= "\u2800"]
    (top, left), (bottom, right) = min(inked), max(inked)
    assert left < 8
    assert right > 65
    assert bottom - top > 0.8 * len(canvas)


def test_the_ratio_panel_shows_the_excess():
    text = plain(draw_power(K, REAL, REAL, 1.08 * REAL, width=80, height=24, color=False))
    rows = text.split("\n")
    above, at_one = (next(i for i, r in enumerate(rows) if r.strip().startswith(t)) for t in ("1.1┤", "1┤─"))
    dots = [i for i, row in enumerate(rows) if row.count("•") > 5 and i > len(rows) // 2]
    assert dots
    assert all(above <= i < at_one for i in dots)


def test_unknown_values_leave_gaps():
    nothing = [None] * len(K)
    assert "┤" in draw_power(K, REAL, nothing, [None, *REAL[1:]], width=80, height=24)
    assert "nothing to draw" in draw_power(K, nothing, nothing, nothing, width=80, height=24)
    assert "┤" in draw_losses([1, 2, 3], [1.0, None, 0.5], [None, None, None], width=80, height=24)
    assert "nothing to draw" in draw_losses([], [], [], width=80, height=24)
    assert "too small" in draw_lr([1], [1e-4], width=10, height=3)
    for line in draw_losses([1], [0.5], [0.4], width=30, height=8).split("\n"):
        assert cells(plain(line)) <= 30


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 0.5, 2.0], [1e-30, 1.0, 1e30]])
def test_odd_losses_are_no_crash(values):
    for log in (True, False):
        assert "┤" in draw_losses([1, 2, 3], values, values, width=60, height=16, log=log)


def test_same_input_same_text():
    first = charts(80, 24, color=True)
    charts(120, 40, color=False)
    assert charts(80, 24, color=True) == first


def test_a_million_points_keep_their_extremes():
    n = 1_000_000
    x = np.linspace(0, 1, n)
    y = np.sin(40 * x)
    y[123_456], y[654_321] = 9.0, -9.0
    short_x, short_y = reduced(x, y, (0.0, 1.0), 80)
    assert short_x.size <= 4 * 80 + 2
    assert (short_y.max(), short_y.min()) == (9.0, -9.0)
    assert np.all(np.diff(short_x) >= 0)
    assert "┤" in draw_losses(np.arange(1, n + 1), y + 10, y + 10, width=80, height=24)


def test_smoothing_keeps_a_constant_and_passes_over_what_is_unknown():
    constant = np.full(5, 2.0)
    np.testing.assert_allclose(smoothed(constant, 0.9), constant)
    values = np.array([1.0, np.nan, 3.0])
    smooth = smoothed(values, 0.5)
    assert np.isnan(smooth[1])
    assert smooth[2] == pytest.approx((0.5 * 0.5 * 1 + 0.5 * 3) / 0.75)
    assert smoothed(values, 0.0) is values


def test_a_lone_epoch_is_easily_seen():
    assert plain(draw_losses([1], [0.5], [0.4], width=80, height=24)).count("•") == 2


def test_points_in_any_order_are_reduced_alike():
    x = np.linspace(0, 1, 5000)
    y = np.sin(40 * x)
    mixed = np.random.default_rng(0).permutation(x.size)
    (one_x, one_y), (other_x, other_y) = (reduced(x[at], y[at], (0.0, 1.0), 80) for at in (slice(None), mixed))
    np.testing.assert_array_equal(one_y, other_y)
    np.testing.assert_allclose(one_x, other_x, atol=1 / 160)


def test_importing_charts_is_light():
    code = (
        "import sys, focus_tui.charts.curves; "
        "sys.exit(bool({'plotext', 'torch', 'matplotlib', 'textual'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
