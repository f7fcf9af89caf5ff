"""One event of every type, filled in."""

from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from dashboard import epoch, samples, spectrum, started, worker

from focus_engine.events import EVENT_TYPES, Event

_MADE: dict[str, Event] = {event.type: event for event in (worker(), started(), epoch(3), spectrum(3), samples(3))}
_VALUES: dict[Any, Any] = {str: "text", int: 3, float: 0.5, bool: True}


def _sample(kind: type[Event]) -> Event:
    """Return an event of that type; fields without a default get a value of their type."""
    if kind.type in _MADE:
        return _MADE[kind.type]
    hints = get_type_hints(kind)
    wanted = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]
    words = {"state": "stopped", "kind": "last", "when": "now", "devices": ("cpu",)}
    return kind(**{name: words.get(name, _VALUES.get(hints[name], 1)) for name in wanted})


SAMPLES = [_sample(kind) for kind in EVENT_TYPES.values()]
