"""The filter language of lists: `state:running method:flow lr>=1e-4 name~vp tag:x -state:lost epoch<10`. Pure.

Every condition must hold; a comma inside a value means "or"; a leading `-` negates. An unknown value (no P(k) yet)
fails every comparison. A bare word is searched for in names, tags and notes. `query_fields` defines the fields.
"""

import operator
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from focus_engine.errors import InputError
from focus_tui.view.columns import BY_KEY, RunRow, column_of, in_default_order, nearest
from focus_tui.view.query_fields import ALIASES, FIELDS, Field

DEFAULT_ORDER = "standing"
"""The sort key of the default order: live runs first, then the most recently updated."""

Condition = Callable[[RunRow, float], bool]

_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FIELD = re.compile(r"(?P<field>[^\W\d]\w*)(?:\s*(?P<compared><=|>=|!=|==|[=<>])\s*|(?P<joined>[:~]))")
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<text>.*?)(?P=quote)""", re.DOTALL)
_REGEX = re.compile(r"/(?P<text>(?:\\.|[^/\\])+)/(?=[\s,]|$)")
_BARE = re.compile(r"[^\s,]+")
_SECONDS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = re.compile(r"(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<unit>%|[a-z]*)")


@dataclass(frozen=True)
class Query:
    """A parsed filter.

    Attributes:
        text: as it was written.
        conditions: all must hold.
        fields: names of the fields it uses.
        archived: whether archived runs may pass: so if the filter uses the field `archived`.
    """

    text: str
    conditions: tuple[Condition, ...] = ()
    fields: frozenset[str] = frozenset()
    archived: bool = False

    def matches(self, row: RunRow, now: float | None = None) -> bool:
        """Return whether `row` passes; ages are counted to `now` [Unix seconds]."""
        if row.labels.archived and not self.archived:
            return False
        now = time.time() if now is None else now
        return all(condition(row, now) for condition in self.conditions)


@dataclass(frozen=True)
class _Value:
    """One alternative of a condition: its text, whether it is a regular expression, and its span in the query."""

    text: str
    regex: bool
    start: int
    end: int


def parse_query(text: str) -> Query:
    """Parse `text` into a filter; an empty one passes every run that is not archived.

    Raises:
        InputError: with the wrong word, its position, and the allowed ones.
    """
    conditions: list[Condition] = []
    fields: set[str] = set()
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        condition, field, at = _condition(text, at)
        conditions.append(condition)
        fields |= {field} - {""}
    return Query(text.strip(), tuple(conditions), frozenset(fields), "archived" in fields)


def _condition(text: str, start: int) -> tuple[Condition, str, int]:
    """Parse one condition; return it, its field (empty for a bare word), and the position behind it."""
    negated = text[start] == "-"
    at = start + negated
    match = _FIELD.match(text, at)
    if match is None:
        values, end = _values(text, start, at, may_be_regex=False)
        test, name = _any_word(values), ""
    else:
        name, sign = match["field"], match["compared"] or match["joined"]
        field = FIELDS.get(ALIASES.get(name.lower(), name.lower()))
        if field is None:
            _refuse(text, at, match.end("field"), f"unknown field{nearest(name, FIELDS)}")
        values, end = _values(text, start, match.end(), may_be_regex=sign == "~")
        test, name = _test(text, field, sign, values), field.name
    return (lambda row, now: not test(row, now)) if negated else test, name, end


def _values(text: str, begin: int, at: int, *, may_be_regex: bool) -> tuple[list[_Value], int]:
    """Parse the alternatives at `at` of the condition at `begin`; return them and the position behind them."""
    values: list[_Value] = []
    while True:
        value = _value(text, at, may_be_regex=may_be_regex)
        if not value.text:
            _refuse(text, begin, at + 1, "a value is missing")
        values.append(value)
        if value.end == len(text) or text[value.end].isspace():
            return values, value.end
        if text[value.end] != ",":
            _refuse(text, value.start, value.end + 1, "put a space or a comma after the quote")
        at = value.end + 1


def _value(text: str, at: int, *, may_be_regex: bool) -> _Value:
    """Parse one alternative; its text is empty if there is none."""
    if may_be_regex and (match := _REGEX.match(text, at)):
        return _Value(match["text"], regex=True, start=at, end=match.end())
    if match := _QUOTED.match(text, at):
        return _Value(match["text"], regex=False, start=at, end=match.end())
    if text.startswith(('"', "'"), at):
        _refuse(text, at, len(text), "the quote is not closed")
    match = _BARE.match(text, at)
    return _Value(match.group() if match else "", regex=False, start=at, end=match.end() if match else at)


def _refuse(text: str, start: int, end: int, message: str) -> NoReturn:
    word = text[start:end].strip()
    raise InputError(f"filter: {word!r} (character {start + 1}): {message}")


def _any_word(values: Sequence[_Value]) -> Condition:
    wanted = [_plain(value.text) for value in values]

    def test(row: RunRow, now: float) -> bool:  # noqa: ARG001
        held = _plain("\n".join((row.summary.name, *row.labels.tags, row.labels.note)))
        return any(word in held for word in wanted)

    return test


def _test(text: str, field: Field, sign: str, values: Sequence[_Value]) -> Condition:
    if field.kind == "number":
        return _numeric(text, field, sign, values)
    if sign in _COMPARED:
        _refuse(text, values[0].start, values[-1].end, f"{field.name} is text: use : or ~ instead of {sign}")
    if sign == "~":
        return _textual(field, [_finder(text, value) for value in values])
    for value in values:
        if field.allowed and "*" not in value.text and _word(value.text) not in field.allowed:
            _refuse(text, value.start, value.end, f"no {field.name}{nearest(_word(value.text), field.allowed)}")
    found = _textual(field, [_whole(_word(value.text) if field.allowed else value.text) for value in values])
    return (lambda row, now: not found(row, now)) if sign == "!=" else found


def _textual(field: Field, finders: Sequence[Callable[[str], object]]) -> Condition:
    return lambda row, now: any(finder(_plain(held)) for held in field.texts(row, now) for finder in finders)


def _whole(wanted: str) -> Callable[[str], object]:
    """Return a predicate that is true for `wanted`, in which `*` matches anything."""
    pattern = ".*".join(re.escape(part) for part in _plain(wanted).split("*"))
    return re.compile(pattern, re.DOTALL).fullmatch


def _finder(text: str, value: _Value) -> Callable[[str], object]:
    if not value.regex:
        wanted = _plain(value.text)
        return lambda held: wanted in held
    import warnings

    with warnings.catch_warnings():  # about syntax that a later Python reads differently
        warnings.simplefilter("ignore")
        try:
            return re.compile(value.text, re.IGNORECASE).search
        except (re.error, OverflowError, RecursionError) as error:
            _refuse(text, value.start, value.end, f"not a regular expression: {error}")


def _numeric(text: str, field: Field, sign: str, values: Sequence[_Value]) -> Condition:
    if sign == "~":
        _refuse(text, values[0].start, values[-1].end, f"{field.name} is a number: use =, <, <=, > or >= instead of ~")
    numbers = [_number(text, value) for value in values]
    if len(numbers) > 1 and sign in _COMPARED:
        _refuse(text, values[0].start, values[-1].end, f"{sign} takes one number")

    def test(row: RunRow, now: float) -> bool:
        held = field.number(row, now)
        return held is not None and _holds(held, sign, numbers)

    return test


def _holds(held: float, sign: str, numbers: Sequence[float]) -> bool:
    if sign in _COMPARED:
        return _COMPARED[sign](held, numbers[0])
    return any(_equal(held, number) for number in numbers) == (sign != "!=")


def _equal(held: float, number: float) -> bool:
    return abs(held - number) <= 1e-9 * max(abs(held), abs(number))


def _number(text: str, value: _Value) -> float:
    match = _NUMBER.fullmatch(value.text.lower())
    if match is None or (match["unit"] not in {"", "%", *_SECONDS}):
        _refuse(text, value.start, value.end, "not a number; write it like 1e-4, 5% or 2h (s, min, h, d)")
    number = float(match["number"])
    return number / 100 if match["unit"] == "%" else number * _SECONDS.get(match["unit"], 1.0)


def _word(text: str) -> str:
    """Return the stored spelling of a state such as `Early stopped` or `early-stopped`."""
    return _plain(text).replace(" ", "_").replace("-", "_")


def _plain(text: str) -> str:
    """Return `text` normalised for comparison: lower case, Korean composed (macOS decomposes file names)."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


def parse_sort(text: str) -> tuple[str, bool]:
    """Return column key and direction (True: descending) of `val`, `-val` or `standing`. Raises InputError."""
    key = text.strip()
    descending = key.startswith("-")
    key = key.removeprefix("-")
    if key != DEFAULT_ORDER:
        column_of(key)
    return key, descending


def sort_rows(rows: Iterable[RunRow], key: str, descending: bool = False) -> list[RunRow]:
    """Return `rows` sorted by the column `key`; stable, with unknown values last in both directions."""
    if key == DEFAULT_ORDER:
        ordered = in_default_order(rows)
        return ordered[::-1] if descending else ordered
    value = BY_KEY[key].value
    valued = [(value(row), row) for row in rows]
    known = [(held, row) for held, row in valued if held is not None]
    known.sort(key=lambda pair: pair[0], reverse=descending)
    return [row for _, row in known] + [row for held, row in valued if held is None]
