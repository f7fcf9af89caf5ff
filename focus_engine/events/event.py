"""The base of all event types, and how an event is written to and read from JSON."""

import json
import math
import time
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Self


@dataclass(frozen=True, kw_only=True)
class Event:
    """The base of all event types.

    Attributes:
        time: when the event was written [Unix seconds].
    """

    type: ClassVar[str] = "event"
    time: float = field(default_factory=lambda: time.time())  # noqa: PLW0108  (looked up at each event: tests set clocks wrong)

    def to_json(self) -> str:
        """Return the event as one line of JSON without the line break; NaN and infinities become null."""
        return json.dumps({"type": self.type, **_plain(asdict(self))}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Self:
        """Return the event in a parsed line, skipping unknown fields. Raises TypeError when a field is missing."""
        names = _field_names(cls)  # type: ignore[arg-type]  # classes are hashable, which mypy doubts for type[Self]
        given = {name: row[name] for name in names if name in row}
        return cls(**{name: as_tuples(one) if type(one) is list else one for name, one in given.items()})


@cache  # `fields` for every line would cost 15 % of the time to parse a log
def _field_names(kind: type[Event]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))


def _plain(value: Any) -> Any:  # noqa: ANN401  (JSON holds anything)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def as_tuples(value: Any) -> Any:  # noqa: ANN401  (JSON holds anything)
    """Return parsed JSON with its lists as tuples."""
    return tuple([as_tuples(item) if type(item) is list else item for item in value]) if type(value) is list else value
