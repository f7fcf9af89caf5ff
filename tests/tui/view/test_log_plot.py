"""`focus logs --plot` prints the pictures of the Watch screen, to a terminal or a file."""

import pytest
from example_events import epoch, spectrum, started, worker

from focus_engine.events.log import append_event
from focus_engine.runs.folder import RunFolder
from focus_tui.__main__ import run as run_focus


@pytest.fixture
def alpha(tmp_path):
    run = RunFolder(tmp_path / "alpha")
    run.make_folders()
    run.config.write_text("method: diffusion\n")
    return run


def test_draws_loss_rate_and_spectrum(alpha, capsys):
    for event in (worker(), started(), *(epoch(n, 1 / n) for n in range(1, 9)), spectrum(8, (1.0, 1.1, 0.9, 1.0))):
        append_event(alpha.events, event)
    assert run_focus(["logs", str(alpha.path), "--plot"]) == 0
    shown = capsys.readouterr().out
    assert "Loss" in shown
    assert "Learning rate" in shown
    assert "k [h/Mpc]" in shown
    assert "\x1b" not in shown  # a file gets no colours


def test_says_when_there_is_nothing_to_draw(alpha, capsys):
    assert run_focus(["logs", str(alpha.path), "--plot"]) == 0
    assert "no epoch yet" in capsys.readouterr().err


def test_a_plot_is_not_followed(alpha, capsys):
    assert run_focus(["logs", str(alpha.path), "--plot", "-f"]) == 2
    assert "--plot draws the whole log once" in capsys.readouterr().err
