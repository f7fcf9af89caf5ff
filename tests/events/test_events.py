"""The event table on disk: round trips, torn lines, unknown types, and text with control characters."""

import ast
import json
import math
import os
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest
from example_events import spectrum

from focus_engine.config.statistics import STATISTICS, leading_score
from focus_engine.events.line import parse_event
from focus_engine.events.log import EventTail, append_event, read_events, read_recent_events
from focus_engine.events.statistics import POWER, POWER_ERROR, Measure
from focus_engine.events.table import EVENT_TYPES, EpochFinished, StepProgress, Warned


def example(kind, *, empty):
    """Return an event of `kind` with every field set; with `empty`, null where that is allowed."""
    hints = get_type_hints(kind)
    return kind(**{f.name: value_of(hints[f.name], empty) for f in fields(kind) if f.name != "time"}, time=1.5)


def value_of(hint, empty):
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        if empty:
            return None
        return value_of(next(part for part in inner if part is not NoneType), empty)
    if origin is Literal:
        return inner[0]
    if origin is tuple:
        return tuple(value_of(part, empty) for part in inner if part is not Ellipsis)
    if is_dataclass(hint):
        return hint(**{name: value_of(part, empty) for name, part in get_type_hints(hint).items()})
    if origin is dict or hint is dict:
        return {"torch": "2.10"}
    return {int: 3, float: 0.25, str: "σ_8 \x1b[2J 한글\n", bool: True}[hint]


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_every_event_survives_the_disk(tmp_path, kind, empty):
    event = example(kind, empty=empty)
    append_event(tmp_path / "events.jsonl", event)
    assert read_events(tmp_path / "events.jsonl") == [event]
    (line,) = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert json.loads(line)["type"] == kind.type
    assert not any(byte < 0x20 for byte in line)


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_every_field_is_documented(kind):
    for field in fields(kind):
        if field.name != "time":
            assert f"        {field.name}: " in kind.__doc__.replace("\n    ", "\n        "), field.name


def test_numbers_that_json_does_not_know_become_null():
    step = example(StepProgress, empty=False)
    wild = StepProgress(**{**vars(step), "train_loss": math.nan, "grad_norm": math.inf})
    row = json.loads(wild.to_json())
    assert row["train_loss"] is None
    assert row["grad_norm"] is None
    assert parse_event(wild.to_json()).train_loss is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        '{"type":"warning","code":"x","mess',
        "[]",
        "3",
        '"warning"',
        '{"type":"from_the_future"}',
        '{"type":["warning"]}',
        '{"code":"no type"}',
        '{"type":"warning"}',
        b"\xff\xfe\x00",
        "[" * 100_000,
    ],
)
def test_what_is_no_event_is_skipped(line):
    assert parse_event(line) is None


def test_old_readers_survive_new_fields():
    row = json.loads(Warned(code="a", message="b", time=2.0).to_json()) | {"new_field": {"x": 1}}
    assert parse_event(json.dumps(row)) == Warned(code="a", message="b", time=2.0)


def test_fields_that_came_later_have_defaults():
    row = json.loads(example(EVENT_TYPES["run_started"], empty=True).to_json())
    for field in fields(EVENT_TYPES["run_started"]):
        if field.default is not MISSING or field.default_factory is not MISSING:
            row.pop(field.name, None)
    assert parse_event(json.dumps(row)) is not None


FORMER = {
    "type": "power_spectrum",
    "time": 7.0,
    "epoch": 3,
    "k": [0.5, 1.0],
    "real_mean": [4.0, 2.0],
    "real_std": [1.0, None],
    "generated_mean": [5.0, 1.0],
    "ratio": [1.25, 0.5],
    "k_nyquist": 2.0,
    "median_abs_error": 0.375,
    "true_vs_true": 0.3,
    "n_maps": 16,
}


