"""The app: palette, keys and themes from the settings, and actions on runs."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import pytest
from dashboard import FakeFeed, on_screen, view_from
from example_events import end, epoch, started, worker
from textual.command import CommandPalette
from textual.widget import Widget

from focus_engine.events.log import append_event
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.app import MOST_VIEWS, FocusApp, action_names
from focus_tui.dashboard.feed import RunRead
from focus_tui.dashboard.screens.base import BaseScreen
from focus_tui.dashboard.screens.dialogs import Help
from focus_tui.dashboard.screens.watch import WatchScreen
from focus_tui.dashboard.widgets.palette import ScreenActions
from focus_tui.dashboard.widgets.watch_head import Head


@pytest.fixture
def feed():
    return FakeFeed([view_from([worker(), started(), epoch(1)], "alpha")])


async def test_the_palette_has_every_available_action(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        offered = {words for _, words, _ in ScreenActions(app.screen)._actions()}
        assert {"stop", "new", "filter", "sort by a column", "help", "quit", "watch"} <= offered
        assert "resume" not in offered
        await pilot.press("ctrl+p")
        assert isinstance(app.screen, CommandPalette)
        await pilot.press(*"help")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Help)


async def test_settings_change_keys(feed, own_settings):
    own_settings.parent.mkdir(parents=True)
    own_settings.write_text("keys:\n  help: [f2]\n")
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.press("question_mark")
        assert not isinstance(app.screen, Help)
        await pilot.press("f2")
        assert isinstance(app.screen, Help)


async def test_wrong_settings_keep_their_defaults_with_a_message(feed, own_settings):
    own_settings.parent.mkdir(parents=True)
    own_settings.write_text("theme: purple\nrefresh: 0.5\nkeys:\n  fly: [f3]\n")
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app):
        said = " ".join(notice.message for notice in app._notifications)
        assert "purple" in said
        assert "fly" in said
        assert app.theme == "focus-dark"
        assert app.settings.refresh == 0.5


async def test_a_chosen_theme_is_saved(feed, own_settings):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        app.theme = "focus-light"
        await pilot.pause()
    assert "focus-light" in own_settings.read_text()


def test_every_action_of_every_screen_has_a_name():
    names = action_names()
    assert {"stop_run", "pane_1", "make_reference", "draw", "make", "filter"} <= names


@pytest.mark.parametrize("state", ["failed", "stalled"])
async def test_the_end_of_a_run_is_announced(feed, monkeypatch, state):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        written = []
        monkeypatch.setattr(app._driver, "write", written.append)
        monkeypatch.setattr(FocusApp, "is_headless", False)  # without a terminal, textual rings no bell
        feed.news(view_from([worker(), started(), epoch(1)], "alpha", state="running", epoch=1))
        await pilot.pause()
        assert "\a" not in "".join(written)
        feed.news(view_from([worker(), started(), epoch(1)], "alpha", state=state, reason="loss is NaN"))
        await pilot.pause()
        assert "".join(written).count("\a") == 1
        assert any("loss is NaN" in notice.message for notice in app._notifications)


async def test_no_color_draws_without_colour(feed, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = FocusApp(Path("/x"), feed=feed, first=RunFolder(Path("/x/alpha")))
    async with on_screen(app):
        assert not app.color
        assert "•" in app.screen.query_one("#loss").text  # curves differ by their markers


async def test_a_worker_killed_for_real_is_lost_on_the_screen(tmp_path):
    """Use the real feed, a real process and a real kill -9."""
    run = RunFolder(tmp_path / "alpha")
    run.make_folders()
    run.config.write_text("method: diffusion\n")
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        me = ProcessIdentity(process.pid, host_name(), boot_id(), process_start(process.pid), 0.0)
        run.worker.write_text(me.to_json())
        for event in (worker(pid=me.pid, host=me.host), started(), epoch(1)):
            append_event(run.events, event)
        app = FocusApp(tmp_path, first=run)

        async def head_says(words: str) -> None:
            async with asyncio.timeout(30):
                while words not in app.screen.query_one(Head).text:
                    await pilot.pause(0.02)

        async with on_screen(app) as pilot:
            await head_says("TRAINING")
            append_event(run.events, epoch(2, 0.1234))
            await head_says("0.1234")
            hung = {"phase": "training", "step": 7, "reports": 1, "time": 0.0, "idle": 900.0, "limit": 600.0}
            beat = {"worker": me.started, "pid": me.pid, "host": me.host, "boot_id": me.boot_id, "monotonic": 0.0}
            run.progress.write_text(json.dumps(hung | beat | {"stalled": True, "every": 5.0}))
            await head_says("no progress for")
            assert "stalled" in app.screen.query_one(Head).text
            run.progress.unlink()
            await head_says("TRAINING")
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            await head_says("lost")
            append_event(run.events, end("stopped", "x", 2))
            await head_says("stopped")


def test_the_dashboard_imports_neither_torch_nor_matplotlib():
    code = """
        import sys, focus_tui.dashboard.app, focus_tui.dashboard.screens.watch, focus_tui.dashboard.screens.compare
        import focus_tui.dashboard.screens.sample, focus_tui.dashboard.screens.new
        import focus_tui.charts.curves, focus_tui.dashboard.feed
        print([name for name in ("torch", "matplotlib", "scipy") if name in sys.modules])
    """
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_base_actions_have_handlers():
    for binding in BaseScreen.BINDINGS:
        assert hasattr(BaseScreen, f"action_{binding.action}")


async def test_what_is_no_longer_shown_is_not_kept(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, WatchScreen)
        drawn = [weakref.ref(widget._styles_cache) for widget in app.screen.walk_children(Widget)]
        await pilot.press("escape")
        await pilot.pause()
        for number in range(40):
            feed.post(RunRead(view_from([worker(), started(), epoch(1)], f"run {number}")))
        await pilot.press("question_mark", "escape")  # the screen below a dialog comes back
        await pilot.pause()
        gc.collect()
        assert len(drawn) > 5
        assert not [one for one in drawn if one() is not None]
        kept = [Path(path).name for path in app._views]
        assert len(kept) == MOST_VIEWS
        assert {"alpha", "run 39"} <= set(kept)  # the one that is followed, and the last
