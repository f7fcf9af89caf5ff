"""The filter language: laws of its logic, every field, the message of every mistake; sorting, unknown values last."""

import re
import unicodedata
from contextlib import suppress
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus_engine.errors import InputError
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.labels import Labels
from focus_tui.view.columns import BY_KEY, RunRow, in_default_order
from focus_tui.view.query import parse_query, parse_sort, sort_rows
from focus_tui.view.query_fields import ALIASES, FIELDS
from focus_tui.view.words import GLYPHS

NOW = 10_000.0


def row(name, tags=(), note="", archived=False, device=None, seconds=None, **known):
    summary = RunSummary(name=name, path=f"/e/{name}", **known)
    return RunRow(summary, Labels(tags, note, archived), seconds_per_epoch=seconds, device=device)


ROWS = (
    row(
        "vp_small",
        ("baseline", "x"),
        "kept for the paper",
        state="running",
        phase="warmup",
        method="diffusion",
        epoch=3,
        num_epochs=200,
        lr=2e-5,
        val_loss=0.5,
        updated=NOW - 5,
        eta_seconds=5400.0,
        seconds=90.0,
        device="cuda:1",
    ),
    row(
        "VP large",
        state="early_stopped",
        method="flow",
        epoch=112,
        lr=1e-4,
        val_loss=0.05,
        best_val_loss=0.04,
        pk_error=0.05,
        updated=NOW - 7200,
        reason="10 of 10 bad epochs",
    ),
    row("flow-2", ("x",), state="lost", method="flow", lr=3e-4, epoch=10, updated=NOW - 90_000, host="gpu1"),
    row(unicodedata.normalize("NFD", "한글 실험"), ("실험",)),
    row("old", ("baseline",), archived=True, state="finished", method="flow", val_loss=0.2, best_val_loss=0.2),
)
NAMES = [one.summary.name for one in ROWS]
SMALL, LARGE, FLOW, KOREAN, OLD = NAMES


def found(text):
    query = parse_query(text)
    return [one.summary.name for one in ROWS if query.matches(one, NOW)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", [SMALL, LARGE, FLOW, KOREAN]),
        ("   ", [SMALL, LARGE, FLOW, KOREAN]),
        ("state:running", [SMALL]),
        ("state:warmup", [SMALL]),
        ("state:live", [SMALL]),
        ("state:Running,LOST", [SMALL, FLOW]),
        ("state:early_stopped", [LARGE]),
        ('state:"early stopped"', [LARGE]),
        ("state:early-stopped", [LARGE]),
        ("state:early*", [LARGE]),
        ("-state:lost", [SMALL, LARGE, KOREAN]),
        ("state!=lost", [SMALL, LARGE, KOREAN]),
        ("state:created", [KOREAN]),
        ("method:flow", [LARGE, FLOW]),
        ("method:flow lr>=3e-4", [FLOW]),
        ("lr >= 1e-4", [LARGE, FLOW]),
        ("lr=1e-4", [LARGE]),
        ("lr==0.0001", [LARGE]),
        ("lr:.0001,3e-4", [LARGE, FLOW]),
        ("lr!=1e-4", [SMALL, FLOW]),
        ("-lr:1e-4", [SMALL, FLOW, KOREAN]),
        ("epoch<10", [SMALL]),
        ("epoch<=10", [SMALL, FLOW]),
        ("epoch>10", [LARGE]),
        ("val<0.1", [LARGE]),
        ("val_loss<0.1", [LARGE]),
        ("-val<0.1", [SMALL, FLOW, KOREAN]),
        ("pk<=0.05", [LARGE]),
        ("pk<=5%", [LARGE]),
        ("pk<5%", []),
        ("name~vp", [SMALL, LARGE]),
        ("name:vp*", [SMALL, LARGE]),
        ("name:vp", []),
        ("name:VP_SMALL", [SMALL]),
        ("name~/^vp.l/", [LARGE]),
        ("name~/vp (large|huge)/", [LARGE]),
        ("name~/^vp_/,flow", [SMALL, FLOW]),
        ("name:'vp large'", [LARGE]),
        ("path~/e/flow", [FLOW]),
        ("tag:x", [SMALL, FLOW]),
        ("tags:baseline tag:x", [SMALL]),
        ("-tag:x", [LARGE, KOREAN]),
        ("tag~base", [SMALL]),
        ("note~paper", [SMALL]),
        ("vp", [SMALL, LARGE]),
        ("vp large", [LARGE]),
        ('"vp large"', [LARGE]),
        ("paper", [SMALL]),
        ("baseline,flow", [SMALL, FLOW]),
        ("-vp", [FLOW, KOREAN]),
        ("flow-2", [FLOW]),
        ("한글", [KOREAN]),
        (unicodedata.normalize("NFD", "실험"), [KOREAN]),
        ("tag:실험", [KOREAN]),
        ("age<1min", [SMALL]),
        ("age>=2h age<1d", [LARGE]),
        ("age>1d", [FLOW]),
        ("eta<=1.5h", [SMALL]),
        ("time>1min", [SMALL]),
        ("gpu:cuda:1", [SMALL]),
        ("host:gpu1", [FLOW]),
        ("reason~bad", [LARGE]),
        ("phase:warmup", [SMALL]),
        ("archived:yes", [OLD]),
        ("archived:no vp", [SMALL, LARGE]),
        ("archived:any val>0", [SMALL, LARGE, OLD]),
        ("-archived:no", [OLD]),
        ("LR>=1e-4 State:LOST", [FLOW]),
    ],
)
def test_a_filter_finds_the_runs(text, names):
    assert found(text) == names


