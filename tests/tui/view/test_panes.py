"""The panes of the Watch screen: adding one takes a single entry of the table."""

import subprocess
import sys
from pathlib import Path

import pytest
from dashboard import FakeFeed, on_screen, view_from
from example_events import epoch, samples, spectrum, started, worker
from textual.widgets import OptionList, Static
from toy_pane import TOY

import focus_tui.dashboard.screens as screens_package
from focus_engine.events.log import append_event
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.app import FocusApp, action_names
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.dashboard.widgets.palette import ScreenActions
from focus_tui.dashboard.widgets.watch_layout import first_pictures, lay_out
from focus_tui.view import panes

EVENTS = [worker(), started(), *(epoch(n, 1 / n) for n in range(1, 4)), spectrum(3), samples(3)]


@pytest.fixture
def toy(monkeypatch):
    """The table with one more pane, and the Watch screen imported after it was added."""
    from focus_tui.dashboard.screens import watch

    monkeypatch.setattr(screens_package, "watch", watch)
    monkeypatch.delitem(sys.modules, watch.__name__)
    monkeypatch.setattr(panes, "PANES", (*panes.PANES, TOY))


def watching(size=(120, 70)):
    app = FocusApp(Path("/x"), feed=FakeFeed([view_from(EVENTS)]), first=RunFolder(Path("/x/alpha")))
    return app, on_screen(app, *size)


def test_panes_differ_and_their_functions_exist():
    for names in ([pane.name for pane in panes.PANES], [pane.key for pane in panes.PANES]):
        assert len(set(names)) == len(names)
    assert sorted(pane.priority for pane in panes.PANES) == list(range(1, len(panes.PANES) + 1))
    references = [pane.picture for pane in panes.panes_with_picture()] + [
        figure.drawn_by for _, figure in panes.panes_with_figure()
    ]
    assert all(callable(panes.load(reference)) for reference in references)


@pytest.mark.usefixtures("toy")
async def test_a_toy_pane_is_on_the_screen_and_its_key_enlarges_it():
    app, screen = watching()
    async with screen as pilot:
        chart = app.screen.query_one("#gradient", Chart)
        assert chart.display
        assert "3 norms in" in chart.text
        assert str(chart.border_title) == "6 Gradient norm"
        await pilot.press("6")
        assert [pane.id for pane in app.screen.query(".pane") if pane.display] == ["gradient"]


@pytest.mark.usefixtures("toy")
async def test_a_toy_pane_is_in_the_help_the_palette_and_the_names_of_actions():
    app, screen = watching()
    async with screen as pilot:
        offered = ScreenActions(app.screen)._actions()
        assert ("6", "the gradient norm alone", "pane(6)") in offered
        await pilot.press("question_mark")
        await pilot.pause()
        said = "\n".join(str(part.render()) for part in app.screen.query(Static))
        assert "Loss, learning rate, P(k), maps and gradient of one run" in said
        assert "1 to 6 enlarge a pane" in said
        assert "the gradient norm alone" in said
    assert "pane_6" in action_names()


@pytest.mark.usefixtures("toy")
async def test_a_toy_pane_is_in_the_list_of_exports_of_the_dashboard():
    app, screen = watching()
    async with screen as pilot:
        await pilot.press("w")
        await pilot.pause()
        choices = app.screen.query_one(OptionList)
        said = [str(choices.get_option_at_index(i).prompt) for i in range(choices.option_count)]
        assert "figure: gradient norm, in paper style" in said


@pytest.mark.usefixtures("toy")
def test_a_toy_pane_is_drawn_by_the_command_line(focus, tmp_path):
    run = RunFolder(tmp_path / "alpha")
    run.make_folders()
    run.config.write_text("method: diffusion\n", encoding="utf-8")
    for event in EVENTS:
        append_event(run.events, event)
    code, out, _ = focus("export", run.path, "--figure", "gradient", "--format", "svg", "-o", tmp_path)
    assert code == 0
    assert "<svg" in (tmp_path / "alpha_gradient.svg").read_text(encoding="utf-8"), out
    assert "allowed: loss, lr, power, maps, gradient, all" in focus("export", run.path, "--figure", "banana")[2]
    assert "Gradient norm\n3 norms in" in focus("logs", run.path, "--plot")[1]


def test_a_toy_pane_is_in_the_help_of_export():
    code = (
        "import focus_tui.view.panes as panes\n"
        "panes.PANES += (panes.PANES[0]._replace(name='gradient'),)\n"
        "from focus_tui.__main__ import run; run(['export', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loss|lr|power|maps|gradient|all" in done.stdout


@pytest.mark.usefixtures("toy")
def test_small_screens_show_the_panes_that_come_first():
    assert first_pictures(1) == ("loss",)
    assert first_pictures(2) == ("loss", "power")
    assert lay_out(120, 40).pictures == ("loss", "lr", "power", "maps")
    assert lay_out(120, 70).pictures == ("loss", "lr", "power", "maps", "gradient")
