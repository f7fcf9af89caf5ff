"""The table of generative methods: the name, config block and default sampler of each.

Config, templates, forms and `focus ls` read it; `focus_engine.generative.build` has the processes under the same names.
No pydantic here, because `focus ls` must start fast.
"""

from dataclasses import dataclass

COMMON_LOSS_KEYS = ("data.normalize", "data.boxcox_power", "data.standardize", "training.loss_scales")
"""Keys that change what the loss of every method measures: the units of the maps, and the weight of their scales."""


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """A method.

    Attributes:
        name: as it is written in the config and after `--method`.
        block: block of the config that holds its settings; those of other methods are not written.
        sampler: its default sampler.
        loss_keys: keys that change what its loss measures: runs that differ in one have losses that do not compare.
        aliases: other spellings that load.
        most_steps: dotted key of the number of steps that no sampler exceeds; empty where there is no such number.
        network_at_data: whether the network has an output at the data, where a path without noise ends.
        more_noise: settings with which sampling starts at noise alone, or nearly; empty where it always does.
    """

    name: str
    block: str
    sampler: str
    loss_keys: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    most_steps: str = ""
    network_at_data: bool = False
    more_noise: str = ""


METHODS = {
    spec.name: spec
    for spec in (
        MethodSpec(
            "diffusion",
            "diffusion",
            "ddim",
            loss_keys=(
                "diffusion.prediction",
                "diffusion.min_snr_gamma",
                "diffusion.min_snr_offset",
                "diffusion.schedule",
                "diffusion.beta_start",
                "diffusion.beta_end",
                "diffusion.zero_terminal_snr",
                "diffusion.shift",
                *COMMON_LOSS_KEYS,
            ),
            most_steps="diffusion.timesteps",
            more_noise="diffusion.prediction: v with diffusion.zero_terminal_snr: true",
        ),
        MethodSpec(
            "flow",
            "flow_matching",
            "heun",
            loss_keys=(
                "flow_matching.sigma_min",
                "flow_matching.sigma_max",
                "flow_matching.time_sampling",
                "flow_matching.time_mean",
                "flow_matching.time_std",
                "flow_matching.shift",
                *COMMON_LOSS_KEYS,
            ),
            aliases=("flow_matching",),
            network_at_data=True,
        ),
        MethodSpec(
            "edm",
            "edm",
            "midpoint",
            loss_keys=("edm.sigma_min", "edm.sigma_max", "edm.p_mean", "edm.p_std", *COMMON_LOSS_KEYS),
            more_noise="a larger edm.sigma_max",
            network_at_data=True,
        ),
    )
}
"""Every method; the first is the default."""
DEFAULT_METHOD = next(iter(METHODS))


def method_named(word: object) -> object:
    """Return the name of the method that is spelled `word`; anything else comes back as it is."""
    return next((spec.name for spec in METHODS.values() if word in spec.aliases), word)


def method_spellings() -> tuple[str, ...]:
    """Return every spelling that loads, names first."""
    return (*METHODS, *(alias for spec in METHODS.values() for alias in spec.aliases))


def method_words() -> str:
    """Return the methods in words: `diffusion, flow or edm`."""
    *others, last = METHODS
    return f"{', '.join(others)} or {last}" if others else last


def other_blocks(method: str) -> frozenset[str]:
    """Return the blocks of the config that belong to other methods."""
    return frozenset(spec.block for spec in METHODS.values()) - {METHODS[method].block}
