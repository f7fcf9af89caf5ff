"""Settings of the dashboard, in `~/.config/focus/tui.yaml`: checked key by key, and never in the way.

What is wrong in the file is said with its line, and that key alone keeps its default: nobody is locked out of a
dashboard by a typo. Without pydantic, and without PyYAML where there is no file, because the first paint waits.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from focus_engine.errors import FocusError, InputError
from focus_tui.dashboard.settings_check import KEYS, check_setting, checked_settings, plain
from focus_tui.view.columns import DASHBOARD_KEYS

HEADER = "# Settings of the dashboard (focus tui). A key left out has its default.\n"


@dataclass(frozen=True)
class Settings:
    """What the user chose.

    Attributes:
        theme: of the whole screen; any theme of Textual's.
        colormap: of maps.
        columns: of the list of runs, by key.
        sort: column that the list is sorted by, `-` in front for descending; `standing` for live ones first.
        filters: saved filters, by name.
        refresh: seconds between two looks at the runs.
        images: how maps are drawn; half-blocks work everywhere, and auto means them until a terminal proves more.
        smoothing: weight of the past in the smoothed curves, 0 for none.
        log_y: whether losses start on a log axis.
        keys: keys of an action that replace its own, by the action's name.
    """

    theme: str = "focus-dark"
    colormap: str = "magma"
    columns: tuple[str, ...] = DASHBOARD_KEYS
    sort: str = "standing"
    filters: Mapping[str, str] = field(default_factory=dict)
    refresh: float = 0.25
    images: str = "auto"
    smoothing: float = 0.0
    log_y: bool = False
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedSettings:
    """Settings with what was wrong in their file.

    Attributes:
        settings: complete; what could not be used has its default.
        warnings: a sentence for each key that could not, with file and line.
        path: the file, which need not exist.
    """

    settings: Settings
    warnings: tuple[str, ...]
    path: Path


def settings_path() -> Path:
    """Return the settings file: `$FOCUS_TUI_CONFIG`, else `focus/tui.yaml` in `$XDG_CONFIG_HOME` or `~/.config`."""
    if named := os.environ.get("FOCUS_TUI_CONFIG"):
        return Path(named).absolute()
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(configured) if Path(configured).is_absolute() else Path("~/.config")
    try:
        return folder.expanduser() / "focus" / "tui.yaml"
    except RuntimeError:  # nobody's home, as in some containers
        return folder / "focus" / "tui.yaml"


def load_settings(
    path: Path | None = None, *, themes: Collection[str] = (), actions: Collection[str] = ()
) -> LoadedSettings:
    """Read the settings; never fails.

    Args:
        path: the file; None for `settings_path()`.
        themes: those that there are; empty to take any.
        actions: those whose keys can be chosen; empty to take any.
    """
    path = settings_path() if path is None else path
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return LoadedSettings(Settings(), (), path)
    except (OSError, UnicodeDecodeError) as error:
        reason = "not a UTF-8 text file" if isinstance(error, UnicodeDecodeError) else error.strerror
        return LoadedSettings(
            Settings(), (f"{path}: cannot be read: {reason}; all settings keep their defaults",), path
        )
    from focus_engine.config.yaml_text import parse_yaml  # PyYAML: 30 ms that a start without settings does without

    try:
        parsed = parse_yaml(text, path)
    except InputError as error:
        return LoadedSettings(Settings(), (f"{error}; all settings keep their defaults",), path)
    values, mistakes = checked_settings(parsed.data, {"theme": themes, "keys": actions})
    warnings = tuple(
        f"{path}:{parsed.lines.get(wrong.at, parsed.lines[wrong.at[:1]])}: {wrong.message}; {wrong.outcome}"
        for wrong in mistakes
    )
    return LoadedSettings(Settings(**values), warnings, path)


def save_setting(key: str, value: object, path: Path | None = None) -> None:
    """Write one setting into the file, made if need be; its comments and its other keys stay.

    Args:
        key: a field of `Settings`, or `filters.NAME` or `keys.ACTION`.
        value: None takes the setting out.
        path: the file; None for `settings_path()`.

    Raises:
        InputError: the value is not allowed, or the file is no valid YAML; nothing is written.
        FocusError: the file cannot be written; it stays as it was.
    """
    from focus_engine.atomic import write_atomically

    at = (key,) if key in KEYS else tuple(key.split(".", 1))
    check_setting(at, value)
    target = (settings_path() if path is None else path).resolve()  # a link into somebody's dotfiles stays one
    try:
        text = target.read_text(encoding="utf-8") if target.exists() else HEADER
        edited = _edited(text, at, value, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(target) as temporary:
            temporary.write_text(edited, encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{target}: not a UTF-8 text file; it stays as it is") from None
    except OSError as error:
        raise FocusError(f"{target}: cannot be written: {error.strerror or error}; it stays as it was") from None


def _edited(text: str, at: tuple[str, ...], value: object, path: Path) -> str:
    """Return the file with `value` at `at`; written anew, without comments, where its shape leaves no choice."""
    import yaml

    from focus_engine.config.yaml_edit import set_value
    from focus_engine.config.yaml_text import parse_yaml

    wanted = _placed(parse_yaml(text, path).data, at, value)
    try:
        edited = set_value(text, at, value)
        if parse_yaml(edited, path).data == wanted:
            return edited
    except (InputError, ValueError, yaml.YAMLError):
        pass
    return HEADER + yaml.safe_dump(wanted, allow_unicode=True, sort_keys=False)


def _placed(data: dict[str, Any], at: tuple[str, ...], value: object) -> dict[str, Any]:
    """Return plain `data` with `value` at `at`, as the file will read."""
    key, *rest = at
    inner = data.get(key)
    held = _placed(inner if isinstance(inner, dict) else {}, tuple(rest), value) if rest else plain(value)
    return {**data, key: held} if held is not None else {name: one for name, one in data.items() if name != key}
