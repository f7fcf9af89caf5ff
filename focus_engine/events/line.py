"""Parsing a line of `events.jsonl` into an event whose fields have the types that the table states.

Logs may hold lines that FOCUS did not write. They are refused here, so that no reader has to check types again.
"""

import json
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from focus_engine.events.former import FORMER_TYPES, FormerPowerSpectrum
from focus_engine.events.statistics import Measure, MeasuredCurve
from focus_engine.events.table import EVENT_TYPES, Event

_NUMBERS: tuple[type, ...] = (int, float)
_MOST = 1e300
"""Larger numbers are refused: they are no measurements, and sums or times made of them overflow."""


def parse_event(line: bytes | str) -> Event | None:
    """Return the event on `line`, or None when the line is torn, of an unknown type or has fields of wrong types."""
    try:
        row = json.loads(line if isinstance(line, str) else line.decode())  # json would guess the encoding of bytes
        kind = row["type"]
        event = (FORMER_TYPES[kind] if kind in FORMER_TYPES else EVENT_TYPES[kind]).from_dict(row)
        if not _well_typed(event):
            return None
        return event.today() if isinstance(event, FormerPowerSpectrum) else event
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _well_typed(part: object) -> bool:
    """Whether the fields of an event, or of a part of one, have the types that the table states."""
    values = vars(part)
    for name, kinds in _KINDS[type(part)]:  # a loop: half the time of `all` over a generator
        if not _is_of(values[name], kinds):
            return False
    known = all(values[name] in words for name, words in _WORDS[type(part)])
    return known and all(_holds(values[name], of) for name, of in _TUPLES[type(part)])


def _is_of(value: Any, kinds: tuple[type, ...]) -> bool:  # noqa: ANN401  (JSON holds anything)
    """Whether a value has one of the types, and if it is a number, is finite and not absurdly large."""
    kind = type(value)
    return kind in kinds and (kind not in _NUMBERS or -_MOST < value < _MOST)


def _parts(annotation: object) -> tuple[object, ...]:
    """Return the members of a union; any other annotation is its own only member."""
    return get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)


def _kinds(annotation: object) -> tuple[type, ...]:
    """Return the types that a value may have; for tuples and dicts, the container's type alone."""
    kinds: list[type] = []
    for part in _parts(annotation):
        outer: Any = get_origin(part) or part
        kinds += [str] if outer is Literal else _NUMBERS if outer is float else [outer]
    return tuple(kinds)


def _words(annotation: object) -> tuple[object, ...]:
    """Return the words that a field may hold, and None where it may be null; empty if it may hold any text."""
    words = [word for part in _parts(annotation) if get_origin(part) is Literal for word in get_args(part)]
    return (*words, None) if words and NoneType in _parts(annotation) else tuple(words)


def _holds(values: object, annotation: object) -> bool:
    """Whether the items of a tuple have the annotated types: `tuple[X, ...]`, or one type per place."""
    if not isinstance(values, tuple):
        return True  # null, where that is allowed
    inside = next(get_args(part) for part in _parts(annotation) if get_origin(part) is tuple)
    if inside[-1] is not Ellipsis and len(inside) != len(values):
        return False
    if inside[-1] is Ellipsis:
        inside = (inside[0],) * len(values)
    return all(
        _is_of(value, _kinds(of))
        and (not isinstance(value, tuple) or _holds(value, of))
        and (type(value) not in PARTS or _well_typed(value))
        for value, of in zip(values, inside, strict=True)
    )


def _is_tuple(annotation: object) -> bool:
    return any(get_origin(part) is tuple for part in _parts(annotation))


PARTS: tuple[type, ...] = (Measure, MeasuredCurve)
"""The types of the parts of events."""

_ALL: tuple[type, ...] = (*EVENT_TYPES.values(), *FORMER_TYPES.values(), *PARTS)

_KINDS = {kind: tuple((one.name, _kinds(one.type)) for one in fields(kind)) for kind in _ALL}
"""The fields of each event type or part with the types that they may have."""

_WORDS = {kind: tuple((one.name, words) for one in fields(kind) if (words := _words(one.type))) for kind in _ALL}
"""The fields of each that hold one of a few words, with these words."""

_TUPLES = {kind: tuple((one.name, one.type) for one in fields(kind) if _is_tuple(one.type)) for kind in _ALL}
"""The fields of each that hold tuples, with their annotations."""
