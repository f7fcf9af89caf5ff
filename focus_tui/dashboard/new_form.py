"""The form of the New screen without its widgets: settings, the `focus new` command and problems, by the config parser.

A check takes about 0.1 s, because it plans the whole experiment; the screen runs it in a thread.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from focus_engine.config.methods import DEFAULT_METHOD
from focus_engine.errors import FocusError, Problem
from focus_engine.runs.folder import RunFolder

CHOICES = ("data.source", "training.scheduler.name", "diffusion.schedule", "diffusion.prediction")
"""Keys with a fixed set of values, which the schema lists."""
SECTIONS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "data",
        (
            ("data.source", "source", ""),
            ("data.data_dir", "data folder", "for source: files"),
            ("data.maps_path", "maps", ".npy"),
            ("data.params_path", "parameters", "a table"),
        ),
    ),
    (
        "training",
        (
            ("training.num_epochs", "epochs", "at most"),
            ("training.batch_size", "batch size", "maps a step"),
            ("training.lr", "learning rate", "after warmup"),
            ("training.scheduler.name", "scheduler", ""),
            ("training.scheduler.warmup_epochs", "warmup", "epochs"),
            ("training.early_stopping.patience", "early stopping", "bad epochs"),
            ("training.sample_every", "sample every", "epochs"),
            ("device", "device", "cpu, cuda:1 …"),
        ),
    ),
    (
        "network and noise",
        (
            ("model.base_channels", "base channels", ""),
            ("model.channel_mults", "multipliers", "of each level"),
            ("diffusion.schedule", "noise schedule", ""),
            ("diffusion.prediction", "predicts", ""),
        ),
    ),
)
"""Headings of the form, each with its fields: key, label, hint."""
KEYS = tuple(key for _, rows in SECTIONS for key, _, _ in rows)
PATHS = ("data.data_dir", "data.maps_path", "data.params_path")
MORE = "more"
"""Key of the field for any other settings, as key=value."""
PLACEHOLDER_NAME = "experiment-0"
"""Name that is planned with while the name field is empty."""


@dataclass(frozen=True)
class StartingPoint:
    """The origin of a new experiment: a template, or a copy of `source`."""

    template: str | None = None
    source: RunFolder | None = None


@dataclass(frozen=True)
class FormCheck:
    """The result of checking a form.

    Attributes:
        problems: messages by field; those of no field under "".
        warnings: warnings by field.
        text: the config.yaml that would be written; empty while it is invalid.
        base: the config.yaml without the settings of the form.
        templates: names of the templates.
        method: one of `METHODS`.
        values: value of each key if its field is empty, as written in a config.
        words: allowed values of each key with a fixed set of values.
        own_keys: keys that only the chosen network has, each with a field of its own.
    """

    problems: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    base: str = ""
    templates: tuple[str, ...] = ()
    method: str = DEFAULT_METHOD
    values: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own_keys: tuple[str, ...] = ()


def settings_of(values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the `key=value` settings of the filled fields, followed by those of the free field."""
    given = (f"{key}={values[key]}" for key in (*KEYS, *filter(is_own, values)) if values.get(key))
    return (*given, *free_settings(values.get(MORE, "")))


def is_own(key: str) -> bool:
    """Return whether `key` belongs to the settings block of a network, `model.<block>.<key>`."""
    return key.startswith("model.") and key.count(".") > 1


def free_settings(text: str) -> tuple[str, ...]:
    """Return the settings in a line of `key=value`; a space before the next `key=` ends one."""
    return tuple(part.strip(" ;") for part in re.split(r"[\s;]+(?=[A-Za-z_][\w.]*=)", text.strip()) if part.strip(" ;"))


def command_of(root: Path, name: str, start: StartingPoint, settings: Sequence[str], *, usual: bool) -> str:
    """Return the `focus new` command; `usual` omits --root, because a shell opened here finds `root` by default."""
    place = [] if usual else ["--root", str(root)]
    origin = [] if start.template is None else ["--template", start.template]
    if start.source is not None:
        origin = ["--from", start.source.name if start.source.path.parent == root else str(start.source.path)]
    sets = [part for one in settings for part in ("--set", one)]
    return shlex.join(["focus", "new", name or "NAME", *place, *origin, *sets])


