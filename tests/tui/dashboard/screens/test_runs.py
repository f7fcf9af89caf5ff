"""The Runs screen: its keys, with a feed controlled by the test."""

from dataclasses import replace
from pathlib import Path

import pytest
from dashboard import FakeFeed, on_screen, row_from, view_from
from example_events import epoch, started, worker
from textual.widgets import Input, Static

from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import Labels, read_labels
from focus_tui.dashboard.app import FocusApp
from focus_tui.dashboard.feed import RunsRead
from focus_tui.dashboard.screens.dialogs import ChoiceDialog, Help, TextDialog
from focus_tui.dashboard.screens.runs import RunsScreen
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.dashboard.widgets.hints import Hints
from focus_tui.dashboard.widgets.run_table import RunTable


def some_views(root: Path | str = "/x"):
    return [
        view_from([worker(), started(), epoch(1), epoch(2, 0.4)], "alpha", root=str(root), updated=3.0),
        view_from([worker(), started(), epoch(1, 0.3)], "beta", root=str(root), state="finished", updated=2.0),
        view_from([], "gamma", root=str(root), state="created", updated=1.0),
    ]


@pytest.fixture
def feed():
    return FakeFeed(some_views())


def names(app) -> list[str]:
    return [row.summary.name for row in app.screen.query_one(RunTable).rows]