WORDS = ["state:running", "lr>=1e-4", "vp", "tag:x,baseline", "archived:any", "val<0.3", "name~/l/", "epoch!=3"]
SOME = st.lists(st.sampled_from(WORDS), max_size=4)


@given(SOME, SOME)
def test_conditions_are_joined_by_and_in_any_order(some, others):
    together = found(" ".join(some + others))
    assert together == found(" ".join(others + some))
    if "archived:any" not in some + others:
        assert set(together) == set(found(" ".join(some))) & set(found(" ".join(others)))


@pytest.mark.parametrize("word", WORDS)
def test_a_word_and_its_negation_share_all_runs(word):
    assert sorted(found(f"archived:any {word}") + found(f"archived:any -{word}")) == sorted(NAMES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stat:running", ("'stat' (character 1)", "unknown field; did you mean 'state'?", "name, state, method")),
        ("vp xyz:1", ("'xyz' (character 4)", "unknown field; allowed: name")),
        ("state:runing", ("'runing' (character 7)", "no state; did you mean 'running'?", "early_stopped")),
        ("state:running,lots", ("'lots' (character 15)", "did you mean 'lost'")),
        ("archived:maybe", ("no archived", "yes, no, any")),
        ("lr>=fast", ("'fast' (character 5)", "not a number", "1e-4, 5% or 2h")),
        ("lr>=1e-4x", ("not a number",)),
        ("lr<nan", ("not a number",)),
        ("lr<1,2", ("'1,2' (character 4)", "< takes one number")),
        ("lr~1", ("lr is a number: use =",)),
        ("name>a", ("name is text: use : or ~ instead of >",)),
        ("state:", ("'state:' (character 1)", "a value is missing")),
        ("vp state: lost", ("'state:' (character 4)", "a value is missing")),
        ("lr >= ", ("'lr >=' (character 1)", "a value is missing")),
        ("state:lost,", ("a value is missing",)),
        ("tag:,x", ("a value is missing",)),
        ('name:""', ("a value is missing",)),
        ("vp -", ("'-' (character 4)", "a value is missing")),
        ('name:"vp', ("'\"vp' (character 6)", "the quote is not closed")),
        ('"a"b', ("put a space or a comma after the quote",)),
        ("name~/(/", ("'/(/' (character 6)", "not a regular expression")),
        ("name~/a{99999999999999999999}/", ("not a regular expression",)),
    ],
)
def test_mistakes_are_reported_with_their_position(text, said):
    with pytest.raises(InputError) as caught:
        parse_query(text)
    for words in said:
        assert words in str(caught.value)


@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from([*'-"/,:~<>=! ', "state", "lr", "1e-4", "name", "[", "x"])).map("".join)
)
def test_any_text_is_a_filter_or_refused_in_words(text):
    with suppress(InputError):  # anything else escapes
        query = parse_query(text)
        assert all(query.matches(one, NOW) in {True, False} for one in ROWS)


def test_every_number_of_the_json_is_a_field_and_unknown_ones_fail_comparisons():
    numbers = {one.name for one in fields(RunSummary) if "int" in str(one.type) or "float" in str(one.type)}
    assert len(numbers) == 20
    full = RunRow(RunSummary(name="a", path="a", **dict.fromkeys(numbers, 7)))
    empty = RunRow(RunSummary(name="a", path="a"))
    for name in numbers:
        assert FIELDS[ALIASES.get(name, name)].kind == "number"
        assert parse_query(f"{name}=7 {name}<8 {name}>=7").matches(full, NOW)
        for sign in ("<", ">", "=", "!="):
            assert not parse_query(f"{name}{sign}7").matches(empty, NOW)


def test_every_state_and_field_can_be_filtered():
    for state in GLYPHS:
        assert parse_query(f"state:{state}").matches(row("a", state=state))
    for name, field in FIELDS.items():
        parse_query(f"{name}:{field.allowed[0] if field.allowed else 1}")
        assert field.meaning
    assert set(ALIASES.values()) <= set(FIELDS)


@pytest.mark.parametrize("key", BY_KEY)
@pytest.mark.parametrize("descending", [False, True])
def test_sorting_keeps_every_run_and_leaves_unknown_ones_last(key, descending):
    rows = [*ROWS, *ROWS]
    ordered = sort_rows(rows, key, descending)
    values = [BY_KEY[key].value(one) for one in ordered]
    known = [value for value in values if value is not None]
    assert sorted(map(id, ordered)) == sorted(map(id, rows))
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=descending)


@pytest.mark.parametrize("descending", [False, True])
def test_sorting_is_stable(descending):
    rows = [row(name, val_loss=0.5) for name in "cab"] + [row(name) for name in "zy"]
    assert [one.summary.name for one in sort_rows(rows, "val", descending)] == list("cabzy")


def test_the_default_order_is_that_of_ls():
    assert sort_rows(ROWS, "standing") == in_default_order(ROWS)
    assert sort_rows(ROWS, "standing", descending=True) == in_default_order(ROWS)[::-1]


def test_recent_runs_have_the_lowest_age():
    assert [one.summary.name for one in sort_rows(ROWS, "age")][:3] == [SMALL, LARGE, FLOW]


@pytest.mark.parametrize(
    ("text", "sort"), [("val", ("val", False)), (" -val ", ("val", True)), ("standing", ("standing", False))]
)
def test_a_sort_is_a_column_with_a_direction(text, sort):
    assert parse_sort(text) == sort


def test_an_unknown_sort_is_refused():
    with pytest.raises(InputError, match=re.escape("unknown column 'vall'; did you mean 'val'?")):
        parse_sort("-vall")
