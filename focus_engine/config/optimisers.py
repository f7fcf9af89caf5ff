"""The table of optimisers: the purpose, the settings and the function of each.

The config, its laws and `focus_engine.training.optimisers` read it. A new optimiser is a line here and a function
there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ADAM: Mapping[str, object] = {"betas": (0.9, 0.999), "eps": 1e-8}
SETTINGS = ("betas", "eps", "momentum")
"""Keys of the block `training` that some optimisers read; left out, each has the optimiser's own value."""


@dataclass(frozen=True, slots=True)
class OptimiserSpec:
    """An optimiser.

    Attributes:
        name: as it is written in `training.optimizer`.
        purpose: a few words, shown in brackets after the name; may be empty.
        path: `package.module:function`, called with the network, `lr`, `weight_decay` and the settings by name.
        settings: the keys of `SETTINGS` that it reads, with their defaults.
    """

    name: str
    purpose: str
    path: str
    settings: Mapping[str, object] = field(default_factory=dict)

    def arguments(self, training: Any) -> dict[str, Any]:  # noqa: ANN401  (the schema, which reads this table)
        """Return the keyword arguments of its function, from the block `training` of a config."""
        given = {key: getattr(training, key) for key in self.settings}
        chosen = {key: default if given[key] is None else given[key] for key, default in self.settings.items()}
        return {"lr": training.lr, "weight_decay": training.weight_decay, **chosen}


OPTIMISERS = {
    spec.name: spec
    for spec in (
        OptimiserSpec("adamw", "", "focus_engine.training.optimisers:adamw", ADAM),
        OptimiserSpec("adam", "", "focus_engine.training.optimisers:adam", ADAM),
        OptimiserSpec("sgd", "", "focus_engine.training.optimisers:sgd", {"momentum": 0.9}),
        OptimiserSpec(
            "muon",
            "hidden matrices orthogonalised, AdamW for the rest",
            "focus_engine.training.optimisers:muon",
            {**ADAM, "momentum": 0.95},
        ),
        OptimiserSpec(
            "soap",
            "Adam in Shampoo's eigenbasis, AdamW for the rest",
            "focus_engine.training.optimisers:soap",
            {"betas": (0.95, 0.95), "eps": 1e-8},
        ),
    )
}
"""Every optimiser; the first is the default."""
DEFAULT_OPTIMISER = next(iter(OPTIMISERS))


def optimiser_words() -> str:
    """Return the optimisers in words, `adamw, adam, sgd, muon (hidden matrices ...)`."""
    return ", ".join(f"{one.name} ({one.purpose})" if one.purpose else one.name for one in OPTIMISERS.values())


def defaults_of(key: str) -> str:
    """Return the default of a setting in words: `0.9 (sgd), 0.95 (muon)`."""
    values = {name: spec.settings[key] for name, spec in OPTIMISERS.items() if key in spec.settings}
    return ", ".join(
        f"{list(value) if isinstance(value, tuple) else value} ({', '.join(n for n in values if values[n] == value)})"
        for value in dict.fromkeys(values.values())
    )


def readers_of(key: str) -> str:
    """Return the names of the optimisers that read a setting, `sgd, muon`."""
    return ", ".join(name for name, spec in OPTIMISERS.items() if key in spec.settings)
