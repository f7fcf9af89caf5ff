"""Write the reference pages of docs/ from the code: configuration.md, events.md and statistics.md from their tables.

python scripts/write_reference.py [FOLDER]
"""

import inspect
import re
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from focus_engine.config.block import RESUME_WORDS, block_in, keys_of, resume_marks
from focus_engine.config.json_schema import json_schema
from focus_engine.config.schema import Config
from focus_engine.config.scores import ScoreSpec
from focus_engine.config.statistic_spec import StatisticSpec
from focus_engine.config.statistics import STATISTICS
from focus_engine.events.former import FORMER_TYPES
from focus_engine.events.line import PARTS
from focus_engine.events.table import EVENT_TYPES, SCHEMA, StatisticsMeasured
from focus_engine.launch.summary import RunSummary

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Written by scripts/write_reference.py from the code; change it there. -->\n\n"
STATUS_ONLY = {
    "checkpoints": "`status` alone, where there are any: `last` and `best`, each with `condition` (proved, unproved, "
    "damaged) and `read` (Unix seconds), null where it was not read since it was written",
    "slurm": "`status` alone, of a run that was submitted: `job_id`, `cluster`, `state`, `reason`, `nodes`, "
    "`partition`, `seconds_left`",
}
"""Objects of `focus status --json` besides the fields of a run, with what they hold."""


def main() -> None:
    """Write the pages."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return the pages by file name."""
    return {"configuration.md": configuration(), "events.md": events(), "statistics.md": statistics()}


def configuration() -> str:
    """Return the reference of config.yaml: type, default and meaning of every key."""
    lines = [
        "# config.yaml\n",
        "Every key may be left out; an unknown key is an error that names the nearest known one.",
        "A run is resumed with the config that it was trained with; each key states whether it may change on resume.",
        "`focus config check FILE` checks a file, `focus config schema` prints the JSON Schema that editors use.\n",
    ]
    schema = json_schema()
    top = {name: field for name, field in keys_of(Config).items() if block_in(field) is None}
    lines += ["## Top level\n", *table(top, schema["properties"])]
    for name, field in keys_of(Config).items():
        if (inner := block_in(field)) is not None:
            lines += block(inner, name)
    return NOTE + "\n".join(lines) + "\n"


def block(model: type[BaseModel], name: str) -> list[str]:
    """Return the reference of a block and of its nested blocks."""
    plain = {key: field for key, field in keys_of(model).items() if block_in(field) is None}
    properties = model.model_json_schema()["properties"]
    lines = [f"\n## {name}\n", f"{inspect.getdoc(model)}\n", *table(plain, properties, name)]
    for key, field in keys_of(model).items():
        if (inner := block_in(field)) is not None:
            lines += block(inner, f"{name}.{key}")
    return lines


def table(keys: dict[str, FieldInfo], properties: dict[str, Any], name: str = "") -> list[str]:
    """Return the table of the given keys of the block `name` (empty: the top level)."""
    marks = {".".join(at): mark for at, mark in resume_marks(Config)}
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for shown, field in keys.items():
        default = yaml_word(field.default)
        resume = RESUME_WORDS[marks[f"{name}.{shown}" if name else shown]]
        meaning = f"{field.description or ''} {resume}".strip()
        rows.append(f"| `{shown}` | {kind(properties.get(shown, {}))} | {default} | {cell(meaning)} |")
    return rows


def kind(schema: dict[str, Any]) -> str:
    """Return the type and range of a key in words."""
    if "anyOf" in schema:
        known = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(kind(one) for one in known)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"] if value is not None)
    words = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "object": "mapping",
    }
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    text = words.get(str(schema.get("type")), "any")
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    limits = [f"{sign} {schema[name]:g}" for name, sign in signs if name in schema]
    return f"{text} {', '.join(limits)}" if limits else text


