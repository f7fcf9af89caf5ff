"""Thousands of broken configs and logs: each gives an object or one clear error, never a traceback.

`HYPOTHESIS_PROFILE=search` generates other and more examples.
"""

import json
import string
from pathlib import Path
from typing import Any

from example_events import SAMPLES
from hypothesis import example, given
from hypothesis import strategies as st

from focus_engine.config.edit import set_keys
from focus_engine.config.load import all_keys, parse_config
from focus_engine.config.schema import Config, plain_config
from focus_engine.config.templates import TEMPLATES, config_text
from focus_engine.errors import InputError
from focus_engine.events.epoch_block import epoch_block
from focus_engine.events.line import parse_event
from focus_engine.events.log import read_events
from focus_engine.events.table import EVENT_TYPES, Event
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.resumable import check_resumable
from focus_tui.cli.listing import row_document
from focus_tui.view.columns import RunRow
from focus_tui.view.words import event_note, progress_line, status_lines

TEMPLATE = config_text(TEMPLATES["diffusion"], name="x", created="2026-01-01", schema="s.json")
KEYS = [".".join(key) for key in all_keys()]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["1e-4", "~", "null", "auto", "cuda:0", "0x10", "1_000", "2026-11-24", "yes", "*a", "&a", "!!x", "{", "- ", "#"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def valid_or_one_clear_error(text: str) -> Config | None:
    """Return the parsed config, or None after an InputError of one paragraph that names the file."""
    try:
        return parse_config(text, Path("config.yaml")).config
    except InputError as error:
        said = str(error)
    assert said.startswith("config.yaml"), said
    return None


@given(st.data())
def test_lines_of_a_config_deleted_doubled_and_swapped(data: st.DataObject):
    lines = TEMPLATE.splitlines()
    for _ in range(data.draw(st.integers(1, 6))):
        at, other = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        match data.draw(st.integers(0, 4)):
            case 0:
                lines.pop(at)
            case 1:
                lines.insert(other, lines[at])
            case 2:
                lines[at] = " " * data.draw(st.integers(0, 5)) + lines[at].lstrip()
            case 3:
                lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
            case _:
                lines[at] += data.draw(st.sampled_from([":", " [", "}", "\t", " &a *a", "\x00", '"', " : :", "\u2028"]))
        lines = lines or [""]
    valid_or_one_clear_error("\n".join(lines))


@given(st.text(alphabet=st.sampled_from(string.printable + "é한\x00\ufeff"), max_size=200))
@example("a: &a\n  b: *a\n")
@example("? [a]\n: b\n")
@example("<<: {method: flow}\n")
@example("%YAML 9.9\n---\nmethod: flow\n")
@example("---\nmethod: flow\n---\nmethod: flow\n")
@example("training: {lr: 1e999}\n")
@example("[" * 3000)
def test_any_text(text: str):
    valid_or_one_clear_error(text)


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), VALUES, max_size=5))
def test_any_values_of_any_keys(values: dict[str, Any]):
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        place = nested
        for part in path:
            place = place.setdefault(part, {}) if isinstance(place.get(part, {}), dict) else {}
        place[last] = value
    config = valid_or_one_clear_error(json.dumps(nested))
    if config is not None:
        again = parse_config(json.dumps(plain_config(config)), Path("config.yaml")).config
        assert again == config
        check_resumable(config, plain_config(config))


@given(st.sampled_from(KEYS) | st.text(max_size=12), st.text(max_size=20) | st.sampled_from(["1", "[1, 2]", "true"]))
def test_any_setting(key: str, value: str):
    try:
        text = set_keys(TEMPLATE, [f"{key}={value}"], Path("config.yaml"))
    except InputError:
        return
    assert valid_or_one_clear_error(text) is not None


def mutated(data: st.DataObject, event: Event) -> bytes:
    """Return the line of an event with fields changed, omitted or added, or with bytes cut or flipped."""
    row = json.loads(event.to_json())
    for _ in range(data.draw(st.integers(0, 4))):
        key = data.draw(st.sampled_from(sorted(row)))
        match data.draw(st.integers(0, 2)):
            case 0:
                row[key] = data.draw(VALUES)
            case 1:
                row.pop(key)
                row = row or {"type": "x"}
            case _:
                row[data.draw(st.text(max_size=6))] = data.draw(SCALARS)
    line = bytearray(json.dumps(row).encode())
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(line) - 1))
        line[at : at + 1] = data.draw(st.binary(max_size=3))
        line = line or bytearray(b"{")
    return bytes(line)


@given(st.data())
def test_any_line_of_a_log_is_an_event_or_nothing(data: st.DataObject):
    event = parse_event(mutated(data, data.draw(st.sampled_from(SAMPLES))))
    if event is not None:
        assert type(event) in EVENT_TYPES.values()
        assert isinstance(event_note(event), str | None)
        assert isinstance(progress_line(event), str | None)
        json.loads(event.to_json())
        if event.type == "epoch_finished":
            assert "Epoch" in epoch_block(event)  # type: ignore[arg-type]


@given(st.data())
def test_any_log_has_a_summary(tmp_path_factory, data: st.DataObject):
    run = RunFolder(tmp_path_factory.mktemp("fuzz"))
    run.logs.mkdir()
    lines = [mutated(data, data.draw(st.sampled_from(SAMPLES))) for _ in range(data.draw(st.integers(0, 8)))]
    ending = data.draw(st.sampled_from([b"\n", b"", b"\x00\x00", b"\r\n"]))
    run.events.write_bytes(b"\n".join(lines) + ending)
    summary = summarise(run)
    assert isinstance(summary, RunSummary)
    json.dumps(row_document(RunRow(summary)), allow_nan=False)
    assert status_lines(summary)
    assert all(isinstance(event, Event) for event in read_events(run.events))
