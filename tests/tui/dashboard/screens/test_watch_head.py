"""The lines above the panes of the Watch screen."""

import re

import pytest
from dashboard import full_view, view_from
from example_events import making_data, started, step, worker

from focus_tui.dashboard.widgets.watch_head import gauge, head_lines
from focus_tui.dashboard.widgets.watch_layout import head_rows


def head(view, width=120) -> str:
    return "\n".join(line.plain for line in head_lines(view, None, width))


@pytest.mark.parametrize(
    ("state", "reason", "then"),
    [
        ("lost", "its worker recorded no outcome", "r resumes it"),
        ("stalled", "no progress for 12 min", "x ends it now"),
    ],
)
def test_the_head_says_what_happened_and_what_to_do(state, reason, then):
    said = head(full_view(state=state, reason=reason))
    assert all(words in said for words in (state, reason, then))


def test_the_head_shows_the_making_of_data():
    view = view_from([worker(), making_data(37, 100)], state="starting")
    assert re.search(r"simulating universes █+.?·+ 37/100", head(view))


def test_the_head_never_exceeds_its_width():
    for width in (20, 40, 80, 200):
        for view in (full_view(), full_view(state="lost", reason="x" * 300), view_from([], state="created")):
            assert all(line.cell_len <= width for line in head_lines(view, None, width))


def test_a_gauge_is_full_at_its_limit_and_never_beyond():
    assert gauge(0, 10) == "□" * 10
    assert gauge(3, 10) == "■■■" + "□" * 7
    assert gauge(10, 10) == "■" * 10
    assert gauge(50, 100) == "■" * 6 + "□" * 6


@pytest.mark.parametrize(("width", "height"), [(20, 6), (40, 10), (80, 24), (120, 40), (250, 70)])
def test_the_head_keeps_to_its_lines_and_says_the_state_first(width, height):
    views = [full_view(), full_view(state="lost", reason="x" * 300), view_from([], state="created")]
    views.append(view_from([worker(), started(), *full_view().epochs, step(10, 25, n_batches=50, step=115)]))
    for view in views:
        lines = head_lines(view, None, width, head_rows(height))
        assert len(lines) >= 1
        assert all(line.cell_len <= width for line in lines)
        assert "alpha" in lines[0].plain


def test_at_80_columns_the_words_hold_phase_gauges_and_error():
    said = "\n".join(line.plain for line in head_lines(full_view(), None, 80, head_rows(24)))
    for word in ("TRAINING", "bad epochs", "patience", "P(k) error 10 ± 3 %", "perfect 6.0 %", "LR drops to"):
        assert word in said
