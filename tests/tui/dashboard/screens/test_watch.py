"""The Watch screen: its panes and keys."""

from pathlib import Path

import pytest
from dashboard import FakeFeed, full_view, on_screen, view_from
from example_events import end, epoch, samples, started, step, worker

from focus_engine.events.table import StepProgress, Warned
from focus_engine.runs.folder import RunFolder
from focus_tui.charts.map_pairs import draw_pairs, thumbnails
from focus_tui.dashboard.app import FocusApp
from focus_tui.dashboard.feed import RunGone
from focus_tui.dashboard.screens.runs import RunsScreen
from focus_tui.dashboard.screens.watch import WatchScreen
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.dashboard.widgets.watch_head import Head, head_lines
from focus_tui.dashboard.widgets.watch_layout import head_rows, lay_out
from focus_tui.dashboard.widgets.watch_log import LogPane, log_lines
from focus_tui.terminal import cells
from focus_tui.view.panes import panes_with_picture
from focus_tui.view.pictures.maps import maps_picture
from focus_tui.view.pictures.picture import PictureOptions, sampled_epochs
from focus_tui.view.pictures.power import power_picture

ALPHA = RunFolder(Path("/x/alpha"))


@pytest.fixture
def feed():
    other = view_from([worker(), started(), epoch(1)], "beta", updated=1.0)
    return FakeFeed([full_view(), other])


@pytest.fixture
def app(feed):
    return FocusApp(Path("/x"), feed=feed, first=ALPHA)


def shown(app) -> set[str]:
    return {
        pane.id for pane in app.screen.query(".pane") if pane.display and all(up.display for up in pane.ancestors[:1])
    }


def words(app) -> str:
    return app.screen.query_one(Head).text


async def test_four_pictures_and_the_log_stand_side_by_side_where_there_is_room(app):
    async with on_screen(app, 120, 40):
        assert shown(app) == {"loss", "lr", "power", "maps", "log"}
        assert "train" in app.screen.query_one("#loss", Chart).text
        assert "learning rate" in app.screen.query_one("#lr", Chart).text
        assert "k [h/Mpc]" in app.screen.query_one("#power", Chart).text
        assert "▀" in app.screen.query_one("#maps", Chart).text


async def test_on_a_small_screen_the_loss_stays_and_the_rest_is_in_words(app):
    async with on_screen(app, 80, 24) as pilot:
        assert shown(app) == {"loss"}
        head = words(app)
        assert "bad epochs" in head
        assert "patience" in head
        assert "LR drops to" in head
        for key, pane in (("2", "lr"), ("3", "power"), ("4", "maps"), ("5", "log")):
            await pilot.press(key)
            assert shown(app) == {pane}
        await pilot.press("5")
        assert shown(app) == {"loss"}


async def test_a_pane_is_enlarged_and_escape_shows_all_again(app):
    async with on_screen(app, 120, 40) as pilot:
        await pilot.press("3")
        assert shown(app) == {"power"}
        await pilot.press("escape")
        assert len(shown(app)) == 5
        await pilot.click("#maps")
        assert shown(app) == {"maps"}
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, RunsScreen)


async def test_scrubs_through_the_epochs_that_have_samples(app):
    async with on_screen(app, 120, 40) as pilot:
        title = lambda: str(app.screen.query_one("#power").border_title)  # noqa: E731
        assert "epoch 6 of 3…6" in title()
        await pilot.press("left")
        assert "epoch 3" in title()
        await pilot.press("left")
        assert "epoch 3" in title()
        await pilot.press("end")
        assert "epoch 6" in title()


async def test_log_axes_and_smoothing(app):
    async with on_screen(app, 120, 40) as pilot:
        plain = app.screen.query_one("#loss", Chart).text
        await pilot.press("l")
        logarithmic = app.screen.query_one("#loss", Chart).text
        assert logarithmic != plain
        await pilot.press("L")
        assert app.screen.query_one("#loss", Chart).text not in {plain, logarithmic}
        await pilot.press("plus")
        assert "smoothed 0.3" in str(app.screen.query_one("#loss").border_title)
        await pilot.press("minus")
        assert "smoothed" not in str(app.screen.query_one("#loss").border_title)


async def test_only_changed_panes_are_redrawn(app, feed):
    async with on_screen(app, 120, 40) as pilot:
        maps = app.screen.query_one("#maps", Chart)
        before = maps._strips
        view = full_view()
        measured = view.history.statistics
        feed.news(view_from([worker(), started(), *view.epochs, epoch(10, 0.05), *measured, *view.samples]))
        await pilot.pause()
        assert "0.0500" in words(app)
        assert maps._strips is before


