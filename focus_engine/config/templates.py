"""Templates of experiments: the text of config.yaml, generated from the schema.

The file holds every key with its default and its description, so that the template, the schema and the reference can't
drift apart. A template is a name, a purpose and the keys in which it differs from the defaults. Keys without a default
are comments, which `--set` uncomments.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from focus_engine.config.block import block_in, keys_of
from focus_engine.config.load import parse_config
from focus_engine.config.methods import DEFAULT_METHOD, METHODS, method_named, other_blocks
from focus_engine.config.networks import DEFAULT_NETWORK, SHARED_KEYS, block_of_network, keys_read
from focus_engine.config.schema import Config
from focus_engine.config.yaml_edit import yaml_value
from focus_engine.config.yaml_text import KeyPath
from focus_engine.errors import InputError

WIDTH = 110
"""Columns of a generated config; comments are wrapped to them."""
MAX_HEAD = 40
"""A key with its value that is longer has its comment above it."""
FOLLOWING = ("data.source",)
"""Keys whose value follows from others; written as comments."""


@dataclass(frozen=True)
class Template:
    """A named starting point.

    Attributes:
        purpose: one line, for `focus new --help` and the config's description.
        method: one of `METHODS`.
        settings: dotted key to value, where it differs from the schema's default.
    """

    purpose: str
    method: str = DEFAULT_METHOD
    settings: dict[str, object] = field(default_factory=dict)


_SMALL: dict[str, object] = {
    "data.simulations": 150,
    "data.train_split": 0.9,
    "data.normalize": "boxcox",
    "data.standardize": "spectrum",
    "model.cond_dim": 2,
    "model.base_channels": 32,
    "model.channel_mults": (1, 2, 2),
    "model.time_dim": 128,
    "training.batch_size": 32,
    "training.num_epochs": 10,
    "training.lr": 4.0e-3,
    "training.cfg_prob": 0.0,
    "training.optimizer": "muon",
    "training.sample_every": 2,
    "training.scheduler.name": "cosine",
    "training.scheduler.warmup_epochs": 1,
    "training.early_stopping.patience": 0,
    "training.ema_decay": 0.995,
    "sampling.method": "abm2",
    "sampling.num_steps": 10,
    "sampling.calibration_maps": 512,
}
"""Minutes on two cores of a CPU; docs/training_well.md measures these choices for flow, most for diffusion too."""

TEMPLATES: dict[str, Template] = {
    "diffusion": Template(
        "Standard diffusion (DDPM training, midpoint sampling) of dark-matter density maps",
        settings={
            "model.base_channels": 128,
            "model.channel_mults": (1, 2, 4, 8),
            "model.time_dim": 256,
            "training.batch_size": 64,
            "diffusion.schedule": "linear",
            "diffusion.min_snr_offset": 1.0,
            "sampling.ddim_timesteps": 50,
            "sampling.method": "midpoint",
            "sampling.num_steps": 25,
        },
    ),
    "small": Template(
        "Small diffusion model of 32 x 32 maps; trains in minutes on a CPU",
        settings=_SMALL
        | {
            "diffusion.schedule": "cosine",
            "diffusion.prediction": "v",
            "diffusion.zero_terminal_snr": True,
            "diffusion.min_snr_offset": 1.0,
        },
    ),
    "flow": Template(
        "Flow matching along straight paths (Heun sampling) of dark-matter density maps",
        method="flow",
        settings={
            "model.from": "FlowUNet",
            "model.base_channels": 128,
            "model.channel_mults": (1, 2, 4, 8),
            "model.time_dim": 256,
            "training.batch_size": 64,
            "sampling.method": "heun",
            "sampling.num_steps": 25,
        },
    ),
    "small_flow": Template(
        "Small flow matching model of 32 x 32 maps; trains in minutes on a CPU",
        method="flow",
        settings=_SMALL | {"model.from": "FlowUNet"},
    ),
    "edm": Template(
        "EDM diffusion (log-normal noise, midpoint sampling) of dark-matter density maps",
        method="edm",
        settings={
            "model.base_channels": 128,
            "model.channel_mults": (1, 2, 4, 8),
            "model.time_dim": 256,
            "training.batch_size": 64,
            "sampling.method": "midpoint",
            "sampling.num_steps": 25,
        },
    ),
    "small_edm": Template(
        "Small EDM diffusion model of 32 x 32 maps; trains in minutes on a CPU",
        method="edm",
        settings=_SMALL | {"edm.sigma_max": 80.0},
    ),
}
"""Every template; the first is the default."""


def check_method(method: str) -> str:
    """Return the method of that name. Raises InputError when it is unknown."""
    name = str(method_named(method))
    if name not in METHODS:
        raise InputError(f"--method {method!r} is unknown; allowed: {', '.join(METHODS)}")
    return name


def find_template(name: str | None, method: str | None = None) -> Template:
    """Return the template called `name`, else the first that fits `method`.

    Raises:
        InputError: there is none of that name, or it is for the other method.
    """
    method = None if method is None else check_method(method)
    if name is None:
        return next(t for t in TEMPLATES.values() if method is None or t.method == method)
    template = TEMPLATES.get(name)
    if template is None:
        raise InputError(f"--template {name!r} is unknown; allowed: {', '.join(TEMPLATES)}")
    if method is not None and template.method != method:
        raise InputError(f"--template {name} is for method {template.method}, not {method}")
    return template


def template_config(name: str, changes: Mapping[str, object]) -> Config:
    """Return the checked config of a template with dotted keys changed.

    Raises:
        InputError: there is no such template.
        pydantic.ValidationError: a key or a value is not allowed.
    """
    template = find_template(name)
    plain: dict[str, Any] = {"method": template.method}
    for key, value in {**template.settings, **changes}.items():
        *blocks, last = key.split(".")
        place = plain
        for block in blocks:
            place = place.setdefault(block, {})
        place[last] = value
    return Config.model_validate(plain)


def config_text(template: Template, *, name: str, created: str, schema: str) -> str:
    """Return the config.yaml of a new experiment.

    Args:
        template: where to start from.
        name: of the experiment.
        created: ISO date.
        schema: where editors find the JSON Schema: a path relative to the config, or a URL.
    """
    values = {**template.settings, "experiment.name": name, "experiment.created": created}
    values |= {"experiment.description": template.purpose, "method": template.method}
    unused = other_blocks(template.method)
    lines = [schema_line(schema)]
    for key, info in keys_of(Config).items():
        if key not in unused:
            lines += ["", *_entry(key, info, values)]
    text = "\n".join(lines) + "\n"
    parse_config(text, Path("template"))
    return text


def schema_line(schema: str) -> str:
    """Return the first line of a config, which tells editors where the JSON Schema is."""
    return f"# yaml-language-server: $schema={schema}"


def _entry(key: str, info: FieldInfo, values: Mapping[str, object]) -> list[str]:
    """The lines of a key at the top level: a block with its heading, or a single key."""
    if (block := block_in(info)) is not None:
        return _block((key,), block, values)
    return [*_wrapped(info.description or "", 0), _assignment((key,), info, values)]


def _block(at: KeyPath, block: type[BaseModel], values: Mapping[str, object], width: int = WIDTH) -> list[str]:
    indent = 2 * (len(at) - 1)
    lines = [*_wrapped((block.__doc__ or "").splitlines()[0], indent), f"{' ' * indent}{at[-1]}:"]
    network = str(values.get("model.from", DEFAULT_NETWORK))
    keys = keys_of(block)
    unread = set(SHARED_KEYS) - set(keys_read(network)) if at == ("model",) else set()
    plain = {key: info for key, info in keys.items() if block_in(info) is None and key not in unread}
    heads = {key: _assignment((*at, key), info, values) for key, info in plain.items()}
    column = 2 + max((len(head) for head in heads.values() if len(head) <= MAX_HEAD), default=0)
    for key, head in heads.items():
        lines += _with_comment(head, keys[key].description or "", column, width)
    for key, info in keys.items():
        if (inner := block_in(info)) is None:
            continue
        if at == ("model",) and key != block_of_network(network):
            lines += _waiting(_block((*at, key), inner, values, width - 2), indent + 2)
        else:
            lines += ["", *_block((*at, key), inner, values, width)]
    return lines


def _waiting(block: list[str], indent: int) -> list[str]:
    """A block of another network, as comments that `--set` wakes up; its heading is one already."""
    start = next(number for number, line in enumerate(block) if not line.lstrip().startswith("#"))
    return [*block[:start], *(f"{' ' * indent}# {line[indent:]}" for line in block[start:])]


def _assignment(at: KeyPath, info: FieldInfo, values: Mapping[str, object]) -> str:
    """`key: value`, or `# key: example` where there is no value."""
    blank, key, dotted = "  " * (len(at) - 1), at[-1], ".".join(at)
    value = values.get(dotted, info.default)
    if value is None or (dotted in FOLLOWING and dotted not in values):
        example = yaml_value(info.examples[0]) if info.examples else ""
        return f"{blank}# {key}: {example}".rstrip()
    return f"{blank}{key}: {yaml_value(value)}"


def _with_comment(head: str, comment: str, column: int, width: int) -> list[str]:
    """A key with its comment beside it, wrapped in a column of its own; above it when the key is long."""
    if len(head) > MAX_HEAD:
        indent = len(head) - len(head.lstrip())
        return [*_wrapped(comment, indent), head]
    first, *rest = textwrap.wrap(comment, width - column - 2, break_on_hyphens=False)
    return [f"{head:<{column}}# {first}", *(f"{'':<{column}}# {line}" for line in rest)]


def _wrapped(comment: str, indent: int) -> list[str]:
    return [f"{' ' * indent}# {line}" for line in textwrap.wrap(comment, WIDTH - indent - 2)]
