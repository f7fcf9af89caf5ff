"""Rules of a config that relate several keys (laws), each with the keys that it concerns."""

import math
from collections.abc import Collection
from typing import Any, Protocol

from focus_engine.config.methods import METHODS
from focus_engine.config.networks import NETWORKS, block_of_network, unknown_network
from focus_engine.config.optimisers import OPTIMISERS, SETTINGS, readers_of
from focus_engine.config.samplers import SAMPLERS, fitting_samplers, number_at, samplers_with_churn
from focus_engine.units import FIELD_UNITS

FALLING = ("cosine", "trapezoid", "linear")
"""Schedules that fall to `eta_min`."""

Law = tuple[bool, str, tuple[str, ...]]
"""Whether the rule holds, the message if it does not, and the keys that it relates, the most relevant first."""


class Blocks(Protocol):
    """The blocks of a config that the laws read; their types are in the schema, which imports this module."""

    @property
    def method(self) -> str:
        """One of `METHODS`."""

    @property
    def data(self) -> Any:  # noqa: ANN401
        """Where the maps come from."""

    @property
    def model(self) -> Any:  # noqa: ANN401
        """The network."""

    @property
    def diffusion(self) -> Any:  # noqa: ANN401
        """The diffusion process."""

    @property
    def flow_matching(self) -> Any:  # noqa: ANN401
        """The path of flow matching."""

    @property
    def edm(self) -> Any:  # noqa: ANN401
        """The diffusion of EDM."""

    @property
    def training(self) -> Any:  # noqa: ANN401
        """The training loop."""

    @property
    def sampling(self) -> Any:  # noqa: ANN401
        """The sampler."""


class JointError(ValueError):
    """A law that relates several keys does not hold.

    Attributes:
        keys: dotted keys, the most relevant first.
    """

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.keys = keys


def joint_laws(config: Blocks, parameter_names: Collection[str]) -> list[Law]:
    """Return the laws of `config`; `parameter_names` are the names allowed in data.params."""
    return [
        *_data_laws(config, parameter_names),
        *_network_laws(config),
        *_process_laws(config),
        *_sampling_laws(config),
        *_loop_laws(config),
        *_optimiser_laws(config),
    ]


def _data_laws(config: Blocks, parameter_names: Collection[str]) -> list[Law]:
    data, model = config.data, config.model
    names = data.params or ()
    unknown = [name for name in names if name not in parameter_names]
    return [
        (
            data.source != "files" or data.maps_path is not None or data.data_dir is not None,
            "data.source is 'files' but neither data.maps_path nor data.data_dir is given",
            ("data.source", "data.maps_path", "data.data_dir"),
        ),
        (
            data.maps_path is None or data.params_path is not None or data.data_dir is not None,
            "data.maps_path is given without data.params_path",
            ("data.maps_path", "data.params_path"),
        ),
        (
            "standardised" in data.stored_as or (data.stored_mean, data.stored_std) == (0.0, 1.0),
            f"data.stored_mean and data.stored_std are given, but data.stored_as is {data.stored_as!r}, which has none",
            ("data.stored_mean", "data.stored_std", "data.stored_as"),
        ),
        (
            data.stored_as == "physical" or data.source == "files",
            f"data.stored_as is {data.stored_as!r} but data.source is 'simulated': simulated maps are physical",
            ("data.stored_as", "data.source"),
        ),
        (
            data.normalize not in {"boxcox", "gaussian"} or data.stored_as != "unknown",
            (
                f"data.normalize is {data.normalize!r} but data.stored_as is 'unknown': the transform is fitted to "
                "physical values; use data.normalize: none"
            ),
            ("data.normalize", "data.stored_as"),
        ),
        (
            not unknown,
            f"data.params: unknown {', '.join(map(repr, unknown))}; allowed: {', '.join(parameter_names)}",
            ("data.params",),
        ),
        (len(set(names)) == len(names), "data.params: a name is given twice", ("data.params",)),
        *_field_laws(config),
        *(
            (data.source != "simulated" or holds, message, keys)
            for holds, message, keys in universe_laws(data.grid, data.map_size, data.maps_per_simulation)
        ),
        (
            data.params is None or len(names) == model.cond_dim,
            f"data.params names {len(names)} parameters but model.cond_dim is {model.cond_dim}: make them agree",
            ("data.params", "model.cond_dim"),
        ),
    ]