async def test_the_log_is_searched_and_followed(app):
    async with on_screen(app, 120, 40) as pilot:
        await pilot.press("5", "slash", *"Epoch 2/20", "enter")
        log = app.screen.query_one(LogPane)
        assert not log.follow
        assert log.lines[log._found][0].startswith("Epoch 2/20")
        await pilot.press("f")
        assert log.follow
        await pilot.press("pageup")
        assert not log.follow
        await pilot.press(*["pagedown"] * 10)
        assert log.follow


async def test_goes_to_the_next_run_without_leaving(app):
    async with on_screen(app, 120, 40) as pilot:
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert "beta" in words(app)
        await pilot.press("left_square_bracket")
        await pilot.pause()
        assert "alpha" in words(app)


async def test_the_screen_closes_when_the_folder_disappears(app, feed):
    async with on_screen(app, 120, 40) as pilot:
        feed.post(RunGone(ALPHA))
        await pilot.pause()
        assert isinstance(app.screen, RunsScreen)


@pytest.mark.parametrize("size", [(200, 60), (80, 24), (50, 15), (20, 6)])
async def test_is_laid_out_anew_at_every_size(app, size):
    async with on_screen(app) as pilot:
        await pilot.resize_terminal(*size)
        await pilot.pause()
        assert isinstance(app.screen, WatchScreen)
        assert len(shown(app)) == (5 if size[0] > 110 else 1)


async def test_a_run_that_has_not_started_says_how():
    created = view_from([], "alpha", state="created")
    app = FocusApp(Path("/x"), feed=FakeFeed([created]), first=ALPHA)
    async with on_screen(app, 120, 40):
        assert "focus start alpha" in app.screen.query_one("#loss", Chart).text
        assert "s starts it" in words(app)
        assert "focus start alpha" in words(app)


def test_control_characters_in_the_log_are_shown():
    lines = [line for line, _ in log_lines(Warned(code="x", message="a\x1b[2Jb\r\x07c\n[red]d"))]
    assert lines == ["-- warning: a\\x1b[2Jb\\r\\x07c", "-- [red]d"]


def test_the_end_is_in_the_log():
    assert [line for line, _ in log_lines(end("failed", "loss is NaN"))] == ["-- failed after epoch 3: loss is NaN"]


def test_pictures_of_an_epoch_without_samples_are_those_before_it():
    view = full_view()
    assert sampled_epochs(view) == (3, 6)
    assert "epoch 3" in power_picture(view, PictureOptions(epoch=5)).title
    assert "epoch 6" in maps_picture(view, PictureOptions()).title


def test_thumbnails_come_back_in_physical_units():
    real, generated = thumbnails(samples(1))
    assert real[0].shape == (4, 4)
    assert real[0].min() == pytest.approx(1e9)
    assert real[0].max() == pytest.approx(10 ** (9 + 3 * 150 / 255))
    assert len(generated) == 2


@pytest.mark.parametrize("size", [(60, 16), (30, 10), (12, 9), (100, 40), (5, 5)])
@pytest.mark.parametrize("depth", ["truecolor", "256", None])
def test_pairs_fit_their_room(size, depth):
    width, height = size
    real, generated = thumbnails(samples(1))
    text = draw_pairs(
        real, generated, width=width, height=height, vmin=1e9, vmax=1e12, labels=["a", "b"], color_depth=depth
    )
    lines = text.split("\n")
    assert len(lines) <= height


def step_of_50(batch: int, number: int = 10, **given: object) -> StepProgress:
    return step(number, batch, n_batches=50, step=90 + batch, **given)


@pytest.mark.parametrize(
    ("size", "zoomed", "pictures", "log"),
    [
        ((80, 24), None, 1, "none"),
        ((120, 24), None, 2, "none"),
        ((90, 50), None, 2, "strip"),
        ((120, 40), None, 4, "strip"),
        ((180, 50), None, 4, "column"),
        ((180, 50), "maps", 1, "none"),
        ((180, 50), "log", 0, "alone"),
    ],
)
def test_as_many_panes_as_there_is_room_for(size, zoomed, pictures, log):
    layout = lay_out(*size, zoomed)
    assert (len(layout.pictures), layout.log) == (pictures, log)


@pytest.mark.parametrize("width", range(20, 260, 13))
@pytest.mark.parametrize("height", range(5, 75, 7))
def test_every_layout_shows_something_and_leaves_room_for_it(width, height):
    layout = lay_out(width, height)
    assert set(layout.pictures) <= {pane.name for pane in panes_with_picture()}
    assert layout.pictures
    assert head_rows(height) < height
    if layout.log == "column":
        assert width - layout.log_size >= 2 * 60


