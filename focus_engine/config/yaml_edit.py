"""Edits of YAML text that keep its comments and the order of its keys; independent of the schema."""

import math
import re
from collections.abc import Iterator
from functools import lru_cache

import yaml

from focus_engine.config.yaml_text import ConfigLoader, KeyPath


class _ValueDumper(yaml.SafeDumper):
    """Dumper that quotes text which YAML 1.1 or `ConfigLoader` would read as another type."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  (PyYAML's signature)
        """Write a repeated value in full each time instead of as an alias."""
        return True


_ValueDumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, ()), *resolvers]
    for first, resolvers in {
        **yaml.SafeDumper.yaml_implicit_resolvers,
        **ConfigLoader.yaml_implicit_resolvers,
    }.items()
}


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", _float_text(value))


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Escape unprintable characters; inside '…' a Unicode line break would be read back as a blank."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, None if value.isprintable() else '"')


_ValueDumper.add_representer(float, _represent_float)
_ValueDumper.add_representer(str, _represent_text)
_ValueDumper.add_representer(tuple, yaml.SafeDumper.represent_list)


def yaml_value(value: object) -> str:
    """Return `value` as one line of YAML, such as `1.0e-4`, `[1, 2]` or `"01"`; an empty text for None."""
    if value is None:
        return ""
    quoted = isinstance(value, str) and (not value or not value.isprintable() or _needs_quotes(value))
    style = '"' if quoted else None
    # An infinite width, because a column limit would wrap quoted text.
    text = yaml.dump(
        value, Dumper=_ValueDumper, default_flow_style=True, default_style=style, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("...\n").strip()


def _needs_quotes(value: str) -> bool:
    text = yaml.dump(value, Dumper=_ValueDumper, allow_unicode=True, width=float("inf"))
    return text.startswith(("'", '"'))


def _float_text(value: float) -> str:
    """Return the shortest text that both YAML 1.1 and 1.2 read as this float, such as `1.0e-4`."""
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    if value == 0 or 1e-3 <= abs(value) < 1e9:
        return repr(value)
    digits = next(n for n in range(1, 18) if float(f"{value:.{n}e}") == value)
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent):+d}"


@lru_cache(maxsize=16)
def _composed(text: str) -> yaml.Node | None:
    """Return the node of a YAML text, with the marks of PyYAML's own parser: 20 ms for a config of all keys.

    The form of a new experiment applies the same settings to the same template at every key that is pressed.
    """
    node: yaml.Node | None = yaml.compose(text, Loader=ConfigLoader)
    return node


def set_value(text: str, at: KeyPath, value: object) -> str:
    """Return the YAML `text` with `value` at the key path `at`, which is added if missing; None empties it."""
    return _set_key(text, at, yaml_value(value))


def _set_key(text: str, at: KeyPath, value: str) -> str:
    node = _composed(text)
    for depth, key in enumerate(at):
        pair = _find(node, key)
        if pair is None:
            woken = _wake_block(text, node, key, depth) if depth < len(at) - 1 else None
            return _insert(text, node, at[depth:], value, depth) if woken is None else _set_key(woken, at, value)
        node = pair[1]
        if depth == len(at) - 1:
            return _replace(text, pair[0], node, value)
    return text


def _replace(text: str, key: yaml.Node, node: yaml.Node, value: str) -> str:
    """Return `text` with the value of `key`, which is `node`, replaced by `value`."""
    start, end = node.start_mark.index, node.end_mark.index
    if start == end or _is_block(node):  # an empty value, or a block on its own lines: write after the colon
        colon = text.index(":", key.end_mark.index) + 1
        rest = (
            text[colon:] if start == end else text[colon : start - node.start_mark.column] + text[_after(text, node) :]
        )
        return f"{text[:colon]} {value}{rest}"
    end = start + len(text[start:end].rstrip("\n"))  # the node of a multi-line text ends on the next line
    return text[:start] + value + _keep_column(text[end:], len(value) - (end - start))


def _is_block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and not node.flow_style


def _after(text: str, node: yaml.Node) -> int:
    """Return the index at which the line after the block `node` begins."""
    end = max(leaf.end_mark.index for leaf in _leaves(node))
    return end if text[end - 1] == "\n" else text.find("\n", end) + 1 or len(text)


def _leaves(node: yaml.Node) -> Iterator[yaml.Node]:
    if not _is_block(node):
        yield node
    for child in node.value if _is_block(node) else ():
        for one in child if isinstance(child, tuple) else (child,):
            yield from _leaves(one)


def _keep_column(rest: str, growth: int) -> str:
    """Adjust the blanks before a trailing comment, so that it keeps its column where possible."""
    comment = re.match(r"[ ]{2,}(?=#)", rest)
    if comment is None:
        return rest
    return " " * max(2, comment.end() - growth) + rest[comment.end() :]


def _find(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next(((k, v) for k, v in pairs if k.value == key), None)


def _insert(text: str, node: yaml.Node | None, missing: KeyPath, value: str, depth: int) -> str:
    """Return `text` with a missing key added to the block `node`, over its commented-out line or at the end."""
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        return _insert_in_flow(text, node, missing, value)
    lines = [line if line.endswith("\n") else line + "\n" for line in text.splitlines(keepends=True)]
    first, stop, indent = _extent(node, depth, lines)
    if len(missing) == 1:
        waiting = re.compile(rf"^ {{{indent}}}# {re.escape(missing[0])}:[ \t]*[^#\n]*?(?P<comment>[ \t]*#.*)?$")
        for number in range(first, stop):
            if match := waiting.match(lines[number].rstrip("\n")):
                written = f"{' ' * indent}{missing[0]}: {value}"
                comment = (match["comment"] or "").lstrip()
                gap = max(2, match.start("comment") + len(match["comment"] or "") - len(comment) - len(written))
                lines[number] = written + (" " * gap + comment if comment else "") + "\n"
                return "".join(lines)
    while stop > first and not lines[stop - 1].strip():
        stop -= 1
    new = [f"{' ' * (indent + 2 * n)}{yaml_value(key)}:\n" for n, key in enumerate(missing)]
    new[-1] = new[-1].rstrip("\n") + f" {value}\n"
    return "".join([*lines[:stop], *new, *lines[stop:]])


def _wake_block(text: str, node: yaml.Node | None, key: str, depth: int) -> str | None:
    """Return the text with the commented-out block `key` of the block `node` uncommented; None where there is none."""
    lines = text.splitlines(keepends=True)
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        return None
    first, stop, indent = _extent(node, depth, lines)
    blank = " " * indent
    start = next((n for n in range(first, stop) if lines[n].rstrip() == f"{blank}# {key}:"), None)
    if start is None:
        return None
    end = start + 1
    while end < stop and re.match(rf"{blank}#   +(#|[\w]+:)", lines[end]):
        end += 1
    woken = [blank + line[indent + 2 :] for line in lines[start:end]]
    changed = "".join([*lines[:start], *woken, *lines[end:]])
    try:
        _composed(changed)
    except yaml.YAMLError:  # prose that looks like a block
        return None
    return changed if end > start + 1 else None


def _insert_in_flow(text: str, node: yaml.MappingNode, missing: KeyPath, value: str) -> str:
    *blocks, last = map(yaml_value, missing)
    entry = "".join(f"{key}: {{" for key in blocks) + f"{last}: {value}" + "}" * len(blocks)
    end = node.value[-1][1].end_mark.index if node.value else node.start_mark.index + 1
    return text[:end] + (f", {entry}" if node.value else entry) + text[end:]


def _extent(node: yaml.Node | None, depth: int, lines: list[str]) -> tuple[int, int, int]:
    """Return first line, end line (exclusive) and indentation of the block `node`, including commented-out keys."""
    if depth == 0 or node is None:
        return 0, len(lines), 0
    if isinstance(node, yaml.MappingNode) and node.value:
        last = node.value[-1][1].end_mark
        first, indent = node.start_mark.line, node.value[0][0].start_mark.column
        stop = last.line + (last.column > 0 and last.line < len(lines))
    else:  # an empty block, `block:`
        first = stop = node.start_mark.line + 1
        indent = _comment_indent(lines[first:]) or 2 * depth
    while first > 0 and (_indent_of_comment(lines[first - 1]) or -1) >= indent:
        first -= 1
    while stop > first and _indent_of_comment(lines[stop - 1]) in range(indent):
        stop -= 1
    while stop < len(lines) and (_indent_of_comment(lines[stop]) or -1) >= indent:
        stop += 1
    return first, stop, indent


def _comment_indent(lines: list[str]) -> int | None:
    return _indent_of_comment(lines[0]) if lines else None


def _indent_of_comment(line: str) -> int | None:
    """Return the column of the `#` of a comment line, 0 for an empty line, None for any other line."""
    bare = line.strip()
    if not bare:
        return 0
    return line.index("#") if bare.startswith("#") else None
