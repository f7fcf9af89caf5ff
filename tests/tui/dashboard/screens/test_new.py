"""The New screen: what its form asks for, what the parser says to it, every key, and the editor."""

import shlex
import time
from contextlib import contextmanager

import pytest
from dashboard import FakeFeed, on_screen, view_from
from textual import events
from textual.widgets import Static

from focus_engine.config.load import load_config
from focus_engine.errors import Problem
from focus_engine.runs.create import create_experiment
from focus_engine.runs.folder import RunFolder
from focus_tui.__main__ import run as focus
from focus_tui.dashboard.app import FocusApp
from focus_tui.dashboard.new_form import (
    CHOICES,
    KEYS,
    MORE,
    Start,
    attributed,
    check_form,
    command_of,
    free_settings,
    settings_of,
)
from focus_tui.dashboard.screens.dialogs import Choose
from focus_tui.dashboard.screens.new import FIRST_TEMPLATE, NewScreen, config_text, edit_config, first_change
from focus_tui.dashboard.screens.runs import RunsScreen
from focus_tui.dashboard.screens.watch import WatchScreen
from focus_tui.dashboard.widgets.form_fields import Field, Picker

SMALL = Start(template="small")


def test_the_form_offers_what_the_engine_has(tmp_path):
    from focus_engine.config import templates
    from focus_engine.config.load import all_keys

    offered = check_form(tmp_path, "a", SMALL, {}).templates
    assert offered[0] == FIRST_TEMPLATE
    assert set(offered) <= set(templates.TEMPLATES)
    assert set(KEYS) <= {".".join(at) for at in all_keys()}


@pytest.mark.parametrize("key", CHOICES)
def test_each_word_to_choose_is_one_that_the_parser_knows(tmp_path, key):
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
def test_what_is_wrong_is_said_of_its_field(tmp_path, values, key, words):
    said = problems(tmp_path, **values)
    assert list(said) == [key]
    assert words in said[key]
    assert not said[key].startswith("--set:")


def test_several_wrong_fields_are_all_told(tmp_path):
    assert set(problems(tmp_path, training__lr="0", training__batch_size="0")) == {"training.lr", "training.batch_size"}


def test_a_message_that_no_field_is_about_is_still_told():
    assert attributed([Problem("the moon is full")], {"training.lr": "the"}) == {"": "the moon is full"}


def test_a_value_that_reads_like_a_key_is_not_taken_for_it(tmp_path):
    """The field is the one that the error is about, not one that its words happen to name."""
    said = problems(tmp_path, device="training.lr", training__lr="0.1")
    assert list(said) == ["device"]


def test_a_law_of_two_keys_is_said_of_those_that_were_filled(tmp_path):
    plateau = "training.scheduler.name=plateau"
    said = problems(tmp_path, more=f"{plateau} training.scheduler.min_lr=1", training__lr="0.1")
    assert said == {"training.lr": "training.scheduler.min_lr 1 exceeds training.lr 0.1"}
    said = problems(tmp_path, more=f"{plateau} training.scheduler.min_lr=1")
    assert list(said) == [MORE]


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


def test_a_broken_source_is_said_where_it_was_chosen(tmp_path):
    source = create_experiment(tmp_path, "source", template="small")
    source.config.write_text("training: [", encoding="utf-8")
    assert "not valid YAML" in problems(tmp_path, start=Start(source=source))["start"]
    gone = Start(source=RunFolder(tmp_path / "gone"))
    assert "no such config file" in problems(tmp_path, start=gone)["start"]


def test_empty_fields_say_what_the_start_says(tmp_path):
    checked = check_form(tmp_path, "a", SMALL, {})
    assert (checked.values["training.lr"], checked.values["model.channel_mults"]) == ("0.002", "[1, 2]")
    checked = check_form(tmp_path, "a", SMALL, {"data.data_dir": str(tmp_path)})
    assert checked.values["data.source"] == "files"


def test_data_that_are_not_there_are_warned_of(tmp_path):
    checked = check_form(tmp_path, "a", SMALL, {"data.data_dir": "../maps"})
    assert checked.warnings == {"data.data_dir": f"not there yet: {tmp_path / 'maps'}"}
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "maps.npy").touch()
    values = {"data.data_dir": "../maps", "data.maps_path": "maps.npy", "data.params_path": "params.txt"}
    assert list(check_form(tmp_path, "a", SMALL, values).warnings) == ["data.params_path"]


@pytest.mark.parametrize("copy", [False, True])
def test_the_command_line_makes_the_same_experiment(tmp_path, copy):
    source = create_experiment(tmp_path, "source one", template="small", settings=["training.seed=5"])
    start = Start(source=source) if copy else SMALL
    values = {"training.lr": "3e-4", "model.channel_mults": "[1, 2, 4]", MORE: "experiment.description=two words"}
    planned = check_form(tmp_path, "made", start, values).text
    line = command_of(tmp_path, "made", start, settings_of(values), usual=False)
    assert focus(shlex.split(line)[1:]) == 0
    assert (tmp_path / "made" / "config.yaml").read_text(encoding="utf-8") == planned
    assert ("--from 'source one'" in line) == copy


