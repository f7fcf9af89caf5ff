"""What tests of the terminal share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests away from the settings of whoever runs them; return the file they use."""
    path = tmp_path / "config" / "tui.yaml"
    monkeypatch.setenv("FOCUS_TUI_CONFIG", str(path))
    return path
