"""`--set`: edits of config.yaml change the named key and nothing else."""

import re

import pytest
from example_configs import HERE, SEED, TEMPLATE
from hypothesis import example, given, settings
from hypothesis import strategies as st

from focus_engine.config.edit import set_keys
from focus_engine.config.load import parse_config
from focus_engine.config.yaml_edit import yaml_value
from focus_engine.config.yaml_text import parse_value
from focus_engine.errors import InputError


def comments(text):
    return re.findall(r"#[^#]*$", text, re.MULTILINE)


def test_set_keeps_comments_order_and_columns():
    text = set_keys(TEMPLATE, ["training.lr=3e-4", "model.channel_mults=[1, 2]", "training.scheduler.T_max=7"], HERE)
    assert len(text.splitlines()) == len(TEMPLATE.splitlines())
    assert comments(text) == [c for c in comments(TEMPLATE) if not c.startswith("# T_max")]
    assert re.search(r"\n  lr: 3.0e-4 +# Learning rate after warmup.\n", text)
    config = parse_config(text, HERE).config
    assert (config.training.lr, config.model.channel_mults, config.training.scheduler.T_max) == (3e-4, (1, 2), 7)


def test_set_fills_commented_keys_at_any_position():
    wanted = ["data.maps_path=m.npy", "data.params_path=p.txt", "diffusion.min_snr_gamma=5", "notify.command=bell"]
    text = set_keys(TEMPLATE, wanted, HERE)
    assert len(text.splitlines()) == len(TEMPLATE.splitlines())
    config = parse_config(text, HERE).config
    assert (config.data.maps_path, config.data.source, config.notify.command) == ("m.npy", "files", "bell")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "training:\n",
        "training:\n  # later\n",
        "training: {}\n",
        "training: {lr: 1e-3}\n",
        "training:\n    lr: 1e-3   # four blanks\n\n# next\nmodel:\n  cond_dim: 2\n",
        "training:\n  lr: 1e-3\n  scheduler:\n    name: plateau\n# tail\n",
        "training:\n  augmentation:\n    shift: true\nmodel: {cond_dim: 2}",
    ],
)
def test_set_into_every_shape_of_block(text):
    wanted = ["training.max_minutes=5", "training.scheduler.patience=3", "training.lr=2e-3", "device=cpu"]
    edited = set_keys(text, wanted, HERE)
    config = parse_config(edited, HERE).config
    assert (config.training.max_minutes, config.training.scheduler.patience) == (5, 3)
    assert (config.training.lr, config.device) == (2e-3, "cpu")
    for comment in comments(text):
        assert comment in edited


@pytest.mark.parametrize(
    "written",
    [
        "\n    - 1  # one\n    - 2",
        "\n  - 1\n  -  2",
        "  # why\n    # more\n    - 1\n    - 2",
        " [\n    1,\n    2]",
        " [1, 2]",
    ],
)
@pytest.mark.parametrize("behind", ["", "\n", "\n\n  # next\n  time_dim: 64\ndevice: cpu\n", "\ndevice: cpu"])
def test_a_list_of_many_lines_is_replaced_whole(written, behind):
    text = f"model:\n  channel_mults:{written}{behind}"
    edited = set_keys(text, ["model.channel_mults=[1, 2, 4]"], HERE)
    before, after = parse_config(text, HERE).config, parse_config(edited, HERE).config
    assert after.model.channel_mults == (1, 2, 4)
    assert (after.device, after.model.time_dim) == (before.device, before.model.time_dim)
    assert edited.endswith(behind)
    assert ("# why" in edited, "# next" in edited) == ("# why" in text, "# next" in text)


def test_a_text_of_many_lines_is_replaced_whole():
    text = "experiment:\n  description: |\n    one\n    two\n  name: a\n"
    edited = set_keys(text, ["experiment.description=three"], HERE)
    assert edited == "experiment:\n  description: three\n  name: a\n"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.lr", "write key=value"),
        ("=3", "write key=value"),
        ("training.lrr=3", "did you mean 'training.lr'"),
        ("training=3", "is a block; its keys"),
        ("nonsense.deep=3", "unknown key"),
        ("training.lr=[", "not a YAML value"),
        ("training.lr=fast", "must be a number"),
        ("training.lr=-1", "must be > 0"),
        ("experiment.name=!!python/name:os.system", "tag"),
    ],
)
def test_bad_settings(setting, words):
    with pytest.raises(InputError, match=re.escape(words)):
        set_keys(TEMPLATE, [setting], HERE)


VALUES = st.one_of(
    st.tuples(st.just("experiment.description"), st.text(max_size=60)),
    st.tuples(
        st.just("training.lr"), st.floats(min_value=1e-6, max_value=1e12, exclude_min=True, allow_subnormal=False)
    ),
    st.tuples(st.just("training.weight_decay"), st.floats(min_value=0, max_value=1e300)),
    st.tuples(st.just("training.seed"), st.integers(min_value=0, max_value=10**30)),
    st.tuples(st.just("training.max_minutes"), st.none() | st.floats(min_value=0.1, max_value=1e6)),
    st.tuples(st.just("training.use_augmentation"), st.booleans()),
    st.tuples(st.just("model.channel_mults"), st.lists(st.integers(min_value=1, max_value=99), min_size=1)),
    st.tuples(st.just("data.normalize"), st.sampled_from(["log10", "none"])),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.sampled_from([TEMPLATE, SEED, "", "training: {lr: 1}\n"]))
def test_what_is_set_is_what_loads(wanted, text):
    edited = set_keys(text, [f"{key}={yaml_value(value)}" for key, value in wanted], HERE)
    config = parse_config(edited, HERE).config.model_dump(by_alias=True)
    for dotted, value in dict(wanted).items():
        block, key = dotted.split(".")
        assert config[block][key] == (tuple(value) if isinstance(value, list) else value)
    assert len(comments(edited)) <= len(comments(text)) + sum("#" in str(value) for _, value in wanted)


@settings(max_examples=100, deadline=None)
@example(["\x85", "\u2028", "\n"])
@given(st.text() | st.floats(allow_nan=False) | st.integers() | st.booleans() | st.lists(st.text(max_size=5)))
def test_values_survive_the_trip_through_yaml(value):
    assert parse_value(yaml_value(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-4, "1.0e-4"), (1e-7, "1.0e-7"), (1.5e-5, "1.5e-5"), (0.02, "0.02"), (25.0, "25.0"), (0.0, "0.0")],
)
def test_floats_are_written_in_their_shortest_form(value, text):
    assert yaml_value(value) == text
