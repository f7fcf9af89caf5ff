"""Checks of the dashboard settings. Pure; files and defaults are in `focus_tui.dashboard.settings`."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from focus_engine.errors import InputError
from focus_tui.view.columns import columns_of, nearest

COLORMAPS = ("magma", "viridis", "inferno")
IMAGES = ("auto", "blocks")


@dataclass(frozen=True)
class SettingProblem:
    """A wrong setting.

    Attributes:
        at: the key, or the block and the name in it.
        message: what is wrong and what is allowed.
        outcome: what is used instead.
    """

    at: tuple[str, ...]
    message: str
    outcome: str


def checked_settings(
    data: Mapping[str, object], names: Mapping[str, Collection[str]] | None = None
) -> tuple[dict[str, Any], tuple[SettingProblem, ...]]:
    """Return the valid values of `data`, and the problems of the others.

    Args:
        data: the file as plain values.
        names: allowed themes and actions, under `theme` and `keys`; empty to accept any.
    """
    known = names or {}
    values: dict[str, Any] = {}
    wrong: list[SettingProblem] = []
    for key, value in data.items():
        try:
            if key in _ENTRIES:
                values[key], bad = _entries(key, value, _NAMES.get(key) or known.get(key, ()))
                wrong += bad
            else:
                values[key] = _checked(key, value, known.get(key, ()))
        except InputError as error:
            outcome = "it keeps its default" if key in KEYS else "it is left out"
            wrong.append(SettingProblem((key,), str(error), outcome))
    return values, tuple(wrong)


def check_setting(at: tuple[str, ...], value: object) -> None:
    """Check one setting, or one entry of a block; None, which removes it, is valid. Raises InputError."""
    if at[0] not in KEYS or (len(at) > 1 and at[0] not in _ENTRIES):
        raise InputError(f"unknown setting {'.'.join(at)!r}{nearest(at[0], KEYS)}")
    if value is None:
        return
    held = plain(value)
    _, wrong = checked_settings({at[0]: held if len(at) == 1 else {at[1]: held}})
    if wrong:
        raise InputError(wrong[0].message)


def plain(value: object) -> Any:  # noqa: ANN401  (YAML holds anything)
    """Return `value` as YAML would load it, with lists and dicts."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, tuple | list) else value


def _checked(key: str, value: object, names: Collection[str]) -> object:
    if key not in _VALUES:
        raise InputError(f"unknown key {key!r}{nearest(key, KEYS)}")
    try:
        return _one_of(names)(value) if names else _VALUES[key](value)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None


def _entries(key: str, value: object, names: Collection[str]) -> tuple[dict[str, object], list[SettingProblem]]:
    """Return the valid entries of the block `key`, and the problems of the others."""
    if not isinstance(value, dict):
        raise InputError(f"{key}: {_shown(value)} is not a block of names and values")
    held: dict[str, object] = {}
    wrong: list[SettingProblem] = []
    for name, one in value.items():
        try:
            if names:
                _one_of(names)(name)
            held[name] = _ENTRIES[key](one)
        except InputError as error:
            wrong.append(SettingProblem((key, name), f"{key}.{name}: {error}", "it is left out"))
    return held, wrong


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{_shown(value)} is not text")
    return value


def _one_of(allowed: Collection[str]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise InputError(f"{_shown(value)} is not allowed{nearest(str(value), allowed)}")

    return check


def _number(low: float, high: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InputError(f"{_shown(value)} is not a number from {low:g} to {high:g}")
        return float(value)

    return check


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{_shown(value)} is not true or false")
    return value


def _texts(value: object) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        raise InputError(f"{_shown(value)} is not a list of words")
    return tuple(_text(one) for one in listed)


def _columns(value: object) -> tuple[str, ...]:
    return tuple(column.key for column in columns_of(_texts(value)))


def _sort(value: object) -> str:
    from focus_tui.view.query import parse_sort

    parse_sort(_text(value))
    return _text(value).strip()


def _filter(value: object) -> str:
    from focus_tui.view.query import parse_query

    return parse_query(_text(value)).text


def _shown(value: object) -> str:
    """Return a value as text, truncated to 60 characters."""
    text = json.dumps(plain(value), ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"


_VALUES: dict[str, Callable[[object], object]] = {
    "theme": _text,
    "colormap": _one_of(COLORMAPS),
    "columns": _columns,
    "sort": _sort,
    "refresh": _number(0.1, 10),
    "images": _one_of(IMAGES),
    "smoothing": _number(0, 0.99),
    "log_y": _switch,
}
_ENTRIES: dict[str, Callable[[object], object]] = {"filters": _filter, "keys": _texts, "notify": _text}
_NAMES: dict[str, Collection[str]] = {"notify": ("command",)}
"""Names of the entries of a block, where they are fixed."""
KEYS = (*_VALUES, *_ENTRIES)
"""All keys of the file."""
