"""The form of the New screen without a screen: its settings, and the problems that the parser finds."""

import shlex

import pytest

from focus_engine.errors import Problem
from focus_engine.runs.create import create_experiment
from focus_engine.runs.folder import RunFolder
from focus_tui.__main__ import run as focus
from focus_tui.dashboard.new_form import (
    CHOICES,
    KEYS,
    MORE,
    StartingPoint,
    check_form,
    command_of,
    free_settings,
    problems_by_field,
    settings_of,
)
from focus_tui.dashboard.screens.new import FIRST_TEMPLATE, config_text, first_change
from focus_tui.dashboard.widgets.form_fields import label_and_hint

SMALL = StartingPoint(template="small")


def test_the_form_offers_what_the_engine_has(tmp_path):
    from focus_engine.config import templates
    from focus_engine.config.load import all_keys

    offered = check_form(tmp_path, "a", SMALL, {}).templates
    assert offered[0] == FIRST_TEMPLATE
    assert set(offered) <= set(templates.TEMPLATES)
    assert set(KEYS) <= {".".join(at) for at in all_keys()}


def test_every_template_can_be_chosen(tmp_path):
    from focus_engine.config.methods import METHODS

    made = [
        check_form(tmp_path, "a", StartingPoint(template=name), {})
        for name in check_form(tmp_path, "a", SMALL, {}).templates
    ]
    assert not any(one.problems for one in made)
    assert {one.method for one in made} == set(METHODS)


@pytest.mark.parametrize("key", CHOICES)
def test_the_parser_knows_every_choice(tmp_path, key):
    for word in check_form(tmp_path, "a", SMALL, {}).words[key]:
        said = check_form(tmp_path, "a", SMALL, {key: word}).problems.get(key, "")
        assert "not allowed" not in said


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", ()),
        ("training.seed=1", ("training.seed=1",)),
        ("  a.b=1   c=2 ", ("a.b=1", "c=2")),
        ("a.b=[1, 2] c.d=x", ("a.b=[1, 2]", "c.d=x")),
        ("a=1; b=2;", ("a=1", "b=2")),
        ("notify.command='mail me' x.y=2", ("notify.command='mail me'", "x.y=2")),
        ("nonsense", ("nonsense",)),
    ],
)
def test_settings_typed_freely(text, settings):
    assert free_settings(text) == settings


def test_only_filled_fields_are_settings():
    values = {"name": "a", "training.lr": "3e-4", "device": "", "data.source": "files", MORE: "training.seed=3"}
    assert settings_of(values) == ("data.source=files", "training.lr=3e-4", "training.seed=3")


def problems(tmp_path, name="a", start=SMALL, **values):
    return dict(check_form(tmp_path, name, start, {k.replace("__", "."): v for k, v in values.items()}).problems)


@pytest.mark.parametrize(
    ("values", "key", "words"),
    [
        ({"training__lr": "fast"}, "training.lr", "must be a number"),
        ({"training__lr": "-1"}, "training.lr", "must be > 0"),
        ({"training__num_epochs": "1.5"}, "training.num_epochs", "whole number"),
        ({"model__channel_mults": "[1, 2"}, "model.channel_mults", "not a YAML value"),
        ({"model__channel_mults": "2"}, "model.channel_mults", "must be a list"),
        ({"device": "tpu"}, "device", "cuda:N"),
        ({"diffusion__prediction": "epsilon"}, "diffusion.prediction", "zero_terminal_snr"),
        ({"data__source": "files"}, "data.source", "neither data.maps_path nor data.data_dir"),
        ({"data__maps_path": "maps.npy"}, "data.maps_path", "without data.params_path"),
        ({"more": "training.sed=1"}, MORE, "did you mean 'training.seed'"),
        ({"more": "nonsense"}, MORE, "write key=value"),
        ({"more": "training.seed=-1"}, MORE, "must be >= 0"),
    ],
)
def test_a_problem_is_shown_at_its_field(tmp_path, values, key, words):
    said = problems(tmp_path, **values)
    assert list(said) == [key]
    assert words in said[key]
    assert not said[key].startswith("--set:")


def test_all_wrong_fields_are_reported(tmp_path):
    assert set(problems(tmp_path, training__lr="0", training__batch_size="0")) == {"training.lr", "training.batch_size"}


def test_a_problem_of_no_field_is_reported():
    assert problems_by_field([Problem("the moon is full")], {"training.lr": "the"}) == {"": "the moon is full"}