def yaml_word(value: object) -> str:
    """Return a default value as written in the file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f"`{value}`" if value != "" else ""


def events() -> str:
    """Return the reference of events.jsonl and of the JSON of `ls` and `status`."""
    lines = [
        "# events.jsonl\n",
        f"The events of a run, one JSON object per line, in `logs/events.jsonl` (schema {SCHEMA}). Every line has",
        "`type` and `time` (Unix seconds). Unknown numbers are null. Readers skip unknown types and fields, and a",
        "truncated last line.\n",
    ]
    for kind_of_event in EVENT_TYPES.values():
        lines += event_section(kind_of_event, f"## `{kind_of_event.type}`")
        parts = PARTS if kind_of_event is StatisticsMeasured else ()
        for part in parts:
            lines += event_section(part, f"### {part.__name__}")
    lines += ["\n## Events of earlier versions\n", "They are read as those above, but no longer written."]
    for former in FORMER_TYPES.values():
        lines += event_section(former, f"### `{former.type}`")
    lines += ["\n## `focus ls --json`, `focus status --json`\n", paragraph(RunSummary), "\n| field | type |\n|---|---|"]
    lines += [f"| `{one.name}` | {type_words(one.type)} |" for one in fields(RunSummary)]
    lines += ["| `tags` | list of text |", "| `note` | text |", "| `archived` | true or false |"]
    lines += [f"| `{name}` | {words} |" for name, words in STATUS_ONLY.items()]
    return NOTE + "\n".join(lines) + "\n"


def event_section(event: type[Any], heading: str) -> list[str]:
    """Return one row of the event table, or a part of one, as a section."""
    described = attributes(event)
    lines = [f"\n{heading}\n", paragraph(event) + "\n", "| field | type | meaning |", "|---|---|---|"]
    for one in fields(event):
        if one.name == "time":
            continue
        optional = "" if one.default is MISSING else " (may be missing)"
        lines.append(f"| `{one.name}` | {type_words(one.type)}{optional} | {cell(described.get(one.name, ''))} |")
    return lines


def statistics() -> str:
    """Return the reference of the statistics: the keys of the JSON of `focus evaluate` and `focus compare`."""
    lines = [
        "# Statistics\n",
        "Generated maps are compared with real ones at equal parameters by each of these statistics. The JSON of",
        "`focus evaluate` and `focus judge` has an object for each, under its name. Unknown numbers are null, and so",
        "is a statistic that the maps do not allow. Its list `scores` holds every score:",
        "`{name, statistic, band, value, error, null, null_spread, p_value, verdict}`. `error` is the uncertainty",
        "of the value: half of the interval of 68 %, from a bootstrap by simulation. `null` is what a perfect",
        "generator scores with as many maps and simulations, `null_spread` its spread, and `p_value` the",
        "probability that it scores at least as far from `null`. Values, errors and nulls are fractions, or in the",
        "unit of the statistic. `verdict` is corrected for the number of scores. Each run in the JSON of",
        "`focus compare` has the same objects, and its `steps` hold the",
        "first score of each statistic by its own key. `verdict` names the score that decides as `statistic.name`,",
        "of several fields after that of its field.\n",
        "Further keys: `response` holds `parameter_slopes` and `parameter_slopes_error` (bands × varying parameters):",
        "the slopes of ln(P generated / P real) in a joint linear fit on the logarithms of the parameters, each of",
        "mean 0 and standard deviation 1, 0 for a right response; at the points of a 1P set each is that of one",
        "parameter alone. Its `r_squared_bands` is R² in each band, without a null. `covariance` has",
        "`real_correlation` and `generated_correlation`, the matrices of ln P(k) between bins about the mean of each",
        "parameter point, and `chi_square_split` and `true_chi_square_split`, χ² of ln P per bin of generated and of",
        "real maps, each against the mean and variance of the simulations other than its own. `cross` has",
        "`real_cross` and `generated_cross`, the mean cross spectra P_ab(k) [(Mpc/h)²] at the same `k`; the curve and",
        "the scores of `cross_power` are relative to √(P_a P_b) expected of real maps at the same parameters.",
        "`power_spectrum` has `generated_std`, as `fixed_std` of the generated maps, and `camels_cv_std`, that of the",
        "real maps of CAMELS CV where field, box (25 Mpc/h) and pixels (256²) are those of CAMELS, else null;",
        "`scatter_by_band` holds the three over `real_mean`, averaged in each `band`.",
    ]
    for spec in STATISTICS.values():
        lines += statistic_section(spec)
    return NOTE + "\n".join(lines) + "\n"


def statistic_section(spec: StatisticSpec) -> list[str]:
    """Return one row of the table of statistics as a section."""
    needs = {
        "density": "physical, non-negative maps",
        "field": "any finite maps, including those of a normalised field",
        "pair": "two fields of the same maps",
    }
    wanted = needs[spec.needs] + (" and the maps that the generator was trained on" if spec.needs_training else "")
    lines = [f"\n## `{spec.name}`\n", f"{spec.title[0].upper()}{spec.title[1:]}. Needs {wanted}.\n"]
    lines += ["| score | what | unit | a fault makes it | key in `steps` |"]
    lines += ["|---|---|---|---|---|"]
    lines += [score_row(score, in_steps=score == spec.scores[0]) for score in spec.scores]
    if spec.curve is not None:
        curve = spec.curve
        values = f"`{curve.generated}` beside `{curve.real}` ± `{curve.real_std}`, {curve.y_label()}"
        axis = f"log10 of {curve.x_label}" if curve.x_scale == "exponent" else curve.x_label
        lines += [f"\nCurve: {values}, against `{curve.x}`, {axis}."]
    return lines


def score_row(score: ScoreSpec, *, in_steps: bool) -> str:
    """Return a score as a row of the table of its statistic."""
    unit = "fraction" if score.unit == "%" else score.unit
    words = f"{score.low} or {score.high}" if score.signed else score.high
    cells = (f"`{score.name}`", cell(score.title), unit, words, f"`{score.key}`" if in_steps else "")
    return f"| {' | '.join(cells)} |"


def paragraph(kind_of: type) -> str:
    """Return the paragraph before the attribute list of a docstring."""
    text = (inspect.getdoc(kind_of) or "").split("\nAttributes:")[0]
    return " ".join(text.split())


def attributes(kind_of: type) -> dict[str, str]:
    """Return the description of each attribute in a docstring."""
    text = (inspect.getdoc(kind_of) or "").partition("Attributes:")[2]
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        match = re.match(r"^    (\w+): (.*)", line)
        if match:
            name = match.group(1)
            found[name] = match.group(2)
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


def type_words(annotation: object) -> str:
    """Return an annotation in words."""
    text = str(annotation).replace("typing.", "")
    match = re.fullmatch(r"<class '(\w+)'>", text)
    text = match.group(1) if match else text
    words = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "None": "null"}
    text = re.sub(r"focus_engine[\w.]*\.(\w+)", r"\1", text)
    literal = re.sub(r"Literal\[([^\]]*)\]", lambda m: m.group(1).replace("'", ""), text)
    text = re.sub(r"\b(str|int|float|bool|None)\b", lambda m: words[m.group(1)], literal)
    text = re.sub(r"tuple\[([^\[\]]*), \.\.\.\]", r"list of \1", text)
    text = re.sub(r"tuple\[(.*), \.\.\.\]", r"list of (\1)", text)
    text = re.sub(r"tuple\[(.*)\]", r"list of (\1)", text)
    text = re.sub(r"dict\[.*\]", "object", text)
    return cell(text.replace(" | ", " or "))


def cell(text: str) -> str:
    """Return text escaped for a table cell."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


if __name__ == "__main__":
    main()
