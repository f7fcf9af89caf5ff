"""The SLURM options of a run: those of the command line over the defaults of the cluster."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from focus_engine.config.yaml_text import parse_yaml
from focus_engine.errors import InputError

CONFIG_VARIABLE = "FOCUS_SLURM_CONFIG"
DEFAULT = "default"
TIME = re.compile(r"\d+(:\d{1,2}){0,2}|\d+-\d{1,2}(:\d{1,2}){0,2}")
SET_BY_FOCUS = {"job-name", "output", "error", "open-mode", "signal", "requeue", "no-requeue", "chdir", "wrap", "array"}
"""Options of sbatch that FOCUS sets itself."""
FOCUS_OPTIONS = {"partition": "--partition", "time": "--time", "nodes": "--nodes", "account": "--account"}
"""Options of sbatch that have an option of FOCUS."""


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """The SLURM options of a run; None leaves the choice to the cluster.

    Attributes:
        partition: name of the partition.
        gpus: GPUs per node.
        time: wall-clock limit as sbatch takes it, such as 12:00:00.
        nodes: number of nodes.
        account: the account that is charged.
        sbatch: other options of sbatch by name, without dashes; an empty value makes a flag.
        setup: lines of shell before the worker starts, such as `module load cuda`.
        notice: seconds before the limit at which the worker saves a checkpoint and asks to be requeued.

    Raises:
        InputError: a value that sbatch would refuse, or an option that FOCUS sets itself.
    """

    partition: str | None = None
    gpus: int | None = None
    time: str | None = None
    nodes: int | None = None
    account: str | None = None
    sbatch: Mapping[str, str] = field(default_factory=dict)
    setup: str = ""
    notice: int = 120

    def __post_init__(self) -> None:
        if self.time is not None and not TIME.fullmatch(self.time):
            raise InputError(f"--time {self.time!r}: write minutes, HH:MM:SS, D-HH or D-HH:MM:SS, such as 12:00:00")
        for name in ("gpus", "nodes", "notice"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"SLURM: {name} is {value!r}: a whole number from 1 on")
        for name, word in (("partition", self.partition), ("account", self.account)):
            if word is not None and not re.fullmatch(r"[\w.,:@+-]+", word):
                raise InputError(f"--{name} {word!r}: letters, digits and . , : @ + - _ only")
        for key, value in self.sbatch.items():
            _check_sbatch(key, value)


def _check_sbatch(key: str, value: str) -> None:
    if key in SET_BY_FOCUS:
        raise InputError(f"--sbatch {key}={value}: FOCUS sets that option itself")
    if key in FOCUS_OPTIONS:
        raise InputError(f"--sbatch {key}={value}: write {FOCUS_OPTIONS[key]} {value}")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", key):
        raise InputError(f"--sbatch {key}={value}: write KEY=VALUE with a long option of sbatch, such as mem=64G")
    if any(character in value for character in "\n\r\0'\"\\"):
        raise InputError(f"--sbatch {key}={value!r}: quotes and line breaks cannot stand in a script's header")


def parse_sbatch(texts: Sequence[str]) -> dict[str, str]:
    """Read `--sbatch KEY=VALUE` options; a KEY alone is a flag. Raises InputError."""
    found: dict[str, str] = {}
    for text in texts:
        key, _, value = text.partition("=")
        key = key.strip().removeprefix("--")
        if key in found:
            raise InputError(f"--sbatch {key} is given twice")
        _check_sbatch(key, value)
        found[key] = value.strip()
    return found


def config_path() -> Path:
    """Return the path of the defaults: $FOCUS_SLURM_CONFIG, else ~/.config/focus/slurm.yaml."""
    given = os.environ.get(CONFIG_VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".config" / "focus" / "slurm.yaml"


def read_defaults(cluster: str | None, path: Path | None = None) -> SlurmOptions:
    """Return the defaults of `cluster`: its block of the file, else the block `default`, else none.

    Raises:
        InputError: the file cannot be read, or holds an unknown key or a wrong value.
    """
    path = path or config_path()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return SlurmOptions()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    blocks = parse_yaml(text, path).data
    name = cluster if cluster in blocks else DEFAULT
    block = blocks.get(name, {})
    if not isinstance(block, dict):
        raise InputError(f"{path}: {name}: a block of keys and values is expected")
    known = [one.name for one in fields(SlurmOptions)]
    if unknown := sorted(block.keys() - set(known)):
        raise InputError(f"{path}: {name}: unknown {', '.join(unknown)}; allowed: {', '.join(known)}")
    try:
        return SlurmOptions(**_values(block))
    except InputError as error:
        raise InputError(f"{path}: {name}: {error}") from None


def _values(block: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {key: value for key, value in block.items() if value is not None}
    for key in ("partition", "time", "account", "setup"):
        if key in values:
            values[key] = str(values[key])
    sbatch = values.get("sbatch", {})
    if not isinstance(sbatch, dict):
        raise InputError("sbatch: a block of options is expected, such as {mem: 64G}")
    texts = {key: "" if value in {None, True} else str(value) for key, value in sbatch.items()}
    return values | {"sbatch": texts} if sbatch else values


def merged(defaults: SlurmOptions, given: SlurmOptions) -> SlurmOptions:
    """Return `given`, with the defaults for the options that it leaves out."""
    names = ("partition", "gpus", "time", "nodes", "account")
    chosen = {name: getattr(given, name) or getattr(defaults, name) for name in names}
    return replace(defaults, sbatch={**defaults.sbatch, **given.sbatch}, **chosen)
