"""The New screen: its keys, the typed values, and the editor."""

import shlex
import time
from contextlib import contextmanager

import pytest
from dashboard import FakeFeed, on_screen, view_from
from textual import events
from textual.widgets import Static

from focus_engine.config.load import load_config
from focus_engine.runs.create import create_experiment
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.app import FocusApp
from focus_tui.dashboard.new_form import MORE
from focus_tui.dashboard.screens.dialogs import ChoiceDialog
from focus_tui.dashboard.screens.new import NewScreen, edit_config
from focus_tui.dashboard.screens.runs import RunsScreen
from focus_tui.dashboard.screens.watch import WatchScreen
from focus_tui.dashboard.widgets.form_fields import Field, Picker


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
    """Let the app run until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.01)


async def checked(pilot) -> NewScreen:
    """Wait until the typed values have been checked."""
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
        assert screen.fields["model.base_channels"].input.placeholder == "32"
        assert screen.fields["training.scheduler.name"].query_one(Picker).choices[0] == ("", "cosine")
        await into(pilot, "training.scheduler.name", "p")  # a letter jumps to plateau
        assert command(screen).endswith("--set training.scheduler.name=plateau")


async def test_ctrl_s_makes_it_and_offers_what_may_come_next(app, feed):
    async with on_screen(app, 80, 24) as pilot:
        await opened(pilot)
        await pilot.press(*"beta", "ctrl+s")
        await settle(pilot, lambda: isinstance(app.screen, ChoiceDialog))
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
        await settle(pilot, lambda: isinstance(app.screen, ChoiceDialog))
        await pilot.press(*["down"] * steps, "enter")
        await pilot.pause()
        assert did == [["start beta"], ["edit beta"], []][steps]
        assert isinstance(app.screen, RunsScreen if steps == 1 else WatchScreen)


@pytest.mark.parametrize(
    ("name", "words"), [("", "name the experiment"), ("alpha", "exists already"), (".x", "cannot name")]
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


async def test_a_name_taken_meanwhile_is_refused(app, root):
    async with on_screen(app, 80, 24) as pilot:
        await opened(pilot)
        await pilot.press(*"beta")
        await checked(pilot)
        create_experiment(root, "beta", template="small", settings=["training.seed=77"])
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: "exists already" in toasts(app))
    assert load_config(root / "beta" / "config.yaml").config.training.seed == 77


async def test_a_copy_keeps_the_values_of_its_source(app, root):
    app.rows = ()
    async with on_screen(app, 80, 24) as pilot:
        app.open_new(RunFolder(root / "alpha"))
        await pilot.pause()
        screen = await checked(pilot)
        await pilot.press(*"beta")
        await checked(pilot)
        assert command(screen) == "$ focus new beta --from alpha"
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: isinstance(app.screen, ChoiceDialog))
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


async def test_the_focused_field_is_highlighted(app):
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


@pytest.fixture
def editor(monkeypatch, tmp_path, app):
    """Return a function that sets VISUAL to a given shell script; suspending the app does nothing."""

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


async def test_a_valid_config_is_reported_as_valid(app, root, editor):
    editor("true")
    async with on_screen(app, 80, 24) as pilot:
        edit_config(app, RunFolder(root / "alpha"))
        await settle(pilot, lambda: "config.yaml of alpha is valid" in toasts(app))


async def test_a_missing_editor_is_named(app, root, editor, monkeypatch):
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
        edit_config(app, RunFolder(root / "alpha"))  # a headless app cannot be suspended
        await settle(pilot, lambda: str(root / "alpha" / "config.yaml") in toasts(app))
