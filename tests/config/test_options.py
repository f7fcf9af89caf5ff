"""Keys of a network class of the user's own (`model.options`), and blocks that wait as comments."""

from pathlib import Path

import pytest

from focus_engine.config.edit import set_keys
from focus_engine.config.load import parse_config
from focus_engine.config.templates import TEMPLATES, config_text
from focus_engine.config.yaml_edit import set_value
from focus_engine.config.yaml_text import parse_value
from focus_engine.errors import InputError

HERE = Path("config.yaml")
TEMPLATE = config_text(TEMPLATES["diffusion"], name="x", created="2026-01-01", schema="s.json")


def test_options_are_set_and_read_one_by_one():
    text = set_keys(TEMPLATE, ["model.from=mine.Net", "model.options.depth=4", "model.options.ways=[a, 2]"], HERE)
    assert parse_config(text, HERE).config.model.options == {"depth": 4, "ways": ["a", 2]}
    assert set_keys(TEMPLATE, ["model.from=a.B", "model.options={depth: 4}"], HERE).count("options:") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:\n  options: {depth: 4}", r"config.yaml:2: model.options is for .*SimpleUNet, which takes: model.in_"),
        ("model:\n  from: a.B\n  options:\n    a: {b: 1}", r"config.yaml:4: model.options.a: give a plain value"),
        ("model: {from: a.B, options: {a: [[1]]}}", "model.options.a: give a plain value or a list"),
        ("model: {from: a.B, options: {a: .nan}}", "model.options.a: give a plain value or a list"),
        ("model: {from: a.B, options: 3}", "model.options: 3: must be a mapping"),
        ("model: {from: a.B, optoins: {a: 3}}", "unknown key 'model.optoins'; did you mean 'model.options'"),
    ],
)
def test_options_that_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_config(text, HERE)


@pytest.mark.parametrize(
    "block", ["# a:\n#   b: 1  # old\n", "# a:\n#   x: what I thought: not YAML\n", "# a:\n\n", "# a: see below\n"]
)
def test_a_commented_block_wakes_up_only_where_it_is_one(block):
    text = set_value(f"c: 1\n{block}", ("a", "b"), 2)
    assert parse_value(text) == {"c": 1, "a": {"b": 2}}
    assert ("# a:" in text) == ("b: 1" not in block)