def test_a_step_changes_only_the_line_of_progress():
    events = [worker(), started(), *full_view().epochs]
    before, after = (head_lines(view_from([*events, step_of_50(n)]), None, 120) for n in (10, 40))
    differ = [one.plain for one, other in zip(before, after, strict=True) if one.plain != other.plain]
    assert len(differ) == 1
    assert "epoch 10" in differ[0]
    assert " 20 %" in differ[0]


async def test_a_step_draws_no_picture_again(app, feed):
    async with on_screen(app, 120, 40) as pilot:
        before = {chart.id: chart._strips for chart in app.screen.query(Chart)}
        events = [worker(), started(), *full_view().epochs, *full_view().history.statistics, *full_view().samples]
        feed.news(view_from([*events, step_of_50(25)]))
        await pilot.pause()
        assert " 50 %" in words(app)
        assert all(chart._strips is before[chart.id] for chart in app.screen.query(Chart))


async def test_the_curves_can_be_of_the_latest_epochs_alone(app):
    async with on_screen(app, 120, 40) as pilot:
        titles = []
        for _ in range(4):
            titles.append(str(app.screen.query_one("#loss").border_title))
            await pilot.press("z")
        assert ["from epoch" in title for title in titles] == [False, True, True, True]
        assert str(app.screen.query_one("#loss").border_title) == titles[0]


async def test_other_maps_come_first(app):
    async with on_screen(app, 80, 24) as pilot:
        await pilot.press("4")
        assert "Ω_m 0.30" in app.screen.query_one("#maps", Chart).text.split("\n")[0]
        await pilot.press("full_stop")
        assert app.screen.query_one("#maps", Chart).text.split("\n")[0].startswith("Ω_m 0.20")
        await pilot.press("comma")
        assert app.screen.query_one("#maps", Chart).text.split("\n")[0].startswith("Ω_m 0.30")


async def test_steps_inside_epochs_are_drawn_when_asked_for():
    steps = [step_of_50(n, e, train_loss=1 / e) for e in (1, 2, 3) for n in (10, 20, 30, 40)]
    view = view_from([worker(), started(), *steps, *full_view().epochs])
    app = FocusApp(Path("/x"), feed=FakeFeed([view]), first=ALPHA)
    async with on_screen(app, 120, 40) as pilot:
        chart = app.screen.query_one("#loss", Chart)
        before = chart.text
        await pilot.press("i")
        assert chart.text != before
        await pilot.press("i")
        assert chart.text == before


async def test_escape_forgets_the_search_before_it_leaves(app):
    async with on_screen(app, 120, 40) as pilot:
        await pilot.press("slash", *"Epoch", "enter")
        log = app.screen.query_one(LogPane)
        first = log._found
        await pilot.press("enter")
        assert log._found == first + 1
        await pilot.press("N")
        assert log._found == first
        await pilot.press("escape")
        assert log._found is None
        assert isinstance(app.screen, WatchScreen)


def test_a_log_line_an_epoch_where_there_is_little_room():
    (line, _), *rest = log_lines(epoch(7, 0.25, lr_cut=True, next_lr=3e-5), brief=True)
    assert not rest
    assert "Epoch  7/20" in line
    assert "val 0.2500" in line
    assert "LR cut to 3.00e-05" in line


@pytest.mark.parametrize("width", [10, 30, 80])
def test_notes_are_wrapped_and_lose_no_letter(width):
    message = "한국어 words and a verylongwordwithoutanyblankinit " * 3
    lines = [line for line, _ in log_lines(Warned(code="x", message=message), width=width)]
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(f"-- warning: {message}".split())


async def test_the_log_keeps_its_place_when_the_screen_changes(app):
    async with on_screen(app, 120, 40) as pilot:
        await pilot.press("5", "slash", *"Epoch 4/20", "enter")
        await pilot.press("5")
        assert not app.screen.query_one(LogPane).follow
        await pilot.resize_terminal(180, 50)
        await pilot.pause()
        log = app.screen.query_one(LogPane)
        seen = [line for line, _ in log.lines[log.top : log.top + log.size.height]]
        assert "Epoch 4/20 [TRAINING]" in seen


async def test_the_screen_closes_even_with_an_enlarged_pane(app, feed):
    async with on_screen(app, 120, 40) as pilot:
        await pilot.press("3")
        feed.post(RunGone(ALPHA))
        await pilot.pause()
        assert isinstance(app.screen, RunsScreen)


async def test_control_characters_in_a_name_are_shown():
    name = "a\x1b[31m[red]b"
    created = view_from([], name, state="created")
    app = FocusApp(Path("/x"), feed=FakeFeed([created]), first=RunFolder(Path(f"/x/{name}")))
    async with on_screen(app, 120, 40):
        assert "a\\x1b[31m[red]b" in words(app)
        assert "focus start a\\x1b[31m[red]b" in app.screen.query_one("#loss", Chart).text
