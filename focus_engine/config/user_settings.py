"""The settings file of the user, of which the dashboard reads most and the engine the command that tells of an end.

The dashboard checks the file key by key (`focus_tui/dashboard/settings.py`); here a file that cannot be read, or holds
no such command, is like none.
"""

import os
from pathlib import Path

from focus_engine.errors import InputError
from focus_engine.small_files import read_text

SETTINGS_VARIABLE = "FOCUS_TUI_CONFIG"


def settings_path() -> Path:
    """Return the settings file: `$FOCUS_TUI_CONFIG`, else `focus/tui.yaml` in `$XDG_CONFIG_HOME` or `~/.config`."""
    if named := os.environ.get(SETTINGS_VARIABLE):
        return Path(named).absolute()
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(configured) if Path(configured).is_absolute() else Path("~/.config")
    try:
        return folder.expanduser() / "focus" / "tui.yaml"
    except RuntimeError:  # the user has no home folder, as in some containers
        return folder / "focus" / "tui.yaml"


def notify_command_of_settings() -> str | None:
    """Return `notify.command` of the settings file; None without one."""
    from focus_engine.config.yaml_text import parse_yaml  # noqa: PLC0415  (PyYAML: 30 ms, at the end of a run only)

    path = settings_path()
    try:
        block = parse_yaml(read_text(path), path).data.get("notify")
    except (OSError, UnicodeDecodeError, InputError):
        return None
    command = block.get("command") if isinstance(block, dict) else None
    return command if isinstance(command, str) and command.strip() else None
