"""The Sample screen: its keys and the display of a job, for which a script stands in."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dashboard import FakeFeed, on_screen, view_from
from example_events import epoch, samples, saved, spectrum, started, worker
from textual.widgets import Button, Static

from focus_engine.config.samplers import fitting_samplers
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.app import FocusApp
from focus_tui.dashboard.jobs import JobProgress, SamplingJob
from focus_tui.dashboard.sample_form import ModelFacts
from focus_tui.dashboard.screens.runs import RunsScreen
from focus_tui.dashboard.screens.sample import SampleScreen
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.dashboard.widgets.form_fields import Field, Picker
from focus_tui.dashboard.widgets.form_result import ResultPane

FACTS = ModelFacts(fitting=("ddim", "ddpm"), steps={"ddim": 50}, names=("Omega_m", "sigma_8"), seen=((0.3, 0.8),))
CONFIG = {
    "method": "diffusion",
    "sampling": {"method": "ddim", "ddim_timesteps": 40, "cfg_scale": 1.0, "eta": 0.0},
    "diffusion": {"timesteps": 900},
}
STAND_IN = """
import json, sys, time
say = lambda **k: print(json.dumps(k), file=sys.stderr, flush=True)
"""


def write_maps(path: Path, maps: np.ndarray) -> Path:
    np.savez(path, maps=maps, params=np.full((len(maps), 2), 0.3), param_names=np.array(["Omega_m", "sigma_8"]))
    return path


@pytest.fixture
def alpha(tmp_path):
    """Return a run with both checkpoints."""
    run = RunFolder(tmp_path / "experiments" / "alpha")
    run.make_folders()
    for path in (run.checkpoint_best, run.checkpoint_last):
        path.write_bytes(b"x")
    return run


def view(run, **summary):
    checkpoints = [saved(7, "best"), saved(9, "last")]
    events = [
        worker(),
        started(config=CONFIG),
        *(epoch(n) for n in range(1, 10)),
        spectrum(6),
        samples(6),
        *checkpoints,
    ]
    return view_from(events, run.name, str(run.path.parent), state="finished", **summary)


@pytest.fixture
def app(alpha):
    return FocusApp(alpha.path.parent, feed=FakeFeed([view(alpha)]))


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Replace `focus sample` by a script that writes maps; `script` can be changed, `started` records the calls."""

    class Play:
        script = ""
        started: list[tuple[Path, tuple[str, ...]]] = []  # noqa: RUF012  (made anew for each test)

    play = Play()
    play.started = []
    path = write_maps(tmp_path / "drawn.npz", np.full((40, 8, 8), 1e11) * np.geomspace(0.1, 10, 64).reshape(8, 8))
    power = {"k": spectrum(6).power.k, "power_mean": [90.0, 50.0, 20.0], "power_std": [None] * 3, "k_nyquist": 4.0}
    result = {"path": str(path), "figure": str(path.with_suffix(".png")), "n_maps": 40, "nfe": 20, "power": power}
    play.script = f"say(done=1, total=2, words='sampling')\nprint({json.dumps(json.dumps(result))})"
    jobs = []

    def start(run, options, *, label=""):
        play.started.append((run, tuple(options)))
        jobs.append(SamplingJob.launch([sys.executable, "-c", STAND_IN + play.script], label=label or run.name))
        return jobs[-1]

    monkeypatch.setattr(SamplingJob, "start", start)
    yield play
    for job in jobs:
        if job.running:
            job._process.kill()
        job.wait()