def test_p_of_k_in_an_old_log_is_read_as_a_statistic_without_error_and_null():
    event = parse_event(json.dumps(FORMER))
    assert (event.type, event.time, event.epoch, event.n_maps) == ("statistics", 7.0, 3, 16)
    assert (event.reference, event.n_points) == ("validation", None)
    assert event.measures == (Measure(name=POWER_ERROR, value=0.375),)
    power = event.power
    assert (power.k, power.real_mean) == ((0.5, 1.0), (4.0, 2.0))
    assert (power.real_std, power.ratio, power.fixed_std) == ((1.0, None), (1.25, 0.5), None)
    assert (power.median_abs_error, power.score.null, power.k_nyquist) == (0.375, None, 2.0)
    assert parse_event(event.to_json()) == event  # as a log that is copied holds it
    assert parse_event(json.dumps(FORMER | {"ratio": [1.0]})) is None
    assert parse_event(json.dumps(FORMER | {"epoch": "3"})) is None


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("measures", {"value": "0.1"}),
        ("measures", {"name": None}),
        ("curves", {"x": [0.5]}),
        ("curves", {"ratio": 1.0}),
        ("curves", {"x": [[0.5], [1.0]]}),
    ],
)
def test_a_statistic_with_a_part_of_another_type_is_skipped(part, change):
    row = json.loads(spectrum(3).to_json())
    assert parse_event(json.dumps(row)) == spectrum(3)
    row[part] = [row[part][0] | change]
    assert parse_event(json.dumps(row)) is None
    row[part] = 3
    assert parse_event(json.dumps(row)) is None


def test_the_names_of_p_of_k_stand_in_the_table_of_statistics():
    assert POWER_ERROR in {score.key for score in STATISTICS[POWER].scores}
    assert (next(iter(STATISTICS)), leading_score().key) == (POWER, POWER_ERROR)


def warning(number):
    return Warned(code="n", message=str(number), time=float(number))


def test_a_tail_returns_each_event_once(tmp_path):
    log = tmp_path / "events.jsonl"
    tail = EventTail(log)
    assert tail.poll() == []
    append_event(log, warning(1))
    append_event(log, warning(2))
    assert tail.poll() == [warning(1), warning(2)]
    assert tail.poll() == []
    append_event(log, warning(3))
    assert tail.poll() == [warning(3)]


def test_a_torn_line_is_read_when_it_is_whole(tmp_path):
    log = tmp_path / "events.jsonl"
    line = (warning(1).to_json() + "\n").encode()
    tail = EventTail(log)
    for cut in range(1, len(line)):
        log.write_bytes(line[:cut])
        assert tail.poll() == []
    log.write_bytes(line)
    assert tail.poll() == [warning(1)]


def test_a_line_torn_by_a_death_costs_only_itself(tmp_path):
    log = tmp_path / "events.jsonl"
    append_event(log, warning(1))
    with log.open("ab") as file:
        file.write(b'{"type":"warning","co')
    append_event(log, warning(2))
    assert read_events(log) == [warning(1), warning(2)]


def test_a_replaced_or_cut_log_is_read_anew(tmp_path):
    log = tmp_path / "events.jsonl"
    tail = EventTail(log)
    append_event(log, warning(1))
    append_event(log, warning(2))
    tail.poll()
    log.write_text(warning(3).to_json() + "\n", encoding="utf-8")
    assert tail.poll() == [warning(3)]
    other = tmp_path / "other"
    for number in range(4, 9):
        append_event(other, warning(number))
    other.replace(log)
    assert [event.message for event in tail.poll()] == ["4", "5", "6", "7", "8"]


def test_the_recent_end_reaches_back_to_an_epoch(tmp_path):
    log = tmp_path / "events.jsonl"
    epoch = example(EpochFinished, empty=False)
    append_event(log, warning(0))
    append_event(log, epoch)
    filler = [Warned(code="n", message="x" * 2000, time=float(n)) for n in range(100)]
    for event in filler:
        append_event(log, event)
    assert read_recent_events(log)[-101:] == [epoch, *filler]
    assert read_recent_events(tmp_path / "none.jsonl") == []


def test_two_writers_never_mix_lines(tmp_path):
    log = tmp_path / "events.jsonl"
    first, second = (Warned(code=c, message=c * 3000, time=0.0) for c in "ab")
    child = os.fork()
    if child == 0:
        for _ in range(50):
            append_event(log, first)
        os._exit(0)
    for _ in range(50):
        append_event(log, second)
    os.waitpid(child, 0)
    events = read_events(log)
    assert len(events) == 100
    assert set(events) == {first, second}


def test_tests_write_the_fields_of_events_in_one_place():
    """A new required field then changes the event table and `tests/support/example_events.py` alone."""
    here = Path(__file__).resolve().parent
    long = {kind.__name__ for kind in EVENT_TYPES.values() if len(fields(kind)) > 3}
    by_hand = [
        f"{path.relative_to(here)}:{call.lineno}: {call.func.id}"
        for path in here.rglob("*.py")
        if path.name != "example_events.py"
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in long
        if not any(keyword.arg is None for keyword in call.keywords)  # changes another event
    ]
    assert by_hand == []
