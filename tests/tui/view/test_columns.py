"""The list of runs: it fits the width, aligns its columns, sorts naturally, and keeps hostile names on one line."""

import re
from dataclasses import replace

import pytest

from focus_engine.errors import InputError
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.labels import Labels
from focus_tui.cli.run_table import run_table
from focus_tui.terminal import cells
from focus_tui.view.columns import (
    BY_KEY,
    COLUMNS,
    DASHBOARD_KEYS,
    GAP,
    LIST_KEYS,
    RunRow,
    columns_of,
    fit_columns,
    in_default_order,
)
from focus_tui.view.words import GLYPHS

NOW = 4660.0
RUNNING = RunRow(
    RunSummary(
        name="experiment_diffusion",
        path="/e/experiment_diffusion",
        method="diffusion",
        state="running",
        phase="training",
        epoch=12,
        num_epochs=200,
        lr=1e-4,
        val_loss=0.1456,
        best_val_loss=0.14,
        best_epoch=10,
        pk_error=0.123,
        updated=4600.0,
        eta_seconds=11000.0,
    ),
    Labels(("baseline", "vp"), "first one\nthat works"),
    seconds_per_epoch=45.0,
    device="cuda:1",
)
LOST = RunRow(RunSummary(name="한글 실험", path="/e/한글 실험", state="lost", reason="gone"))
LONG = RunRow(RunSummary(name="n" * 90, path="x"))
HOSTILE = RunRow(
    RunSummary(name="a\x1b[2J\nb\t\u202e", path="x", method="\x9b31m"),
    Labels(note="\x1b]0;own\x07\nx"),
    device="\x1b[0m\n",
)
ROWS = [RUNNING, LOST, LONG, HOSTILE]
EVERY = tuple(column for column in COLUMNS if column.key != "spark")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 180, None])
@pytest.mark.parametrize("columns", [None, EVERY])
def test_the_table_fits_and_its_columns_are_aligned(width, columns):
    lines = run_table(ROWS, now=NOW, width=width, color=False, columns=columns)
    assert len(lines) == 5
    if width is not None:
        assert max(map(cells, lines)) <= width
    else:
        assert "n" * 90 in lines[3]
    assert "NAME" in lines[0]
    if width is None or width >= 40:
        assert "12/200" in lines[1]
        ends = [cells(line[: line.index(mark)] + mark) for line, mark in ((lines[0], "EPOCH"), (lines[1], "12/200"))]
        assert ends[0] == ends[1]


def test_a_score_stands_beside_that_of_a_perfect_generator_on_80_columns():
    row = replace(RUNNING, summary=replace(RUNNING.summary, pk_error_std=0.05, pk_error_null=0.06))
    heading, first = run_table([row], now=NOW, width=80, color=False)
    assert "PERFECT" in heading
    assert "12 ± 5 %    6.0 %" in first


def test_colour_changes_nothing_but_colour():
    plain = run_table(ROWS, now=NOW, width=100, color=False)
    painted = run_table(ROWS, now=NOW, width=100, color=True)
    assert "\x1b[32m" in painted[1]
    assert "\x1b[31m" in painted[2]
    for line, other in zip(plain, painted, strict=True):
        assert re.sub(r"\x1b\[\d+m", "", other) == line


def test_tags_are_shown_when_there_are_any():
    assert "TAGS" not in run_table([LOST], now=NOW, width=None, color=False)[0]
    heading, first, *_ = run_table(ROWS, now=NOW, width=None, color=False)
    assert heading.endswith("TAGS")
    assert first.endswith("baseline vp")


@pytest.mark.parametrize("column", EVERY, ids=lambda column: column.key)
@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_every_text_is_one_harmless_line(column, row):
    assert column.text(row, NOW).isprintable()


@pytest.mark.parametrize("key", BY_KEY)
def test_values_of_a_column_compare(key):
    values = [BY_KEY[key].value(row) for row in ROWS]
    sorted(value for value in values if value is not None)


