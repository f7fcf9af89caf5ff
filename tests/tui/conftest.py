"""What tests of the terminal share."""

import sys
from pathlib import Path

import pytest

from focus_engine.events import EpochFinished
from focus_tui.__main__ import run as focus_in_process


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests away from the settings of whoever runs them; return the file they use."""
    path = tmp_path / "config" / "tui.yaml"
    monkeypatch.setenv("FOCUS_TUI_CONFIG", str(path))
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return path


@pytest.fixture
def focus(tmp_path, monkeypatch, capfd):
    """Runs `focus` in this process; returns exit code, stdout, stderr."""
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
    """An EpochFinished event to start from."""
    return EpochFinished(
        epoch=1,
        num_epochs=3,
        phase="warmup",
        step=4,
        train_loss=0.5,
        val_loss=0.6,
        val_loss_raw=0.7,
        lr=2e-5,
        next_lr=4e-5,
        lr_cut=False,
        grad_norm=1.0,
        seconds=2.0,
        maps_per_second=4.0,
        data_wait=0.0,
        is_best=True,
        best_val_loss=0.6,
        best_epoch=1,
        scheduler="plateau",
        bad_epochs=0,
        plateau_patience=2,
        early_stop_count=0,
        early_stop_patience=10,
        pk_error=None,
        eta_seconds=4.0,
    )