def check_form(root: Path, name: str, start: StartingPoint, values: Mapping[str, str]) -> FormCheck:
    """Check the form with the config parser; opens no data and writes nothing."""
    from focus_engine.config.templates import TEMPLATES
    from focus_engine.runs.create import plan_experiment

    templates = tuple(TEMPLATES)

    def plan(called: str, settings: Sequence[str] = ()):  # type: ignore[no-untyped-def]  # noqa: ANN202
        return plan_experiment(root, called, template=start.template, source=start.source, settings=settings)

    problems: dict[str, str] = {}
    try:
        base = plan(name or PLACEHOLDER_NAME)
    except (FocusError, OSError) as error:
        problems["name"] = str(error)
        try:
            base = plan(PLACEHOLDER_NAME)
        except (FocusError, OSError) as cause:
            return FormCheck(problems={"start": str(cause)}, templates=templates)
    own = own_keys(_network(values, base.config.model.from_))
    text, known = "", _flat(base.config.model_dump(by_alias=True), own)
    try:
        planned = plan(base.run.name, settings) if (settings := settings_of(values)) else base
        text, follows = planned.text, _flat(planned.config.model_dump(by_alias=True), own)
        known |= {key: value for key, value in follows.items() if not values.get(key)}
    except FocusError as error:
        problems |= problems_by_field(error.problems, values)
    except OSError as error:
        problems[""] = str(error)
    warnings = _missing_files(values, root / (name or PLACEHOLDER_NAME))
    words = _words((*CHOICES, *own))
    return FormCheck(problems, warnings, text, base.text, templates, base.config.method, known, words, own)


def own_keys(network: str) -> tuple[str, ...]:
    """Return the dotted keys that only `network` has."""
    from focus_engine.config.block import keys_of
    from focus_engine.config.networks import block_of_network, settings_blocks

    block = block_of_network(network)
    return tuple(f"model.{block}.{key}" for key in keys_of(settings_blocks()[block])) if block else ()


def _network(values: Mapping[str, str], usual: str) -> str:
    """Return the network that the form names, even if other keys are invalid; else `usual`."""
    from focus_engine.config.yaml_text import parse_value

    named = [one.partition("=")[2] for one in settings_of(values) if one.startswith("model.from=")]
    try:
        return str(parse_value(named[-1])) if named else usual
    except FocusError:
        return usual


def _words(keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the allowed values of those `keys` that have a fixed set."""
    from focus_engine.config.block import words_of
    from focus_engine.config.load import field_at

    fields = {key: field_at(tuple(key.split("."))) for key in keys}
    return {key: words for key, info in fields.items() if info is not None and (words := words_of(info))}


def problems_by_field(problems: Sequence[Problem], values: Mapping[str, str]) -> dict[str, str]:
    """Return the message of each problem under the fields it concerns; those of no field under ""."""
    said: dict[str, str] = {}
    free = {one.partition("=")[0].strip() for one in free_settings(values.get(MORE, ""))}
    for problem in problems:
        named = [key for key in problem.keys if key in KEYS or (key in values and key != MORE)]
        filled = [key for key in named if values.get(key)]
        for key in filled or ([MORE] if free.intersection(problem.keys) else []) or named[:1] or [""]:
            bare = problem.words if key == problem.subject else str(replace(problem, where=""))
            said.setdefault(key, bare)
    return said


def _missing_files(values: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return a warning for each data path that does not exist; paths are relative to the experiment folder."""
    places = [folder]
    if values.get("data.data_dir"):
        places.insert(0, folder / Path(values["data.data_dir"]).expanduser())
    warnings = {}
    for key in PATHS:
        given = values.get(key)
        looked = (
            [place / Path(given).expanduser() for place in (places if key != PATHS[0] else [folder])] if given else []
        )
        if looked and not any(os.path.lexists(os.path.normpath(path)) for path in looked):
            warnings[key] = f"not there yet: {os.path.normpath(looked[0])}"
    return warnings


def _flat(values: Mapping[str, object], own: Sequence[str], above: str = "") -> dict[str, str]:
    """Return the keys of the form and those in `own`, with values as written in a config."""
    from focus_engine.config.yaml_edit import yaml_value

    flat: dict[str, str] = {}
    for key, value in values.items():
        at = f"{above}{key}"
        flat |= _flat(value, own, f"{at}.") if isinstance(value, dict) else {at: yaml_value(value)}
    return {key: value for key, value in flat.items() if above or key in KEYS or key in own}
