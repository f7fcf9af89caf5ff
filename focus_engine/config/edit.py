"""Edits of config.yaml by `--set key=value` that keep its comments and the order of its keys."""

from collections.abc import Iterable
from pathlib import Path

from focus_engine.config.load import is_known, known_keys, nearest_key, parse_config
from focus_engine.config.yaml_edit import set_value
from focus_engine.config.yaml_text import parse_value
from focus_engine.errors import InputError


def set_keys(text: str, settings: Iterable[str], path: Path) -> str:
    """Return the YAML `text` with `key=value` settings applied; comments and the order of keys are kept.

    Raises:
        InputError: a setting has no `=` or an unknown key, or the result is not a valid config.
    """
    for setting in settings:
        dotted, equals, raw = setting.partition("=")
        key = dotted.strip()
        at = tuple(key.split("."))
        if not equals or not key:
            words = "write key=value, such as --set training.lr=3e-4"
            raise InputError(words, where=f"--set {setting!r}", keys=(key,))
        if not is_known(at):
            inside = known_keys(at)
            hint = f" is a block; its keys: {', '.join(inside)}" if inside else nearest_key(at)
            words = f"{'' if inside else 'unknown key '}{key!r}{hint}"
            raise InputError(words, where=f"--set {setting!r}", keys=(key,))
        text = set_value(text, at, parse_value(raw, at))
    parse_config(text, path)
    return text