async def settle(pilot, condition, seconds=20.0):
    """Let the app run until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.01)


async def opened(pilot) -> SampleScreen:
    """Press g on the run and wait until the facts of the model are loaded."""
    await pilot.press("g")
    screen = pilot.app.screen
    assert isinstance(screen, SampleScreen)
    await settle(pilot, lambda: screen._ready)
    await pilot.pause()
    return screen


def command(screen) -> str:
    return str(screen.query_one("#command", Static).render())


def told(screen) -> str:
    return str(screen.query_one("#told", Static).render())


async def into(pilot, key: str, *letters: str) -> None:
    """Type into a field."""
    pilot.app.screen.fields[key].enter()
    await pilot.press(*letters)
    await pilot.pause()


async def test_the_form_shows_checkpoints_and_samplers(app):
    async with on_screen(app, 120, 40) as pilot:
        screen = await opened(pilot)
        pickers = {field.key: field.query_one(Picker) for field in screen.query(Field) if field.query(Picker)}
        assert [words.split(",")[0] for _, words in pickers["checkpoint"].choices] == ["best: epoch 7", "last: epoch 9"]
        assert [key for key, _ in pickers["sampler"].choices] == ["", *fitting_samplers("diffusion")[1:]]
        assert screen.fields["steps"].input.placeholder == "40"
        assert "finished" in str(screen.query_one("#head", Static).render())
        assert command(screen).startswith("$ focus sample ")


async def test_what_is_wrong_stands_below_its_field_and_nothing_starts(app, stand_in):
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        await into(pilot, "eta", "7")
        assert "from 0" in screen.fields["eta"].problem
        await pilot.press("ctrl+s")
        assert stand_in.started == []
        assert screen.focused in screen.fields["eta"].query(".editor")
        await pilot.press("backspace", "1")
        assert screen.fields["eta"].problem == ""
        assert command(screen).endswith("--eta 1")


@pytest.mark.usefixtures("stand_in")
async def test_letters_stay_in_the_form_and_arrows_walk_through_it(app):
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        screen.fields["sampler"].enter()
        await pilot.press("q", "x", "s", "r", "right")  # letters are no keys of the screen; right picks the next choice
        assert app.screen is screen
        assert screen.fields["sampler"].value == "ddpm"
        assert screen.fields["eta"].input.placeholder == "1"
        await pilot.press("down", "2", "enter", "enter", "1", "up", "up", "0")
        assert (screen.values["steps"], screen.values["eta"]) == ("20", "1")
        await pilot.press("up", "left")
        assert screen.fields["sampler"].value == ""


async def test_a_choice_is_made_from_a_list_too(app):
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        screen.fields["checkpoint"].enter()
        await pilot.press("enter", "down", "enter")
        await pilot.pause()
        assert screen.values["checkpoint"] == "last"
        assert "--checkpoint last" in command(screen)


async def test_parameters_are_prefilled_from_the_validation_maps(app):
    async with on_screen(app, 120, 40) as pilot:
        screen = await opened(pilot)
        assert not screen.fields["param.Omega_m"].display
        screen.fields["params"].enter()
        await pilot.press("right")
        await pilot.pause()
        assert screen.fields["param.Omega_m"].display
        assert command(screen).endswith("--params Omega_m=0.3,sigma_8=0.8")
        assert screen.fields["param.Omega_m"]._hint == "val 0.2 to 0.3"


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (180, 50)])
async def test_maps_and_their_power_spectrum_are_shown_when_they_are_drawn(app, alpha, stand_in, size):
    async with on_screen(app, *size) as pilot:
        screen = await opened(pilot)
        await into(pilot, "steps", "2", "0")
        await pilot.press("ctrl+s")
        assert stand_in.started == [(alpha.path, ("--steps", "20"))]
        await settle(pilot, lambda: screen._shown is not None and screen.query_one("#pictures").display)
        await pilot.pause()
        assert "40 maps, NFE 20" in told(screen)
        maps, power = screen.query_one("#maps", Chart), screen.query_one("#power", Chart)
        assert "▀" in maps.text
        assert "(M☉/h)/(Mpc/h)²" in maps.text
        assert "real" in power.text  # the bins agree with those of the training
        assert "drawn.npz" in str(screen.query_one("#files", Static).render())
        assert screen.query_one("#form").display == (size[0] >= 110)


@pytest.mark.usefixtures("stand_in")
async def test_pages_go_through_the_maps(app):
    async with on_screen(app, 120, 40) as pilot:
        screen = await opened(pilot)
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: screen.result.has_more and "shown 1–" in told(screen))
        await pilot.press("pagedown")
        await settle(pilot, lambda: "shown 1–" not in told(screen))
        await pilot.press("pageup")
        await settle(pilot, lambda: "shown 1–" in told(screen))


@pytest.mark.usefixtures("stand_in")
async def test_samples_at_given_parameters_are_not_compared_with_other_universes(app):
    async with on_screen(app, 120, 40) as pilot:
        screen = await opened(pilot)
        screen.fields["params"].enter()
        await pilot.press("right", "ctrl+s")
        await settle(pilot, lambda: screen.query_one("#pictures").display)
        await pilot.pause()
        assert "P(k) of the samples" in screen.query_one("#power", Chart).text


async def test_a_job_goes_on_behind_other_screens_and_is_found_again(app, alpha, stand_in):
    stand_in.script = "say(done=1, total=4, words='sampling 16 maps')\ntime.sleep(600)"
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        await into(pilot, "seed", "7")
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: "25 %" in told(screen))
        assert "cancel" in str(screen.query_one("#draw", Button).label).lower()
        await pilot.press("escape")  # back to the form, then out
        assert screen.query_one("#form").display
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)
        assert any("continues" in note.message for note in app._notifications)
        again = await opened(pilot)
        await settle(pilot, lambda: "25 %" in told(again))
        assert again.values["seed"] == "7"
        await pilot.press("ctrl+s")
        assert len(stand_in.started) == 1
        await pilot.press("ctrl+g")
        await settle(pilot, lambda: "cancelled" in told(again))
        assert app.jobs[alpha.path].poll().failed is not None


async def test_the_end_of_a_hidden_job_is_announced(app, stand_in, tmp_path):
    stand_in.script = (
        f"import pathlib\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.01)\n"
        + (stand_in.script)
    )
    async with on_screen(app, 120, 40) as pilot:
        await opened(pilot)
        await pilot.press("ctrl+s", "escape")
        (tmp_path / "go").touch()
        await settle(pilot, lambda: any("sampled alpha: 40 maps" in note.message for note in app._notifications))


async def test_quitting_prints_that_sampling_continues(app, stand_in, monkeypatch):
    stand_in.script = "time.sleep(600)"
    said = []
    monkeypatch.setattr(app, "exit", lambda message=None: said.append(message))
    async with on_screen(app, 120, 40) as pilot:
        await opened(pilot)
        await pilot.press("ctrl+s", "ctrl+c")
        await settle(pilot, lambda: said)
        assert said == ["sampling continues: alpha"]
        assert all(job.running for job in app.jobs.values())


async def test_a_failure_is_shown_where_the_maps_would_be(app, stand_in):
    stand_in.script = "sys.exit('focus: no space left on device')"
    async with on_screen(app, 120, 40) as pilot:
        screen = await opened(pilot)
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: "no space left" in told(screen))
        assert screen.check_action("draw", ())


@pytest.mark.usefixtures("stand_in")
async def test_deleted_maps_give_an_error_message(app, tmp_path):
    (tmp_path / "drawn.npz").unlink()
    async with on_screen(app, 120, 40) as pilot:
        await opened(pilot)
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: any("cannot be read" in note.message for note in app._notifications))


async def test_a_run_without_checkpoint_opens_its_form_with_the_first(alpha):
    for path in (alpha.checkpoint_best, alpha.checkpoint_last):
        path.unlink()
    feed = FakeFeed([view(alpha)])
    app = FocusApp(alpha.path.parent, feed=feed)
    async with on_screen(app, 80, 24) as pilot:
        await pilot.press("g")
        screen = app.screen
        await settle(pilot, lambda: screen._ready)
        assert "no checkpoint yet" in str(screen.query_one("#empty", Static).render())
        assert not screen.fields["steps"].display
        assert not screen.check_action("draw", ())
        alpha.checkpoint_best.write_bytes(b"x")
        feed.news(view(alpha))
        await settle(pilot, lambda: screen.fields["steps"].display)
        assert screen.check_action("draw", ())


async def test_a_run_that_never_started_is_started_by_s(alpha, monkeypatch):
    for path in (alpha.checkpoint_best, alpha.checkpoint_last):
        path.unlink()
    create = view_from([], "alpha", str(alpha.path.parent), state="created")
    app = FocusApp(alpha.path.parent, feed=FakeFeed([create]))
    monkeypatch.setattr("focus_tui.dashboard.screens.sample.facts_of_run", lambda *_: FACTS)
    done = []
    monkeypatch.setattr(app, "start_run", done.append)
    async with on_screen(app, 80, 24) as pilot:
        await pilot.press("g")
        await pilot.pause()
        assert not app.screen.query_one("#command").display
        await pilot.press("s")
        assert done == [alpha]


async def test_the_result_and_the_form_take_turns_where_one_fits(app):
    async with on_screen(app, 80, 24) as pilot:
        screen = await opened(pilot)
        await pilot.press("f2")
        assert (screen.query_one("#form").display, screen.query_one("#side").display) == (False, True)
        await pilot.press("f2")
        assert (screen.query_one("#form").display, screen.query_one("#side").display) == (True, False)
        await pilot.resize_terminal(130, 40)
        await settle(pilot, lambda: screen.query_one("#side").display)
        assert screen.query_one("#form").display


async def test_the_command_line_is_copied(app):
    async with on_screen(app, 120, 40) as pilot:
        screen = await opened(pilot)
        await pilot.press("ctrl+y")
        assert app.clipboard == screen.command()


async def test_control_characters_of_a_job_are_shown(app):
    async with on_screen(app, 120, 40) as pilot:
        screen = await opened(pilot)
        pane = screen.query_one(ResultPane)
        pane.show_progress(JobProgress(done=1, total=2, words="a\x1b[2Jb [red]", warnings=("w\x07[b]",)))
        assert "a\\x1b[2Jb [red]" in told(screen)
        assert "warning: w\\x07[b]" in told(screen)
