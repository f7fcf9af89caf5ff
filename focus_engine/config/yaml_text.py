"""YAML parser that records the line of every key; independent of the schema.

Separate from `load` because the dashboard reads its settings with it and must not import pydantic. It is PyYAML's safe
parser with the number rules of YAML 1.2 (`1e-4` is a float); tags, duplicate keys and exponentially growing aliases
are refused.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from focus_engine.errors import InputError

MAX_NODES = 20_000
"""Limit on YAML nodes, more than any config has; stops exponentially growing aliases."""

KeyPath = tuple[str, ...]


class ConfigLoader(yaml.SafeLoader):
    """The safe loader with YAML 1.2 numbers; dates stay text."""


ConfigLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in {"tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
ConfigLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9][0-9_]*$"), list("-+0123456789"))
ConfigLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


MAX_NESTING = 500
"""Most characters that may open a nested value in text that libyaml parses: its recursion has no limit of its own."""


def _compiled_loader() -> type[yaml.SafeLoader | yaml.CSafeLoader]:
    """Return libyaml's parser with the rules of `ConfigLoader`, ten times as fast; without libyaml, `ConfigLoader`."""
    if not yaml.__with_libyaml__:
        return ConfigLoader

    class Compiled(yaml.CSafeLoader):
        yaml_implicit_resolvers = ConfigLoader.yaml_implicit_resolvers

    return Compiled


_COMPILED = _compiled_loader()


def _node(text: str) -> yaml.Node | None:
    """Return the node of a YAML text. Its marks may lack the precision that edits need."""
    nesting = sum(map(text.count, ("[", "{", "- ", "? ")))
    node: yaml.Node | None = yaml.compose(text, Loader=_COMPILED if nesting <= MAX_NESTING else ConfigLoader)
    return node


@dataclass(frozen=True)
class ParsedYaml:
    """A parsed mapping.

    Attributes:
        data: plain data; keys without a value are omitted.
        lines: the line (from 1) of every key path.
    """

    data: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)


def parse_value(text: str, at: KeyPath = ()) -> object:
    """Return the value of `--set key=value` parsed as YAML. Raises InputError, which names the key `at`."""
    try:
        node = _node(text)
    except yaml.YAMLError as error:
        words = f"{text!r} is not a YAML value: {_problem(error)}"
        raise InputError(words, where="--set", keys=_dotted(at)) from None
    return None if node is None else _Builder(Path("--set")).build(node, at)


def parse_yaml(text: str, path: Path) -> ParsedYaml:
    """Return the mapping in `text`. Raises InputError, which names `path` and the line of the error."""
    try:
        node = _node(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise InputError(f"not valid YAML: {_problem(error)}", where=where) from None
    except RecursionError:
        raise InputError("nested too deeply for a config", where=str(path)) from None
    if node is None:
        return ParsedYaml({})
    builder = _Builder(path)
    try:
        data = builder.build(node, ())
    except RecursionError:
        raise InputError("nested too deeply for a config", where=str(path)) from None
    if not isinstance(data, dict):
        raise InputError("a config is a mapping of keys to values", where=f"{path}:{node.start_mark.line + 1}")
    return ParsedYaml(data, builder.lines)


class _Builder:
    """Converts YAML nodes to plain data and records the line of each key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[KeyPath, int] = {}
        self._nodes = 0
        self._scalars = ConfigLoader("")

    def build(self, node: yaml.Node, at: KeyPath) -> Any:  # noqa: ANN401  (YAML holds anything)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._error(node, at, "more values than a config can hold (aliases that multiply?)")
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
            raise self._error(node, at, f"the tag {node.tag!r} is not allowed; write a plain value")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, at) for item in node.value]
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            raise self._error(node, at, f"{node.value!r} cannot be read") from None

    def _mapping(self, node: yaml.MappingNode, at: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                raise self._error(key_node, at, "a key must be a plain word")
            if (*at, key) in self.lines and key in data:
                raise self._error(
                    key_node, at, f"the key {key!r} is given twice (first on line {self.lines[(*at, key)]})"
                )
            self.lines[(*at, key)] = key_node.start_mark.line + 1
            value = self.build(value_node, (*at, key))
            if value is not None:  # a key without a value counts as omitted
                data[key] = value
        return data

    def _error(self, node: yaml.Node, at: KeyPath, message: str) -> InputError:
        return InputError(message, where=f"{self.path}:{node.start_mark.line + 1}", keys=_dotted(at))


def _dotted(at: KeyPath) -> tuple[str, ...]:
    return (".".join(at),) if at else ()


def _problem(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None)
    return str(problem) if problem else str(error).splitlines()[0]