def test_names_are_checked_and_never_taken_twice(tmp_path):
    create_experiment(tmp_path, "taken", template="small")
    assert problems(tmp_path, "") == {}
    for name, words in (
        ("taken", "exists already"),
        ("../up", "cannot name"),
        ("-x", "cannot name"),
        ("두 번째", None),
    ):
        said = problems(tmp_path, name)
        assert (said == {}) if words is None else (words in said["name"])


def test_a_broken_source_is_a_problem_of_the_start_field(tmp_path):
    source = create_experiment(tmp_path, "source", template="small")
    source.config.write_text("training: [", encoding="utf-8")
    assert "not valid YAML" in problems(tmp_path, start=StartingPoint(source=source))["start"]
    gone = StartingPoint(source=RunFolder(tmp_path / "gone"))
    assert "no such config file" in problems(tmp_path, start=gone)["start"]


def test_empty_fields_have_the_values_of_the_start(tmp_path):
    checked = check_form(tmp_path, "a", SMALL, {})
    assert (checked.values["training.lr"], checked.values["model.channel_mults"]) == ("0.004", "[1, 2, 2]")
    checked = check_form(tmp_path, "a", SMALL, {"data.data_dir": str(tmp_path)})
    assert checked.values["data.source"] == "files"


def test_missing_data_give_a_warning(tmp_path):
    checked = check_form(tmp_path, "a", SMALL, {"data.data_dir": "../maps"})
    assert checked.warnings == {"data.data_dir": f"not there yet: {tmp_path / 'maps'}"}
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "maps.npy").touch()
    values = {"data.data_dir": "../maps", "data.maps_path": "maps.npy", "data.params_path": "params.txt"}
    assert list(check_form(tmp_path, "a", SMALL, values).warnings) == ["data.params_path"]


@pytest.mark.parametrize("copy", [False, True])
def test_the_command_line_makes_the_same_experiment(tmp_path, copy):
    source = create_experiment(tmp_path, "source one", template="small", settings=["training.seed=5"])
    start = StartingPoint(source=source) if copy else SMALL
    values = {"training.lr": "3e-4", "model.channel_mults": "[1, 2, 4]", MORE: "experiment.description=two words"}
    planned = check_form(tmp_path, "made", start, values).text
    line = command_of(tmp_path, "made", start, settings_of(values), usual=False)
    assert focus(shlex.split(line)[1:]) == 0
    assert (tmp_path / "made" / "config.yaml").read_text(encoding="utf-8") == planned
    assert ("--from 'source one'" in line) == copy


def test_a_source_of_another_folder_is_named_by_its_path(tmp_path):
    start = StartingPoint(source=RunFolder(tmp_path / "other" / "alpha"))
    assert command_of(tmp_path, "", start, (), usual=True) == f"focus new NAME --from {tmp_path}/other/alpha"


def test_changed_lines_are_highlighted():
    text = config_text("a: 1\nb: 3  # why\n", "a: 1\nb: 2  # why\n")
    assert [text.plain[span.start : span.end] for span in text.spans if "reverse" in str(span.style)] == ["b: 3  "]
    assert first_change("a\nb\nc", "a\nx\nc") == 1
    assert first_change("a", "a\nb") == 1


def test_a_value_that_reads_like_a_key_is_not_a_key(tmp_path):
    """A problem belongs to the field it concerns, not to one that its message happens to name."""
    said = problems(tmp_path, device="training.lr", training__lr="0.1")
    assert list(said) == ["device"]


def test_a_problem_of_two_keys_is_shown_at_the_filled_fields(tmp_path):
    plateau = "training.scheduler.name=plateau"
    said = problems(tmp_path, more=f"{plateau} training.scheduler.min_lr=1", training__lr="0.1")
    assert said == {"training.lr": "training.scheduler.min_lr 1 exceeds training.lr 0.1"}
    said = problems(tmp_path, more=f"{plateau} training.scheduler.min_lr=1")
    assert list(said) == [MORE]


def test_a_label_leaves_a_gap_and_a_key_that_it_cannot_hold_is_the_hint():
    assert label_and_hint("mlp_ratio") == ("mlp ratio", "")
    assert label_and_hint("attention_heads") == ("heads", "attention_heads")
    assert label_and_hint("attention_levels") == ("levels", "attention_levels")
