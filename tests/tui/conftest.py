"""Fixtures of the tests of focus_tui."""

import sys
from pathlib import Path

import example_events
import pytest

from focus_tui.__main__ import run as focus_in_process


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Isolate the tests from the settings of the user; return the settings file they use."""
    path = tmp_path / "config" / "tui.yaml"
    monkeypatch.setenv("FOCUS_TUI_CONFIG", str(path))
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return path


@pytest.fixture
def focus(tmp_path, monkeypatch, capfd):
    """Return a function that runs `focus` in this process and returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FOCUS_EXPERIMENTS", raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments):
        capfd.readouterr()
        code = focus_in_process([str(argument) for argument in arguments])
        sys.stdout.flush()
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def epoch():
    """Return an EpochFinished event, the first of three."""
    return example_events.epoch(1, 0.6, num_epochs=3, phase="warmup", step=4, train_loss=0.5, lr=2e-5, next_lr=4e-5)
