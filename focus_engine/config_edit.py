"""Edits of config.yaml that keep its comments and the order of its keys (`--set key=value`)."""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from focus_engine.config_file import (
    ConfigLoader,
    KeyPath,
    all_keys,
    known_keys,
    nearest_key,
    parse_config,
    parse_value,
)
from focus_engine.errors import InputError


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
        value = parse_value(raw)
        text = _set_key(text, at, _yaml_scalar(value))
    parse_config(text, path)
    return text


def _yaml_scalar(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-3 and float(f"{value:.1e}") == value else repr(value)
    return (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000).removesuffix("...\n").strip()
    )


def _set_key(text: str, at: KeyPath, value: str) -> str:
    node: yaml.Node | None = yaml.compose(text, Loader=ConfigLoader)
    for depth, key in enumerate(at):
        pair = _find(node, key)
        if pair is None:
            return _insert(text, node, at[depth:], value, depth)
        node = pair[1]
        if depth == len(at) - 1:
            start, end = node.start_mark.index, node.end_mark.index
            if start == end:  # an empty value: place it after the colon
                colon = text.index(":", pair[0].end_mark.index) + 1
                return f"{text[:colon]} {value}{text[colon:]}"
            return text[:start] + value + text[end:]
    return text


def _find(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next(((k, v) for k, v in pairs if k.value == key), None)


def _insert(text: str, node: yaml.Node | None, missing: KeyPath, value: str, depth: int) -> str:
    """Write a key that is not there yet into the block `node`: over its commented-out line, else at the end."""
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        return _insert_in_flow(text, node, missing, value)
    lines = [line if line.endswith("\n") else line + "\n" for line in text.splitlines(keepends=True)]
    first, stop, indent = _extent(node, depth, len(lines))
    if len(missing) == 1:
        waiting = re.compile(rf"^ {{{indent}}}# {re.escape(missing[0])}:[ \t]*[^#\n]*(?P<comment>#.*)?$")
        for number in range(first, stop):
            if match := waiting.match(lines[number].rstrip("\n")):
                comment = f"  {match['comment']}" if match["comment"] else ""
                lines[number] = f"{' ' * indent}{missing[0]}: {value}{comment}\n"
                return "".join(lines)
    while stop > first and not lines[stop - 1].strip():
        stop -= 1
    new = [f"{' ' * (indent + 2 * n)}{key}:\n" for n, key in enumerate(missing)]
    new[-1] = new[-1].rstrip("\n") + f" {value}\n"
    return "".join([*lines[:stop], *new, *lines[stop:]])


def _insert_in_flow(text: str, node: yaml.MappingNode, missing: KeyPath, value: str) -> str:
    entry = "".join(f"{key}: {{" for key in missing[:-1]) + f"{missing[-1]}: {value}" + "}" * (len(missing) - 1)
    end = node.value[-1][1].end_mark.index if node.value else node.start_mark.index + 1
    return text[:end] + (f", {entry}" if node.value else entry) + text[end:]


def _extent(node: yaml.Node | None, depth: int, n_lines: int) -> tuple[int, int, int]:
    """First line, line after the last, and indentation of the block `node`."""
    if isinstance(node, yaml.MappingNode) and node.value:
        last = node.value[-1][1].end_mark
        stop = n_lines if depth == 0 else last.line + (last.column > 0 and last.line < n_lines)
        return (0 if depth == 0 else node.start_mark.line), stop, node.value[0][0].start_mark.column
    if node is not None and depth:  # `block:` with nothing in it
        return node.start_mark.line + 1, node.start_mark.line + 1, 2 * depth
    return 0, n_lines, 0