def words(app, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


async def test_lists_live_runs_first_and_previews_the_one_under_the_cursor(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.pause()
        assert names(app) == ["alpha", "beta", "gamma"]
        assert "epoch 2/20" in words(app, "#facts")
        assert "train" in app.screen.query_one("#loss", Chart).text
        await pilot.press("j")
        assert feed.followed == (RunFolder(Path("/x/beta")),)
        assert "beta" in words(app, "#facts")


async def test_the_footer_offers_what_applies_to_the_run_under_the_cursor(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.pause()
        running = words(app, "Hints")
        assert "x stop" in running
        assert "s start" not in running
        await pilot.press("end")
        await pilot.pause()
        created = words(app, "Hints")
        assert "s start" in created
        assert "x stop" not in created
        assert len(app.screen.query_one(Hints).render().plain.split("  ")) <= 9


async def test_filters_as_it_is_typed_and_keeps_the_view_when_nothing_fits(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.press("slash", *"state:finished")
        assert names(app) == ["beta"]
        line = app.screen.query_one("#filter", Input)
        line.value = "name~nothing"
        await pilot.pause()
        assert names(app) == ["beta"]
        assert "no run matches" in str(line.border_subtitle)
        line.value = "lr>=abc"
        await pilot.pause()
        assert "abc" in str(line.border_subtitle)
        line.value = "state:finished"
        await pilot.press("enter")
        assert not line.display
        await pilot.press("escape")
        assert names(app) == ["alpha", "beta", "gamma"]


async def test_sorts_by_a_column_and_back(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app, 140, 40) as pilot:
        await pilot.press("o")
        assert isinstance(app.screen, ChoiceDialog)
        await pilot.press("escape")
        app.screen.query_one(RunTable).post_message(RunTable.SortRequested("best"))
        await pilot.pause()
        assert names(app) == ["beta", "alpha", "gamma"]
        await pilot.press("O")
        assert names(app) == ["alpha", "beta", "gamma"]  # unknown values stay last


async def test_selects_runs_and_offers_to_compare_them(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.pause()
        assert not app.screen.check_action("compare_runs", ())
        await pilot.press("space", "space")
        assert app.screen.query_one(RunTable).marked == ["/x/alpha", "/x/beta"]
        assert app.screen.check_action("compare_runs", ())
        await pilot.press("escape")
        assert app.screen.query_one(RunTable).marked == []


async def test_help_names_every_key(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app, 120, 60) as pilot:
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        shown = "\n".join(str(static.render()) for static in app.screen.query(Static))
        for said in ("filter", "sort by a column", "saved filters", "choose the columns", "archive", "undo"):
            assert said in shown or said == "undo"
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)


async def test_an_empty_folder_shows_how_to_start():
    app = FocusApp(Path("/x"), feed=FakeFeed())
    async with on_screen(app, 80, 24) as pilot:
        await pilot.pause()
        assert "focus new experiment_diffusion" in words(app, "#note")
        assert not app.screen.query_one("#preview").display


async def test_a_folder_that_cannot_be_read_says_why(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app, 80, 24) as pilot:
        await pilot.pause()
        feed.post(RunsRead((), problem="/x cannot be read: Permission denied"))
        await pilot.pause()
        assert "Permission denied" in words(app, "#note")


async def test_the_cursor_stays_on_its_run_when_others_come_and_go(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.press("j")
        newer = row_from(view_from([worker(), started()], "newest", updated=99.0))
        feed.post(RunsRead((newer, *feed.rows)))
        await pilot.pause()
        assert app.screen.query_one(RunTable).current.summary.name == "beta"
        feed.post(RunsRead(tuple(row for row in feed.rows if row.summary.name != "beta")))
        await pilot.pause()
        assert app.screen.query_one(RunTable).current is not None


async def test_archives_and_undoes_on_disk(tmp_path):
    views = some_views(tmp_path)
    for view in views:
        folder = RunFolder(Path(view.summary.path))
        folder.make_folders()
        folder.config.write_text("method: diffusion\n")
    app = FocusApp(tmp_path, feed=FakeFeed(views))
    async with on_screen(app) as pilot:
        await pilot.press("j", "a")
        await app.workers.wait_for_complete()
        assert read_labels(RunFolder(tmp_path / "beta")).archived
        await pilot.pause()
        await pilot.press("u")
        await app.workers.wait_for_complete()
        assert not read_labels(RunFolder(tmp_path / "beta")).archived


async def test_a_live_run_is_not_archived(tmp_path):
    app = FocusApp(tmp_path, feed=FakeFeed(some_views(tmp_path)))
    async with on_screen(app) as pilot:
        await pilot.press("a")
        await pilot.pause()
        assert not app.can_undo


async def test_tags_are_checked_as_they_are_typed(tmp_path):
    views = some_views(tmp_path)
    RunFolder(Path(views[0].summary.path)).make_folders()
    app = FocusApp(tmp_path, feed=FakeFeed(views))
    async with on_screen(app) as pilot:
        await pilot.press("t")
        assert isinstance(app.screen, TextDialog)
        await pilot.press(*"a/b", "enter")
        assert isinstance(app.screen, TextDialog)  # a slash is not allowed in a tag
        app.screen.query_one(Input).value = "paper best"
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        assert read_labels(RunFolder(tmp_path / "alpha")).tags == ("paper", "best")


async def test_stopping_asks_first(feed):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.pause()
        await pilot.press("x")
        assert isinstance(app.screen, ChoiceDialog)
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)


async def test_archived_runs_are_hidden_until_asked_for(feed):
    feed.rows = (*feed.rows[:2], replace(feed.rows[2], labels=Labels(archived=True)))
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.pause()
        assert names(app) == ["alpha", "beta"]
        await pilot.press("slash", *"archived:yes", "enter")
        assert names(app) == ["gamma"]


async def test_quitting_prints_the_runs_that_continue(feed, capsys):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.pause()
        await pilot.press("q")
    assert feed.stopped
    assert "continues in the background: alpha" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (250, 70), (20, 5)])
async def test_every_size_is_drawn(feed, size):
    app = FocusApp(Path("/x"), feed=feed)
    async with on_screen(app) as pilot:
        await pilot.resize_terminal(*size)
        await pilot.pause()
        assert app.screen.query_one(RunTable).rows


async def test_control_characters_in_names_are_shown():
    odd = view_from([worker(), started()], "[bold]한국어 run\x1b[31m", updated=9.0)
    app = FocusApp(Path("/x"), feed=FakeFeed([odd]))
    async with on_screen(app) as pilot:
        await pilot.pause()
        shown = words(app, "#facts")
        assert "[bold]한국어 run\\x1b[31m" in shown
