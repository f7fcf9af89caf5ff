"""Settings of the dashboard, in `~/.config/focus/tui.yaml`, checked key by key.

A wrong key is reported with its line and keeps its default, so a typo never prevents the dashboard from opening.
The module avoids pydantic, and PyYAML if there is no file, because the first paint waits for it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from focus_engine.config.user_settings import settings_path
from focus_engine.errors import FocusError, InputError
from focus_tui.dashboard.settings_check import KEYS, check_setting, checked_settings, plain
from focus_tui.view.columns import DASHBOARD_KEYS

HEADER = "# Settings of the dashboard (focus tui). A key left out has its default.\n"


@dataclass(frozen=True)
class Settings:
    """The settings of the user.

    Attributes:
        theme: any theme of Textual.
        colormap: of maps.
        columns: keys of the columns of the list of runs.
        sort: column to sort the list by, with `-` in front for descending; `standing` puts live runs first.
        filters: saved filters, by name.
        refresh: polling interval [s].
        images: how maps are drawn; `blocks` (half-blocks) works everywhere, and `auto` currently means the same.
        smoothing: weight of past values in the smoothed curves; 0 for none.
        log_y: whether losses start on a log axis.
        keys: replacement keys, by action name.
        notify: `command`: the shell command that tells of the end of a run whose config names none.
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
    notify: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedSettings:
    """Settings and the problems of their file.

    Attributes:
        settings: complete; a wrong value is replaced by its default.
        warnings: one message per wrong key, with file and line.
        path: the file, which need not exist.
    """

    settings: Settings
    warnings: tuple[str, ...]
    path: Path


def load_settings(
    path: Path | None = None, *, themes: Collection[str] = (), actions: Collection[str] = ()
) -> LoadedSettings:
    """Read the settings; never fails.

    Args:
        path: the file; None for `settings_path()`.
        themes: available themes; empty to accept any.
        actions: actions whose keys can be set; empty to accept any.
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
    from focus_engine.config.yaml_text import parse_yaml  # PyYAML costs 30 ms, which a start without settings saves

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
    """Write one setting into the file, created if missing; comments and other keys stay.

    Args:
        key: a field of `Settings`, or `filters.NAME`, `keys.ACTION` or `notify.command`.
        value: None removes the setting.
        path: the file; None for `settings_path()`.

    Raises:
        InputError: the value is not allowed, or the file is not valid YAML; nothing is written.
        FocusError: the file cannot be written; it is unchanged.
    """
    from focus_engine.atomic import write_atomically

    at = (key,) if key in KEYS else tuple(key.split(".", 1))
    check_setting(at, value)
    target = (
        settings_path() if path is None else path
    ).resolve()  # a symbolic link into a dotfiles folder stays a link
    try:
        text = target.read_text(encoding="utf-8") if target.exists() else HEADER
        edited = _edited(text, at, value, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(target) as temporary:
            temporary.write_text(edited, encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{target}: not a UTF-8 text file; it is unchanged") from None
    except OSError as error:
        raise FocusError(f"{target}: cannot be written: {error.strerror or error}; it is unchanged") from None


def _edited(text: str, at: tuple[str, ...], value: object, path: Path) -> str:
    """Return `text` with `value` at `at`; rewritten without comments if it cannot be edited in place."""
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
    """Return plain `data` with `value` at `at`; None removes the key."""
    key, *rest = at
    inner = data.get(key)
    held = _placed(inner if isinstance(inner, dict) else {}, tuple(rest), value) if rest else plain(value)
    return {**data, key: held} if held is not None else {name: one for name, one in data.items() if name != key}
