"""Sweeps: copies of an experiment with the values of a grid, which their names show."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from focus_engine.config.yaml_edit import yaml_value
from focus_engine.config.yaml_text import parse_value
from focus_engine.errors import InputError
from focus_engine.runs.create import PlannedExperiment, create_experiment, plan_experiment
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import read_labels, write_labels


@dataclass(frozen=True)
class Axis:
    """One key of the grid and its values.

    Attributes:
        key: dotted, such as `training.lr`.
        values: as they are written in YAML, such as `3e-4` or `[1, 2, 4]`.
    """

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """One experiment of a sweep: its name and its settings, as `key=value`."""

    name: str
    settings: tuple[str, ...]


def parse_axis(text: str) -> Axis:
    """Parse `KEY=V1,V2,…`; the values are YAML, so that lists keep their commas.

    Raises:
        InputError: no key, no value, a value twice, or not YAML.
    """
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not key or not equals or not raw.strip():
        raise InputError(f"--grid {text!r}: write KEY=V1,V2,…, such as --grid training.lr=1e-4,3e-4")
    try:
        values = parse_value(f"[{raw}]")
    except InputError:
        values = None
    if not isinstance(values, list) or any(value is None for value in values):
        raise InputError(f"--grid {text!r}: {raw!r} is not a list of values; write V1,V2,… or [1, 2],[1, 2, 4]")
    written = tuple(yaml_value(value) for value in values)
    if len(set(written)) < len(written):
        twice = next(value for value in written if written.count(value) > 1)
        raise InputError(f"--grid {text!r}: {twice} is given twice")
    return Axis(key, written)


def sweep_members(name: str, axes: Sequence[Axis]) -> tuple[Member, ...]:
    """Return the experiments of the grid in the order of its values; the last axis varies fastest.

    Names are such as `NAME_lr3e-4_batch_size32`: the value after the last part of each key, or after as many parts
    as distinguish it from the other keys.

    Raises:
        InputError: no axis, or a key twice.
    """
    if not axes:
        raise InputError("a sweep needs at least one --grid KEY=V1,V2,…, such as --grid training.lr=1e-4,3e-4")
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"--grid: {key} is given twice; write all its values in one --grid {key}=V1,V2,…")
    short = _short_names(keys)
    members = []
    for values in product(*(axis.values for axis in axes)):
        parts = [f"{word}{_in_name(value)}" for word, value in zip(short, values, strict=True)]
        settings = tuple(f"{key}={value}" for key, value in zip(keys, values, strict=True))
        members.append(Member("_".join([name, *parts]), settings))
    names = [member.name for member in members]
    if len(set(names)) < len(names):  # values that differ only in characters no name can hold
        members = [Member(f"{member.name}_{number}", member.settings) for number, member in enumerate(members, 1)]
    return tuple(members)


def _short_names(keys: Sequence[str]) -> list[str]:
    for parts in range(1, 1 + max(key.count(".") + 1 for key in keys)):
        short = [".".join(key.split(".")[-parts:]) for key in keys]
        if len(set(short)) == len(short):
            return short
    return list(keys)


def _in_name(value: str) -> str:
    """Return the value as part of a name: `[1, 2, 4]` becomes `1-2-4`, `1.0e-4` becomes `1e-4`."""
    value = re.sub(r"\.0(?=e|$)", "", value)
    return re.sub(r"[^\w.+-]+", "-", value, flags=re.ASCII).strip("-")


def plan_sweep(
    root: Path, source: RunFolder, members: Sequence[Member], settings: Sequence[str] = ()
) -> list[PlannedExperiment]:
    """Return the checked experiments of the sweep, writing nothing; `settings` apply to all.

    Raises:
        InputError: a wrong key or value, or a name that is taken.
    """
    return [
        plan_experiment(root, member.name, source=source, settings=[*settings, *member.settings]) for member in members
    ]


def create_sweep(
    root: Path, source: RunFolder, members: Sequence[Member], settings: Sequence[str] = (), *, tag: str
) -> list[RunFolder]:
    """Create the experiments, each tagged `tag`, and return them.

    Raises:
        InputError: as `plan_sweep`; nothing was written.
        OSError: the disk refuses.
    """
    plan_sweep(root, source, members, settings)
    runs = []
    for member in members:
        run = create_experiment(root, member.name, source=source, settings=[*settings, *member.settings])
        write_labels(run, read_labels(run).with_tags([tag]))
        runs.append(run)
    return runs


def sweep_tag(name: str) -> str:
    """Return the tag of the sweep of the experiment `name`."""
    word = re.sub(r"[^\w.-]+", "-", name).strip("-_.")
    return f"sweep-{word}"[:50].rstrip("-_.")
