"""The JSON Schema of config.yaml, for completion, hover texts and error marks in editors.

Derived from the typed schema and loosened where the loader accepts more than pydantic's export: a key without a value
counts as omitted, and old spellings load.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from focus_engine.atomic import write_atomically
from focus_engine.config.block import MARK, RESUME_WORDS, resume_marks
from focus_engine.config.methods import method_spellings
from focus_engine.config.schema import Config

FOLDER = ".focus"
FILE = "config.schema.json"
_OUTSIDE = ("description", "default", "title", "examples")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of config.yaml."""
    schema = Config.model_json_schema(by_alias=True)
    schema["title"] = "FOCUS config.yaml"
    _say_what_a_resume_may_change(schema, Config)
    for block in (schema, *schema["$defs"].values()):
        block["properties"] = {key: _may_be_empty(rule) for key, rule in block["properties"].items()}
    spellings = {"enum": [*method_spellings(), None]}
    schema["properties"]["method"] |= spellings
    schema["$defs"]["ExperimentBlock"]["properties"]["method"] = {
        **spellings,
        "description": "Old place of the key method.",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _say_what_a_resume_may_change(schema: dict[str, Any], config: type[BaseModel]) -> None:
    """Put the mark of each key in words behind its description, where editors show it."""
    rooms: dict[tuple[str, ...], dict[str, Any]] = {(): schema["properties"]}
    for at, mark in resume_marks(config):
        rule = rooms[at[:-1]][at[-1]]
        rule.pop(MARK, None)
        if "$ref" in rule:
            rooms[at] = schema["$defs"][rule["$ref"].rsplit("/", 1)[-1]]["properties"]
        elif mark != "fixed":
            rule["description"] = f"{rule['description']} {RESUME_WORDS[mark]}"


def _may_be_empty(rule: dict[str, Any]) -> dict[str, Any]:
    """Allow null beside what `rule` allows, keeping its description where editors look for it."""
    if any(option.get("type") == "null" for option in rule.get("anyOf", ())):
        return rule
    if "enum" in rule:
        return {**{k: v for k, v in rule.items() if k != "type"}, "enum": [*rule["enum"], None]}
    outside: dict[str, Any] = {key: rule[key] for key in _OUTSIDE if key in rule}
    inside = {key: value for key, value in rule.items() if key not in outside}
    return {**outside, "anyOf": [inside, {"type": "null"}]}


@cache
def schema_text() -> str:
    """Return the JSON Schema as indented text."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def write_schema(root: Path) -> Path:
    """Write the schema into the experiments folder `root` unless it is up to date; return its path.

    Raises:
        OSError: the file can't be written.
    """
    path, text = root / FOLDER / FILE, schema_text()
    try:
        if path.read_text(encoding="utf-8") == text:
            return path
    except (OSError, UnicodeDecodeError):
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
