import re

import numpy as np
import pytest

from focus_tui.charts.half_blocks import draw_map, draw_maps
from focus_tui.terminal import cells

MAP = 1e11 * np.exp(np.random.default_rng(0).normal(size=(32, 32)))


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("depth", ["truecolor", "256", "16", None])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (20, 6), (33, 50)])
def test_fits_and_states_its_units(width, height, depth):
    for text in (
        draw_map(MAP, width=width, height=height, color_depth=depth, title="real"),
        draw_maps([MAP, MAP], width=width, height=height, color_depth=depth, titles=["진짜 우주", "generated"]),
    ):
        lines = plain(text).split("\n")
        assert len(lines) <= height
        assert max(map(cells, lines)) <= width
        assert ("\x1b" in text) == (depth is not None)
        assert all(line.endswith("\x1b[0m") for line in text.split("\n") if "▀" in line and "10" not in line)
    assert width < 40 or "(M☉/h)/(Mpc/h)²" in lines[-1]


def test_pixels_are_square_and_half_a_cell_high():
    lines = plain(draw_map(MAP, width=80, height=24)).split("\n")[:-1]
    assert (len(lines), len(lines[0])) == (16, 32)
    enlarged = plain(draw_map(MAP, width=80, height=40)).split("\n")[:-1]
    assert (len(enlarged), len(enlarged[0])) == (32, 64)
    shrunk = plain(draw_map(np.ones((256, 128)), width=80, height=21)).split("\n")[:-1]
    assert (len(shrunk), len(shrunk[0])) == (20, 20)


def test_the_first_row_is_at_the_bottom_and_scales_are_shared():
    ramp = np.ones((4, 4))
    ramp[0] = 100.0
    dark, bright = "48;2;0;0;4", "48;2;252;253;191"
    text = draw_map(ramp, width=4, height=3, vmin=1, vmax=100)
    top, bottom, _ = text.split("\n")
    assert bright in bottom
    assert bright not in top
    both = draw_maps([np.ones((4, 4)), np.full((4, 4), 100.0)], width=10, height=3, vmin=1, vmax=100)
    left, right = both.split("\n")[0].split("  ")
    assert dark in left
    assert bright in right


@pytest.mark.parametrize("colormap", ["magma", "viridis", "inferno"])
def test_sixteen_colours_are_those_of_every_terminal(colormap):
    ramp = np.geomspace(1, 100, 12)[:, None] * np.ones((1, 4))
    text = draw_map(ramp, width=12, height=13, vmin=1, vmax=100, color_depth="16", colormap=colormap)
    codes = {int(code) for codes in re.findall(r"\x1b\[([0-9;]+)m", text) for code in codes.split(";")} - {0}
    assert all(30 <= code <= 47 or 90 <= code <= 107 for code in codes)
    assert len({code % 10 + 10 * (code >= 90) for code in codes}) == 6


def test_averages_keep_the_mean_and_odd_sizes_work():
    """A map shrunk by a fraction is averaged, not sampled: a single bright pixel still shows."""
    lone = np.ones((64, 64))
    lone[17, 40] = 1e6
    text = draw_map(lone, width=24, height=13, vmin=1, vmax=1e4)
    assert len(set(re.findall(r"2;\d+;\d+;\d+", text.rsplit("\n", 1)[0]))) > 1
    assert draw_map(np.ones((7, 13)), width=13, height=9)


def test_zeros_and_nan_are_drawn_dark():
    broken = MAP.copy()
    broken[:4], broken[4:8] = 0, np.nan
    assert "nan" not in draw_map(broken, width=80, height=24)
    assert "▀" in draw_map(np.zeros((8, 8)), width=80, height=24)


def test_too_small_says_so():
    assert len(draw_map(MAP, width=1, height=1)) <= 1
    assert "too small" in draw_maps([MAP] * 20, width=30, height=10)
