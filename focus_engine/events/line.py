"""A line of `events.jsonl` read back: an event, or nothing where the line is torn, foreign, or of another shape.

Apart from the table, because readers meet lines that no writer of ours wrote: whatever passes here has fields
of the types that the table states, so that nobody behind it checks again.
"""

import json
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from focus_engine.events.table import EVENT_TYPES, Event

_NUMBERS: tuple[type, ...] = (int, float)


def parse_event(line: bytes | str) -> Event | None:
    """Return the event on `line`, or None when the line is torn, foreign or of an unknown type."""
    try:
        row = json.loads(line)
        kind = EVENT_TYPES[row["type"]]
        event = kind.from_dict(row)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    known = all(type(getattr(event, name)) in kinds for name, kinds in _KINDS[kind.type])
    return event if known and all(_holds(getattr(event, name), of) for name, of in _TUPLES[kind.type]) else None


def _parts(annotation: object) -> tuple[object, ...]:
    """The members of a union; anything else is its only member."""
    return get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)


def _kinds(annotation: object) -> tuple[type, ...]:
    """The types that a value may have; those of tuples and dicts are told by their outside alone."""
    kinds: list[type] = []
    for part in _parts(annotation):
        outer: Any = get_origin(part) or part
        kinds += [str] if outer is Literal else _NUMBERS if outer is float else [outer]
    return tuple(kinds)


def _holds(values: object, annotation: object) -> bool:
    """Whether a tuple holds what its annotation says: `tuple[X, ...]`, or one type for each place."""
    if not isinstance(values, tuple):
        return True  # null, where that is allowed
    inside = next(get_args(part) for part in _parts(annotation) if get_origin(part) is tuple)
    if inside[-1] is not Ellipsis and len(inside) != len(values):
        return False
    if inside[-1] is Ellipsis:
        inside = (inside[0],) * len(values)
    return all(
        type(value) in _kinds(of) and (not isinstance(value, tuple) or _holds(value, of))
        for value, of in zip(values, inside, strict=True)
    )


def _is_tuple(annotation: object) -> bool:
    return any(get_origin(part) is tuple for part in _parts(annotation))


_KINDS = {kind.type: tuple((one.name, _kinds(one.type)) for one in fields(kind)) for kind in EVENT_TYPES.values()}
"""What the fields of each row may be."""

_TUPLES = {
    kind.type: tuple((one.name, one.type) for one in fields(kind) if _is_tuple(one.type))
    for kind in EVENT_TYPES.values()
}
"""The fields of each row that hold several values."""
