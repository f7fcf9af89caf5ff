"""Edits of config.yaml that keep its comments and the order of its keys (`--set key=value`)."""

from collections.abc import Iterable
from pathlib import Path

from focus_engine.config_file import all_keys, known_keys, nearest_key, parse_config
from focus_engine.errors import InputError
from focus_engine.yaml_edit import set_value
from focus_engine.yaml_text import parse_value


def set_keys(text: str, settings: Iterable[str], path: Path) -> str:
    """Apply `key=value` settings to the YAML `text`, keeping its comments and the order of its keys.

    Raises:
        InputError: a setting without `=`, an unknown key, or a result that is not a valid config.
    """
    for setting in settings:
        dotted, equals, raw = setting.partition("=")
        at = tuple(dotted.strip().split("."))
        if not equals or not dotted.strip():
            raise InputError(f"--set {setting!r}: write key=value, such as --set training.lr=3e-4")
        if at not in set(all_keys()):
            inside = known_keys(at)
            hint = f" is a block; its keys: {', '.join(inside)}" if inside else nearest_key(at)
            raise InputError(f"--set {setting!r}: {'' if inside else 'unknown key '}{dotted.strip()!r}{hint}")
        text = set_value(text, at, parse_value(raw))
    parse_config(text, path)
    return text