def universe_laws(grid: int, map_size: int, maps_per_simulation: int, block: str = "data.") -> list[Law]:
    """Return the laws of the sizes of a simulated universe; `block` is written before the names of the keys."""
    return [
        (
            map_size <= 4 * grid,
            (
                f"{block}map_size is {map_size}, more than four times {block}grid {grid}: give a larger grid, or at "
                f"most {4 * grid} pixels"
            ),
            (f"{block}map_size", f"{block}grid"),
        ),
        (
            maps_per_simulation >= 3 and maps_per_simulation % 3 == 0,
            (
                f"{block}maps_per_simulation is {maps_per_simulation}: a universe is cut into slabs along 3 axes; give "
                "a multiple of 3 (15 as in CAMELS: 5 slabs per axis)"
            ),
            (f"{block}maps_per_simulation",),
        ),
    ]


def _field_laws(config: Blocks) -> list[Law]:
    data, channels = config.data, config.model.in_channels
    fields, units, files = data.fields or (), data.units or (), len(data.map_files)
    unknown = [name for name in fields if name not in FIELD_UNITS]
    agree = "set model.in_channels and model.out_channels to their number"
    return [
        (len(set(fields)) == len(fields), "data.fields: a name is given twice", ("data.fields",)),
        (
            not fields or len(fields) == channels,
            f"data.fields names {len(fields)} fields but model.in_channels is {channels}: {agree}",
            ("data.fields", "model.in_channels"),
        ),
        (
            not units or len(units) == channels,
            f"data.units names {len(units)} units but model.in_channels is {channels}: give one for each field",
            ("data.units", "model.in_channels"),
        ),
        (
            files <= channels,
            f"data.maps_path lists {files} files but model.in_channels is {channels}: {agree}",
            ("data.maps_path", "model.in_channels"),
        ),
        (
            bool(units) or not unknown or data.stored_as == "unknown",
            f"data.units is needed: the unit of {', '.join(unknown)} is not known (known: {', '.join(FIELD_UNITS)})",
            ("data.units", "data.fields"),
        ),
    ]


def _network_laws(config: Blocks) -> list[Law]:
    model = config.model
    own = NETWORKS.get(model.from_)
    return [
        (own is not None or "." in model.from_, unknown_network(model.from_), ("model.from",)),
        (
            own is None or not model.options,
            f"model.options is for a class of your own, but model.from is {model.from_}, which takes: "
            + ", ".join(own.dotted_keys() if own else ()),
            ("model.options", "model.from"),
        ),
        (
            model.in_channels == model.out_channels,
            f"model.out_channels is {model.out_channels} but model.in_channels is {model.in_channels}: make them equal",
            ("model.out_channels", "model.in_channels"),
        ),
        (
            model.in_channels == 1 or config.data.source == "files",
            f"model.in_channels is {model.in_channels} but data.source is 'simulated': simulated maps have one field",
            ("model.in_channels", "data.source"),
        ),
        (
            model.time_dim % 2 == 0,
            f"model.time_dim is {model.time_dim}: use an even number",
            ("model.time_dim",),
        ),
        *_attention_laws(config),
    ]


def _attention_laws(config: Blocks) -> list[Law]:
    model = config.model
    block = block_of_network(model.from_)
    own = getattr(model, block, None)
    if block == "unet" and own is not None:
        levels, heads = len(model.channel_mults), own.attention_heads
        widths = [model.base_channels * mult for mult in model.channel_mults[max(0, levels - own.attention_levels) :]]
        return [
            (
                own.attention_levels <= levels,
                f"model.unet.attention_levels is {own.attention_levels} but model.channel_mults has {levels} levels",
                ("model.unet.attention_levels", "model.channel_mults"),
            ),
            *(_heads_law(width, "the channels of a level", heads, "model.unet.attention_heads") for width in widths),
        ]
    if own is not None and hasattr(own, "heads") and hasattr(own, "width"):
        return [
            _heads_law(own.width, f"model.{block}.width", own.heads, f"model.{block}.heads"),
            _patch_law(config, own, f"model.{block}"),
        ]
    return []


def _patch_law(config: Blocks, own: Any, block: str) -> Law:  # noqa: ANN401
    """Simulated maps have a known size; that of files is checked when they are opened."""
    data, window = config.data, getattr(own, "window", None)
    side = own.patch * (window or 1)
    keys = (f"{block}.patch", *((f"{block}.window",) if window else ()))
    holds = data.source != "simulated" or data.map_size % side == 0
    words = f"data.map_size is {data.map_size}, which {' x '.join(keys)} = {side} does not divide"
    return (holds, f"{words}: use a multiple of {side}, or a smaller {keys[-1]}", keys)


def _heads_law(width: int, of_what: str, heads: int, key: str) -> Law:
    """Each head has a multiple of 4 channels: a sine and a cosine for rows and for columns."""
    message = f"{key} is {heads}, but 4 x {heads} does not divide {width}, {of_what}"
    return (width % (4 * heads) == 0, f"{message}: use other heads, or a multiple of {4 * heads}", (key,))