def test_a_source_of_another_folder_is_named_by_its_path(tmp_path):
    start = Start(source=RunFolder(tmp_path / "other" / "alpha"))
    assert command_of(tmp_path, "", start, (), usual=True) == f"focus new NAME --from {tmp_path}/other/alpha"


def test_the_lines_that_the_form_changed_stand_out():
    text = config_text("a: 1\nb: 3  # why\n", "a: 1\nb: 2  # why\n")
    assert [text.plain[span.start : span.end] for span in text.spans if "reverse" in str(span.style)] == ["b: 3  "]
    assert first_change("a\nb\nc", "a\nx\nc") == 1
    assert first_change("a", "a\nb") == 1


# the screen


@pytest.fixture
def root(tmp_path):
    return tmp_path / "experiments"


@pytest.fixture
def feed(root):
    create_experiment(root, "alpha", template="small", settings=["training.seed=5"])
    return FakeFeed([view_from([], "alpha", str(root), state="created")])


@pytest.fixture
def app(root, feed, monkeypatch):
    monkeypatch.delenv("FOCUS_EXPERIMENTS", raising=False)
    monkeypatch.chdir(root.parent)
    return FocusApp(root, feed=feed)


async def settle(pilot, condition, seconds=20.0):
    """Let the screen work until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.01)


async def checked(pilot) -> NewScreen:
    """Wait until the parser has answered what was typed."""
    screen = pilot.app.screen
    await pilot.pause()
    await settle(pilot, lambda: screen._answered == screen._asked)
    return screen


async def opened(pilot) -> NewScreen:
    await pilot.press("n")
    return await checked(pilot)


async def into(pilot, key: str, *letters: str) -> None:
    """Type into a field."""
    pilot.app.screen.fields[key].enter()
    await pilot.press(*letters)
    await checked(pilot)


def command(screen) -> str:
    return str(screen.query_one("#command", Static).render())


def toasts(app) -> str:
    return "\n".join(note.message for note in app._notifications)


async def test_what_is_typed_is_checked_and_shown_as_a_command(app):
    async with on_screen(app, 120, 40) as pilot:
        screen = await opened(pilot)
        await pilot.press(*"beta")
        await into(pilot, "training.lr", *"1x")
        assert "must be a number" in screen.fields["training.lr"].problem
        await pilot.press("backspace")
        await checked(pilot)
        assert screen.fields["training.lr"].problem == ""
        assert command(screen) == "$ focus new beta --template diffusion --set training.lr=1"
        assert "lr: 1" in str(screen.query_one("#config", Static).render())
        assert not (app.root / "beta").exists()


async def test_another_template_shows_through_the_empty_fields(app):
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        assert screen.fields["model.base_channels"].input.placeholder == "128"
        screen.fields["start"].enter()
        await pilot.press("right")
        await checked(pilot)
        assert screen.fields["model.base_channels"].input.placeholder == "24"
        assert screen.fields["training.scheduler.name"].query_one(Picker).choices[0] == ("", "cosine")
        await into(pilot, "training.scheduler.name", "p")  # a letter jumps to plateau
        assert command(screen).endswith("--set training.scheduler.name=plateau")


async def test_ctrl_s_makes_it_and_offers_what_may_come_next(app, feed):
    async with on_screen(app, 80, 24) as pilot:
        await opened(pilot)
        await pilot.press(*"beta", "ctrl+s")
        await settle(pilot, lambda: isinstance(app.screen, Choose))
        assert load_config(app.root / "beta" / "config.yaml").config.experiment.name == "beta"
        assert feed.refreshed
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_what_is_chosen_next_is_done(app, monkeypatch, steps):
    did = []
    monkeypatch.setattr(app, "start_run", lambda run: did.append(f"start {run.name}"))
    monkeypatch.setattr("focus_tui.dashboard.screens.new.edit_config", lambda _, run: did.append(f"edit {run.name}"))
    async with on_screen(app, 80, 24) as pilot:
        await opened(pilot)
        await pilot.press(*"beta", "ctrl+s")
        await settle(pilot, lambda: isinstance(app.screen, Choose))
        await pilot.press(*["down"] * steps, "enter")
        await pilot.pause()
        assert did == [["start beta"], ["edit beta"], []][steps]
        assert isinstance(app.screen, RunsScreen if steps == 1 else WatchScreen)


@pytest.mark.parametrize(
    ("name", "words"), [("", "give it a name"), ("alpha", "exists already"), (".x", "cannot name")]
)
async def test_nothing_is_made_without_a_free_and_right_name(app, name, words):
    before = sorted(app.root.iterdir())
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        if name:
            await pilot.press(*name)
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: words in screen.fields["name"].problem)
        assert app.screen is screen
    assert sorted(app.root.iterdir()) == before


async def test_nothing_is_made_while_a_field_is_wrong(app):
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        await pilot.press(*"beta")
        await into(pilot, MORE, *"training.sed=1")
        await pilot.press("ctrl+s")
        await checked(pilot)
        await pilot.pause()
        assert screen.focused in screen.fields[MORE].query(".editor")
        assert not (app.root / "beta").exists()


async def test_somebody_else_may_be_faster(app, root):
    async with on_screen(app, 80, 24) as pilot:
        await opened(pilot)
        await pilot.press(*"beta")
        await checked(pilot)
        create_experiment(root, "beta", template="small", settings=["training.seed=77"])
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: "exists already" in toasts(app))
    assert load_config(root / "beta" / "config.yaml").config.training.seed == 77


async def test_a_copy_keeps_what_its_source_says(app, root):
    app.rows = ()
    async with on_screen(app, 80, 24) as pilot:
        app.open_new(RunFolder(root / "alpha"))
        await pilot.pause()
        screen = await checked(pilot)
        await pilot.press(*"beta")
        await checked(pilot)
        assert command(screen) == "$ focus new beta --from alpha"
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: isinstance(app.screen, Choose))
    assert load_config(root / "beta" / "config.yaml").config.training.seed == 5


async def test_the_config_stands_beside_the_form_or_a_key_away(app):
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        assert not screen.query_one("#side").display
        await pilot.press("f2")
        assert screen.query_one("#side").display
        await pilot.press("pagedown")
        await settle(pilot, lambda: screen.query_one("#config-file").scroll_y > 0)
        await pilot.press("escape")
        assert screen.query_one("#form").display
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)


async def test_the_field_with_the_cursor_is_lit_up(app):
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        lit = lambda: [field.key for field in screen.query(Field) if field.has_class("here")]  # noqa: E731
        assert lit() == ["name"]
        await pilot.press("down")
        assert lit() == ["data.source"]


async def test_letters_stay_in_the_form(app):
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        await pilot.press(*"qxsrn?")
        assert app.screen is screen
        assert screen.values["name"] == "qxsrn?"
        for action in ("start_run", "stop_run", "archive_run", "edit_config"):
            assert not screen.check_action(action, ())


async def test_keys_that_come_all_at_once_are_taken_in_their_order(app):
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        for key in ["b", "down", "f", "tab", "x", "enter", "y", "up", "z"]:
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await settle(pilot, lambda: screen.values["data.data_dir"] == "xz")
        assert screen.values["name"] == "b"
        assert screen.values["data.source"] == "files"
        assert screen.values["data.maps_path"] == "y"


# the editor


@pytest.fixture
def editor(monkeypatch, tmp_path, app):
    """A terminal that can be lent to an editor, and an editor that writes what it is told to."""

    @contextmanager
    def suspend():
        yield

    monkeypatch.setattr(app, "suspend", suspend)

    def write(script: str):
        path = tmp_path / "my editor.sh"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("VISUAL", shlex.quote(str(path)))

    return write


async def test_what_the_editor_left_is_checked(app, root, editor):
    editor('echo "nonsense: 1" >> "$1"')
    async with on_screen(app, 80, 24) as pilot:
        await pilot.press("e")
        await settle(pilot, lambda: "unknown key 'nonsense'" in toasts(app))
        lines = (root / "alpha" / "config.yaml").read_text(encoding="utf-8").count("\n")
        assert f"config.yaml:{lines}:" in toasts(app)


async def test_a_right_config_is_said_to_be_right(app, root, editor):
    editor("true")
    async with on_screen(app, 80, 24) as pilot:
        edit_config(app, RunFolder(root / "alpha"))
        await settle(pilot, lambda: "config.yaml of alpha is right" in toasts(app))


async def test_an_editor_that_is_not_there_is_named(app, root, editor, monkeypatch):
    editor("true")
    for name in ("no-such-editor-at-all", "'unbalanced", ""):
        monkeypatch.setenv("VISUAL", name)
        monkeypatch.setenv("EDITOR", "no-such-editor-either")
        async with on_screen(FocusApp(root, feed=FakeFeed()), 80, 24) as pilot:
            monkeypatch.setattr(pilot.app, "suspend", app.suspend)
            edit_config(pilot.app, RunFolder(root / "alpha"))
            await settle(pilot, lambda app=pilot.app: "cannot be started" in toasts(app))


async def test_where_no_editor_can_be_opened_the_file_is_named(app, root):
    async with on_screen(app, 80, 24) as pilot:
        edit_config(app, RunFolder(root / "alpha"))  # a screen without a terminal cannot be lent
        await settle(pilot, lambda: str(root / "alpha" / "config.yaml") in toasts(app))
