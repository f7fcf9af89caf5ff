"""Base class of the blocks of config.yaml, common value ranges, and marks of keys that may change on resume.

Separate from the schema, because the settings of a network (`focus_engine.config.networks`) are also blocks and the
schema imports them.
"""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]

Resume = Literal["fixed", "free", "maps_a_step"]
"""Whether a key may change on resume: no; yes; yes, if batch_size x accumulate stays the same."""
MARK = "resume"
"""The key of a field's `json_schema_extra` that holds its `Resume`."""
FREE: dict[str, Any] = {MARK: "free"}
"""Mark of a key, or of a block for all of its keys: `Field(..., json_schema_extra=FREE)`."""
MAPS_A_STEP: dict[str, Any] = {MARK: "maps_a_step"}
RESUME_WORDS: dict[Resume, str] = {
    "fixed": "",
    "free": "May change on resume.",
    "maps_a_step": "May change on resume while batch_size x accumulate stays the same.",
}
"""The sentence on each mark in the JSON Schema and the reference page."""


class Block(BaseModel):
    """A block of config.yaml: frozen, strict, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)


def list_to_tuple(value: object) -> object:
    """Return a list as a tuple: YAML has lists, a frozen block tuples."""
    return tuple(value) if isinstance(value, list) else value


def keys_of(block: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a block by their keys, as they are spelled in the file."""
    return {info.alias or name: info for name, info in block.model_fields.items()}


def block_in(info: FieldInfo) -> type[BaseModel] | None:
    """Return the block that a key holds, or None where it holds a value."""
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def holds_any_keys(info: FieldInfo) -> bool:
    """Whether a key holds a mapping whose keys are free."""
    kind = info.annotation
    kinds = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    return any(get_origin(one) is dict for one in kinds)


def words_of(info: FieldInfo) -> tuple[str, ...]:
    """Return the words that a key takes, true and false included; none where it takes anything else."""
    kinds = (info.annotation, *get_args(info.annotation))
    found = (get_args(one) for one in kinds if get_origin(one) is Literal)
    words = tuple(word for words in found for word in words if isinstance(word, str))
    return (*words, "true", "false") if words and bool in kinds else words


def resume_marks(block: type[BaseModel], above: Resume = "fixed") -> Iterator[tuple[tuple[str, ...], Resume]]:
    """Yield each key path of `block`, blocks included, with what a resume may do to it.

    A key without a mark has that of its block, `above` at the top.
    """
    for key, info in keys_of(block).items():
        extra = info.json_schema_extra
        mark = cast("Resume", extra.get(MARK, above)) if isinstance(extra, dict) else above
        yield (key,), mark
        if (inner := block_in(info)) is not None:
            yield from (((key, *at), below) for at, below in resume_marks(inner, mark))