def _process_laws(config: Blocks) -> list[Law]:
    diffusion, flow, edm = config.diffusion, config.flow_matching, config.edm
    return [
        (
            diffusion.beta_start <= diffusion.beta_end,
            f"diffusion.beta_start {diffusion.beta_start:g} exceeds diffusion.beta_end {diffusion.beta_end:g}",
            ("diffusion.beta_start", "diffusion.beta_end"),
        ),
        (
            not diffusion.zero_terminal_snr or diffusion.prediction != "epsilon",
            "diffusion.zero_terminal_snr needs diffusion.prediction: v or x0 (noise cannot tell the map at t = T)",
            ("diffusion.zero_terminal_snr", "diffusion.prediction"),
        ),
        (
            flow.sigma_min < flow.sigma_max,
            f"flow_matching.sigma_min {flow.sigma_min:g} must be below sigma_max {flow.sigma_max:g}",
            ("flow_matching.sigma_min", "flow_matching.sigma_max"),
        ),
        (
            flow.time_sampling == "logit_normal" or (flow.time_mean, flow.time_std) == (0.0, 1.0),
            "flow_matching.time_mean and time_std are for flow_matching.time_sampling: logit_normal, not 'uniform'",
            ("flow_matching.time_mean", "flow_matching.time_std", "flow_matching.time_sampling"),
        ),
        (
            edm.sigma_min < edm.sigma_max,
            f"edm.sigma_min {edm.sigma_min:g} must be below edm.sigma_max {edm.sigma_max:g}",
            ("edm.sigma_min", "edm.sigma_max"),
        ),
        (
            math.log(edm.sigma_min) < edm.p_mean < math.log(edm.sigma_max),
            (
                f"edm.p_mean {edm.p_mean:g}: the median noise of training, e^p_mean, is outside edm.sigma_min and "
                f"sigma_max: use {math.log(edm.sigma_min):.2f} to {math.log(edm.sigma_max):.2f}"
            ),
            ("edm.p_mean", "edm.sigma_min", "edm.sigma_max"),
        ),
    ]


def _sampling_laws(config: Blocks) -> list[Law]:
    sampling = config.sampling
    fitting = fitting_samplers(config.method)
    spec = SAMPLERS[sampling.method]
    steps, most_key = spec.steps_in(config) or 0, METHODS[config.method].most_steps
    most = number_at(config, most_key) or 0
    return [
        (
            sampling.method in fitting,
            (
                f"sampling.method is {sampling.method!r}, which does not fit method: {config.method}; "
                f"allowed: {', '.join(fitting)}"
            ),
            ("sampling.method", "method"),
        ),
        (
            not spec.takes_eta or spec.accepts_eta(sampling.eta),
            f"sampling.eta is {sampling.eta:g}, but {sampling.method} needs noise: use a number above 0, such as 1",
            ("sampling.eta", "sampling.method"),
        ),
        (
            sampling.churn == 0 or spec.churns,
            f"sampling.churn is {sampling.churn:g}, but {sampling.method} has none: only {samplers_with_churn()}",
            ("sampling.churn", "sampling.method"),
        ),
        (
            not most_key or steps <= most,
            f"{spec.steps_key} is {steps}, more than {most_key} {most}",
            (spec.steps_key, most_key),
        ),
    ]


def _loop_laws(config: Blocks) -> list[Law]:
    training = config.training
    return [
        (
            training.scheduler.name != "plateau" or training.scheduler.min_lr <= training.lr,
            f"training.scheduler.min_lr {training.scheduler.min_lr:g} exceeds training.lr {training.lr:g}",
            ("training.scheduler.min_lr", "training.lr"),
        ),
        (
            training.scheduler.name not in FALLING or training.scheduler.eta_min <= training.lr,
            (
                f"training.scheduler.eta_min {training.scheduler.eta_min:g} exceeds training.lr {training.lr:g}, from "
                f"which {training.scheduler.name} falls to it"
            ),
            ("training.scheduler.eta_min", "training.lr"),
        ),
        (math.isfinite(training.lr), "training.lr must be finite", ("training.lr",)),
        (
            training.devices <= training.batch_size,
            f"training.devices is {training.devices}, more than the {training.batch_size} maps of training.batch_size",
            ("training.devices", "training.batch_size"),
        ),
    ]


def _optimiser_laws(config: Blocks) -> list[Law]:
    training = config.training
    read = OPTIMISERS[training.optimizer].settings
    return [
        (
            key in read or getattr(training, key) is None,
            f"training.{key} is given, but training.optimizer: {training.optimizer} does not read it; those that do: "
            + readers_of(key),
            (f"training.{key}", "training.optimizer"),
        )
        for key in SETTINGS
    ]
