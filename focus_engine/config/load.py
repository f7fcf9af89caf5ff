"""Read config.yaml and check it key by key.

Separate from the schema: YAML (`yaml_text`) has line numbers, the schema has types and ranges.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from focus_engine.config.advice import guidance_warning
from focus_engine.config.block import block_in, holds_any_keys, keys_of
from focus_engine.config.networks import block_of_network, settings_blocks
from focus_engine.config.schema import Config
from focus_engine.config.yaml_text import KeyPath, ParsedYaml, parse_yaml
from focus_engine.errors import InputError, Problem
from focus_engine.small_files import read_owned_text


@dataclass(frozen=True)
class ConfigFile:
    """A config and the text from which it was read.

    Attributes:
        config: the checked config.
        text: the file, comments included.
        path: its path, or a label such as "--set".
        warnings: messages about keys that load but are probably not what was meant.
        owner: user id of the owner of the file that was read; None for a text.
    """

    config: Config
    text: str
    path: Path
    warnings: tuple[str, ...] = ()
    owner: int | None = None


def load_config(path: Path) -> ConfigFile:
    """Read and check the config at `path`.

    Raises:
        InputError: missing, unreadable, not YAML, or a key, type or value that is not allowed; the message
            names the file, the line and what is allowed.
    """
    try:
        text, owner = read_owned_text(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; give the config file in it, such as {path / 'config.yaml'}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text file (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return replace(parse_config(text, path), owner=owner)


def parse_config(text: str, path: Path) -> ConfigFile:
    """Check the config `text`; `path` is named in errors. Raises InputError as `load_config` does."""
    parsed = parse_yaml(text, path)
    try:
        config = Config.model_validate(parsed.data)
    except ValidationError as error:
        raise InputError(problems=_describe(error, parsed, path)) from None
    return ConfigFile(config=config, text=text, path=path, warnings=tuple(_warnings(config, parsed, path)))


def known_keys(at: KeyPath) -> tuple[str, ...]:
    """Return the keys allowed in the block at `at` (empty for the top level), as they are spelled in the file."""
    block = _block(at)
    return tuple(keys_of(block)) if block else ()


def all_keys(at: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield every key path of the schema, without blocks, in file order."""
    for key in known_keys(at):
        if _block((*at, key)) is None:
            yield (*at, key)
        else:
            yield from all_keys((*at, key))


def is_known(at: KeyPath) -> bool:
    """Return whether `at` is a key of the schema, or lies in a block with free keys."""
    info = field_at(at[:-1])
    return at in set(all_keys()) or (info is not None and holds_any_keys(info))


def field_at(at: KeyPath) -> FieldInfo | None:
    """Return the field of the key at `at`; None where there is no such key."""
    block = _block(at[:-1]) if at else None
    return None if block is None else keys_of(block).get(at[-1])


def _block(at: KeyPath) -> type[BaseModel] | None:
    block: type[BaseModel] | None = Config
    for key in at:
        info = None if block is None else keys_of(block).get(key)
        block = None if info is None else block_in(info)
    return block


def _describe(error: ValidationError, parsed: ParsedYaml, path: Path) -> list[Problem]:
    problems = [_locate(detail, parsed) for detail in error.errors(include_url=False)]
    told = sorted(problems, key=lambda one: (one[0], str(one[1])))
    return [replace(problem, where=f"{path}:{line}" if line else str(path)) for line, problem in told]


def _locate(detail: ErrorDetails, parsed: ParsedYaml) -> tuple[int, Problem]:
    """Return the line (0 when unknown) and the problem of one pydantic error."""
    at = tuple(part for part in detail["loc"] if isinstance(part, str))
    at = tuple(part for part in at if part in {k for keys in parsed.lines for k in keys} or _is_key(part))
    problem = _problem(detail, at)
    named = [tuple(key.split(".")) for key in problem.keys]
    above = [one[:n] for one in named for n in range(len(one) - 1, 0, -1)]
    return next((parsed.lines[one] for one in (*named, *above) if one in parsed.lines), 0), problem


def _problem(detail: ErrorDetails, at: KeyPath) -> Problem:
    name = ".".join(at)
    given, kind, context = detail["input"], detail["type"], detail.get("ctx", {})
    keys = (name,) if name else ()
    if kind == "extra_forbidden":
        return Problem(f"unknown key {name!r}{nearest_key(at)}", keys=keys)
    if kind == "value_error":
        error = context.get("error", detail["msg"])
        return Problem(str(error), keys=getattr(error, "keys", ()) or keys)
    if kind in {"model_type", "model_attributes_type"}:
        words = f"{given!r} is not a block of keys; allowed keys: {', '.join(known_keys(at))}"
        return Problem(words, subject=name, keys=keys)
    if kind == "literal_error":
        return Problem(f"{given!r} is not allowed; allowed: {context['expected']}", subject=name, keys=keys)
    return Problem(f"{given!r}: {_rule(kind, context, detail['msg'])}", subject=name, keys=keys)


def _is_key(part: str) -> bool:
    return any(part in keys for keys in all_keys())


def _rule(kind: str, context: Mapping[str, Any], fallback: str) -> str:
    bounds = {"greater_than": ("gt", ">"), "greater_than_equal": ("ge", ">="), "less_than": ("lt", "<")}
    bounds["less_than_equal"] = ("le", "<=")
    if kind in bounds:
        key, sign = bounds[kind]
        return f"must be {sign} {context[key]}"
    words = {
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "finite_number": "must be a finite number",
        "bool_type": "must be true or false",
        "string_type": "must be text",
        "tuple_type": "must be a list, such as [1, 2]",
        "string_pattern_mismatch": "must be auto, cpu, mps, cuda or cuda:N",
        "dict_type": "must be a mapping, such as {width: 64}",
        "too_short": "must not be empty",
        "string_too_short": "must not be empty",
    }
    return words.get(kind, fallback)


def nearest_key(at: KeyPath) -> str:
    """Return "; did you mean …?" for the unknown key `at`, else the keys allowed in its block."""
    siblings = known_keys(at[:-1])
    close = difflib.get_close_matches(at[-1], siblings, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {'.'.join((*at[:-1], close[0]))!r}?"
    elsewhere = [keys for keys in all_keys() if keys[-1] == at[-1]]
    if not elsewhere:
        flat = {keys[-1]: keys for keys in all_keys()}
        elsewhere = [flat[name] for name in difflib.get_close_matches(at[-1], flat, n=1, cutoff=0.75)]
    if elsewhere:
        return f"; did you mean {'.'.join(elsewhere[0])!r}?"
    return f"; allowed here: {', '.join(siblings or known_keys(()))}"


def _warnings(config: Config, parsed: ParsedYaml, path: Path) -> Iterator[str]:
    if config.data.source == "simulated" and (config.data.maps_path or config.data.data_dir):
        line = parsed.lines.get(("data", "source"), 1)
        yield f"{path}:{line}: data.source is simulated, so the maps named in this file are not read"
    for block, settings in settings_blocks().items():
        at = parsed.lines.get(("model", block))
        changed = getattr(config.model, block) != settings()  # templates of one network are edited into another
        if at and changed and block != block_of_network(config.model.from_):
            yield f"{path}:{at}: model.{block} is not read by model.from: {config.model.from_}"
    if warning := guidance_warning(config.sampling.cfg_scale, "sampling.cfg_scale"):
        line = parsed.lines.get(("sampling", "cfg_scale"), 1)
        yield f"{path}:{line}: {warning}"
