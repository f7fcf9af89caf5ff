"""The table of networks: the purpose, config keys and class of each.

Config, templates, forms, references, `models.build` and the trust in checkpoints read it. A new network is a line here
and a class in `focus_engine.models`; keys that only it has form a block of their own, `model.<block>`.
"""

import difflib
from dataclasses import dataclass
from typing import Any

from focus_engine.config.block import Block, keys_of
from focus_engine.config.blocks.networks import DiTBlock, SwinBlock, UNetBlock

SHARED_KEYS = ("in_channels", "out_channels", "cond_dim", "base_channels", "channel_mults", "time_dim")
"""Keys of the block `model` that belong to no single network; a class of the user's own is handed all of them."""


_WITHOUT_LEVELS = ("in_channels", "out_channels", "cond_dim", "time_dim")


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network of FOCUS.

    Attributes:
        name: as it is written in `model.from`.
        purpose: a few words, shown in brackets after the name.
        path: `package.module:Class`, imported when it is built; called with its keys and settings by name.
        keys: keys of the block `model` that it reads.
        block: name of the block below `model` that holds its own settings; empty where it has none.
        settings: that block.
    """

    name: str
    purpose: str
    path: str
    keys: tuple[str, ...] = SHARED_KEYS
    block: str = ""
    settings: type[Block] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for settings without a block name, or a key that is given twice."""
        if bool(self.block) != (self.settings is not None):
            raise ValueError(f"network {self.name}: settings and the name of their block go together")
        own = keys_of(self.settings).keys() if self.settings else set()
        if twice := own & set(self.keys):
            raise ValueError(f"network {self.name}: {', '.join(sorted(twice))} in both keys and settings")

    def arguments(self, model: Any) -> dict[str, object]:  # noqa: ANN401  (the schema has its type)
        """Return the keyword arguments of its class, from the block `model` of a config."""
        settings = dict(getattr(model, self.block)) if self.block else {}
        return {key: getattr(model, key) for key in self.keys} | settings

    def dotted_keys(self) -> tuple[str, ...]:
        """Return the keys that it reads, dotted as after `--set`."""
        own = keys_of(self.settings) if self.settings else {}
        return (*(f"model.{key}" for key in self.keys), *(f"model.{self.block}.{key}" for key in own))


NETWORKS = {
    spec.name: spec
    for spec in (
        NetworkSpec("SimpleUNet", "diffusion", "focus_engine.models.unet:SimpleUNet", block="unet", settings=UNetBlock),
        NetworkSpec(
            "FlowUNet",
            "the same network for flow",
            "focus_engine.models.unet:SimpleUNet",
            block="unet",
            settings=UNetBlock,
        ),
        NetworkSpec(
            "DiT",
            "a transformer on the torus",
            "focus_engine.models.transformer:TorusTransformer",
            keys=_WITHOUT_LEVELS,
            block="dit",
            settings=DiTBlock,
        ),
        NetworkSpec(
            "Swin",
            "a transformer with shifted windows",
            "focus_engine.models.transformer:TorusTransformer",
            keys=_WITHOUT_LEVELS,
            block="swin",
            settings=SwinBlock,
        ),
    )
}
"""Every network; the first is the default."""
DEFAULT_NETWORK = next(iter(NETWORKS))


def network_words() -> str:
    """Return the networks in words: `SimpleUNet (diffusion), FlowUNet (the same network for flow)`."""
    return ", ".join(f"{spec.name} ({spec.purpose})" for spec in NETWORKS.values())


def unknown_network(name: str) -> str:
    """Return, in words, that there is no network `name`, and what is allowed."""
    close = difflib.get_close_matches(name, NETWORKS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    known = ", ".join(NETWORKS)
    return (
        f"model.from: {name!r} is unknown; allowed: {known}, or an import path such as my_package.networks.MyNet{hint}"
    )


def settings_blocks() -> dict[str, type[Block]]:
    """Return the blocks below `model` by name."""
    return {spec.block: spec.settings for spec in NETWORKS.values() if spec.settings is not None}


def block_of_network(name: str) -> str:
    """Return the name of a network's own block below `model`; empty where it has none, as a class of the user's."""
    return NETWORKS[name].block if name in NETWORKS else ""


def settings_words(model: Any) -> str:  # noqa: ANN401  (the schema, which reads this table, has its type)
    """Return the size of a network in words: `64 channels x [1, 2]`, or its own settings, `patch 4, width 384`.

    Of a network with channels only those of its own settings are named that differ from their defaults.
    """
    own, words = dict(getattr(model, block_of_network(model.from_), None) or ()), []
    if "base_channels" in keys_read(model.from_):
        words = [f"{model.base_channels} channels x {list(model.channel_mults)}"]
        usual = settings_blocks()[block_of_network(model.from_)]() if own else None
        own = {key: value for key, value in own.items() if value != getattr(usual, key)}
    words += [f"{key} {value}" for key, value in own.items() if value is not None]
    return ", ".join(words) or "no settings of its own"


def keys_read(name: str) -> tuple[str, ...]:
    """Return the keys of the block `model` that a network reads; a class of the user's own is handed all."""
    return NETWORKS[name].keys if name in NETWORKS else SHARED_KEYS