def test_unknown_values_are_none():
    nothing = RunRow(RunSummary(name="a", path="a"))
    known = {column.key for column in COLUMNS if column.value(nothing) is not None}
    assert known == {"state", "name", "phase"}


def test_a_wide_screen_cuts_nothing_and_a_narrow_one_keeps_state_and_name():
    columns = columns_of(LIST_KEYS)
    assert [column.key for column, _ in fit_columns(columns, ROWS, 400, NOW)] == list(LIST_KEYS)
    assert [column.key for column, _ in fit_columns(columns, ROWS, 20, NOW)] == ["state", "name"]


@pytest.mark.parametrize("width", range(1, 200, 7))
def test_columns_are_dropped_by_rank(width):
    fitted = fit_columns(EVERY, ROWS, width, NOW)
    kept = {column.key for column, _ in fitted}
    assert width < 10 or sum(room + GAP for _, room in fitted) - GAP <= width
    highest = max(BY_KEY[key].rank for key in kept)
    assert all(column.rank >= highest for column in EVERY if column.key not in kept)
    assert all(room >= 1 for _, room in fitted)


def test_a_name_is_cut_before_a_column_is_dropped():
    columns = columns_of(["state", "name", "epoch"])
    (_, _), (_, name), (_, _) = fit_columns(columns, [LONG, RUNNING], 60, NOW)
    assert 12 <= name < 90
    assert run_table([LONG], now=NOW, width=60, color=False, columns=columns)[1].split()[2].endswith("…")


def test_no_rows_leave_the_titles():
    assert [room for _, room in fit_columns(columns_of(["val", "best"]), [], 80, NOW)] == [3, 4]


@pytest.mark.parametrize("keys", [LIST_KEYS, DASHBOARD_KEYS, ["best"]])
def test_columns_are_found_by_key(keys):
    assert [column.key for column in columns_of([*keys, keys[0], " best "])][: len(keys)] == list(keys)


@pytest.mark.parametrize(
    ("keys", "words"), [(["bst"], "did you mean 'best'"), ([], "allowed: state, name"), (["?"], "allowed")]
)
def test_an_unknown_column_is_refused(keys, words):
    with pytest.raises(InputError, match=re.escape(words)):
        columns_of(keys)


def test_states_have_a_sort_order():
    places = [BY_KEY["state"].value(RunRow(RunSummary(name="a", path="a", state=state))) for state in GLYPHS]
    assert len(set(places)) == len(GLYPHS)
    assert min(GLYPHS, key=lambda state: places[list(GLYPHS).index(state)]) == "running"


def test_names_sort_naturally():
    names = ["run10", "Run2", "run", "a1b2", "12", "한글"]
    rows = [RunRow(RunSummary(name=name, path=name)) for name in names]
    ordered = sorted(rows, key=BY_KEY["name"].value)
    assert [row.summary.name for row in ordered] == ["12", "a1b2", "run", "Run2", "run10", "한글"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s ago"), (-5, "0 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago"), (2e5, "2 d ago")],
)
def test_ages_stay_short(seconds, text):
    row = RunRow(RunSummary(name="a", path="a", updated=NOW - seconds))
    assert BY_KEY["age"].text(row, NOW) == text


@pytest.mark.parametrize(
    ("state", "phase", "text"),
    [("running", "warmup", "WARMUP"), ("early_stopped", "training", "early stopped @ 7"), ("lost", "warmup", "lost")],
)
def test_the_phase_in_words(state, phase, text):
    row = RunRow(RunSummary(name="a", path="a", state=state, phase=phase, epoch=7))
    assert BY_KEY["phase"].text(row, NOW) == text


def test_live_runs_come_first_then_the_most_recent():
    rows = [
        RunRow(RunSummary(name="old", path="", state="finished", updated=1.0)),
        RunRow(RunSummary(name="none", path="")),
        RunRow(RunSummary(name="new", path="", state="failed", updated=2.0)),
        RunRow(RunSummary(name="live", path="", state="running", updated=0.5)),
    ]
    assert [row.summary.name for row in in_default_order(rows)] == ["live", "new", "old", "none"]
