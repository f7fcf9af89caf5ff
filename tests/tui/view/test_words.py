"""Runs as text: pure functions, fixed widths, wide characters, hostile names."""

from dataclasses import replace

import pytest
from example_events import end, making_data

from focus_engine.events.table import Warned
from focus_engine.launch.summary import RunSummary
from focus_tui.terminal import cells, visible
from focus_tui.view.words import (
    GLYPHS,
    bar_line,
    duration,
    event_note,
    progress_line,
    size,
    state_words,
    status_lines,
    with_perfect,
)

RUNNING = RunSummary(
    name="experiment_diffusion",
    path="/e/experiment_diffusion",
    method="diffusion",
    state="running",
    phase="training",
    epoch=12,
    num_epochs=200,
    step=2500,
    lr=1e-4,
    train_loss=0.1234,
    val_loss=0.1456,
    best_val_loss=0.14,
    best_epoch=10,
    bad_epochs=1,
    plateau_patience=2,
    early_stop_count=2,
    early_stop_patience=10,
    pk_error=0.123,
    pid=42,
    host="gpu1",
    started=1000.0,
    updated=4600.0,
    eta_seconds=11000.0,
)
LOST = RunSummary(name="한글 실험", path="/e/한글 실험", state="lost", reason="gone")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (45, "45 s"),
        (119, "119 s"),
        (600, "10 min"),
        (11000, "3 h 3 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "error", "null", "text"),
    [
        (None, None, None, "-"),
        (0.4381, None, None, "43.8 %"),  # an old log has neither
        (0.1234, 0.05, 0.062, "12 ± 5 % (perfect 6.2 %)"),
        (0.0312, 0.0121, 0.0995, "3.1 ± 1.2 % (perfect 10 %)"),
        (0.5, 0.0194, None, "50.0 ± 1.9 %"),
        (1.5, 0.25, 0.3, "150 ± 25 % (perfect 30 %)"),
    ],
)
def test_a_score_is_shown_with_its_error_and_a_perfect_one(value, error, null, text):
    assert "".join(with_perfect(value, error, null)) == text


def test_status_says_what_a_perfect_generator_scores():
    (line,) = [one for one in status_lines(replace(RUNNING, pk_error_std=0.05, pk_error_null=0.06)) if "P(k)" in one]
    assert line == "  P(k) error  12 ± 5 % (median, samples during training; a perfect generator scores 6.0 %)"


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.3e9, "2.3 GB"), (4.2e12, "4.2 TB")]
)
def test_sizes(n_bytes, text):
    assert size(n_bytes) == text


def test_warmup_is_named():
    assert state_words(RUNNING) == "running"
    assert state_words(RunSummary(name="a", path="a", state="running", phase="warmup")) == "warmup"
    assert state_words(RunSummary(name="a", path="a", state="early_stopped")) == "early stopped"


def test_status_shows_all_known_values_and_no_others():
    text = "\n".join(status_lines(RUNNING, now=4660.0))
    for words in ("12/200, step 2,500", "best 0.1400 at epoch 10", "1/2 bad epochs", "2/10 patience", "12.3 %"):
        assert words in text
    assert "42 on gpu1, started 61 min ago" in text
    assert "updated     60 s ago" in text
    assert status_lines(LOST)[1:] == ["  state       † lost", "  reason      gone", "  folder      /e/한글 실험"]


def test_every_state_has_a_glyph():
    from typing import get_args

    from focus_engine.events.table import EndState
    from focus_engine.launch.summary import State

    states = {word for part in get_args(State) for word in get_args(part)} | set(get_args(EndState))
    assert states == set(GLYPHS)
    assert all(cells(glyph) == 1 for glyph, _ in GLYPHS.values())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 한글 σ_8 ✓", "plain 한글 σ_8 ✓"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb", "a\\rb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2028b", "a\\u2028b"),
        ("line\nline\t", "line\nline\t"),
    ],
)
def test_control_characters_are_escaped(text, shown):
    assert visible(text) == shown


def test_notes_are_harmless():
    assert event_note(Warned(code="x", message="\x1b]0;own\x07")) == "warning: \\x1b]0;own\\x07"
    ended = end("early_stopped", "10 bad epochs", 30)
    assert event_note(ended) == "early stopped after epoch 30: 10 bad epochs"


@pytest.mark.parametrize("columns", [10, 30, 79])
@pytest.mark.parametrize(("done", "total"), [(0, 0), (0, 7), (3, 7), (7, 7), (9, 7)])
def test_progress_fits(columns, done, total):
    line = bar_line(done, total, ["3/7 universes", "12 s left"], columns)
    assert cells(line) <= columns
    assert progress_line(making_data(done, total), columns) is not None
