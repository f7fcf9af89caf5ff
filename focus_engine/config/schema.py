"""The configuration of an experiment: typed, frozen, complete.

Each key is defined here once, with its type, range, default and description. The template, the JSON Schema and the
reference are generated from these classes. `load` and `edit` read and edit the YAML; code below the loader never meets
a missing key.
"""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, create_model, field_validator, model_validator

from focus_engine.config.block import (
    FREE,
    MAPS_A_STEP,
    Block,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Probability,
    list_to_tuple,
)
from focus_engine.config.laws import JointError, joint_laws
from focus_engine.config.methods import DEFAULT_METHOD, METHODS, method_named, method_words
from focus_engine.config.networks import DEFAULT_NETWORK, network_words, settings_blocks
from focus_engine.config.samplers import SAMPLERS, sampler_words, samplers_by_steps, samplers_with_eta

PARAMETER_NAMES = ("Omega_m", "sigma_8", "A_SN1", "A_AGN1", "A_SN2", "A_AGN2")
"""Parameters in the column order of every CAMELS table; files are read by position, never by header."""

if TYPE_CHECKING:
    SamplerName = str
    MethodName = str
else:
    SamplerName = Literal[tuple(SAMPLERS)]
    MethodName = Literal[tuple(METHODS)]


Name = Annotated[str, Field(min_length=1)]


class ExperimentBlock(Block):
    """What the experiment is, for people."""

    name: str = Field("", description="Name shown in lists; the folder's name when empty.")
    description: str = Field("", description="One line about the purpose of the experiment.")
    created: str = Field("", description="When it was made (ISO date).")


class DataBlock(Block):
    """Maps, parameters and how they are split."""

    source: Literal["simulated", "files"] = Field(
        "simulated",
        examples=["files"],
        description="'files' reads maps_path and params_path; 'simulated' lets FOCUS make universes itself. "
        "Left out: files when a path is given, else simulated.",
    )
    maps_path: Annotated[str | tuple[str, ...], BeforeValidator(list_to_tuple), Field(min_length=1)] | None = Field(
        None,
        description="Maps in CAMELS Multifield layout, float32 (N, H, W) or (N, C, H, W), in physical units: a .npy, "
        ".npz, HDF5 or Zarr file, a folder with a file a map, or a list of them, one for each field; relative to "
        "this file.",
        json_schema_extra=FREE,
    )
    fields: Annotated[tuple[Name, ...], BeforeValidator(list_to_tuple), Field(min_length=1)] | None = Field(
        None,
        examples=[("Mcdm", "HI", "T")],
        description="Names of the fields (channels) of a map, in order; left out: those in the names of CAMELS files.",
        json_schema_extra=FREE,
    )
    units: Annotated[tuple[Name, ...], BeforeValidator(list_to_tuple), Field(min_length=1)] | None = Field(
        None,
        examples=[("(Msun/h)/(Mpc/h)^2", "(Msun/h)/(Mpc/h)^2", "K")],
        description="Unit of each field; left out: (Msun/h)/(Mpc/h)^2, or by the names of CAMELS fields.",
        json_schema_extra=FREE,
    )
    maps_key: str | None = Field(
        None,
        examples=["maps"],
        min_length=1,
        description="Array of an .npz, HDF5 or Zarr file; left out: maps, or the only one that could be maps.",
        json_schema_extra=FREE,
    )
    stored_as: Literal["physical", "log10", "standardised", "log10_standardised", "unknown"] = Field(
        "physical",
        description="How the values in the file were made from physical f: as they are, log10 f, (f - mean)/std, or "
        "(log10 f - mean)/std with stored_mean and stored_std; unknown: P(k) is that of the normalised field.",
    )
    stored_mean: float = Field(0.0, description="Mean that was subtracted (stored_as).")
    stored_std: PositiveFloat = Field(1.0, description="Standard deviation that was divided by (stored_as).")
    params_path: str | None = Field(
        None,
        description="Parameter table, one row a simulation, columns in CAMELS order; relative to this file.",
        json_schema_extra=FREE,
    )
    data_dir: str | None = Field(
        None,
        description="Folder in which maps_path and params_path are looked up first; relative to this file.",
        json_schema_extra=FREE,
    )
    box_size: PositiveFloat = Field(25.0, description="Side of the periodic box [Mpc/h].")
    maps_per_simulation: PositiveInt = Field(
        15, description="Consecutive maps of one simulation (CAMELS: 3 axes x 5 slabs)."
    )
    params: Annotated[tuple[str, ...], BeforeValidator(list_to_tuple)] | None = Field(
        None,
        examples=[("Omega_m", "sigma_8")],
        description="Parameters the network is conditioned on, by name; left out: the first model.cond_dim of "
        + ", ".join(PARAMETER_NAMES)
        + ".",
    )
    normalize: Literal["log10", "none"] = Field(
        "log10", description="Transform before standardising with the mean and std of the training split."
    )
    train_split: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9,
        description="Share of simulations that train; of the others half validate and half test (at least one each).",
    )
    split_seed: NonNegativeInt = Field(
        0, description="Seed of the split. Runs of equal split_seed share their test simulations."
    )
    num_workers: NonNegativeInt = Field(
        4,
        description="Threads that read ahead, used only when the maps do not fit on the device.",
        json_schema_extra=FREE,
    )
    shuffle: bool = Field(True, description="New order of the training maps in each epoch.")
    simulations: Annotated[int, Field(ge=3)] = Field(100, description="Universes to make (source: simulated).")
    grid: Annotated[int, Field(ge=8, le=1024)] = Field(
        32, description="Particles and mesh cells per side of a simulated universe."
    )
    map_size: Annotated[int, Field(ge=8, le=4096)] = Field(32, description="Pixels per side of a simulated map.")
    simulation_seed: NonNegativeInt = Field(0, description="Seed of the simulated universes.")

    @property
    def map_files(self) -> tuple[str, ...]:
        """The paths of maps_path as a tuple, empty if it is left out."""
        given = self.maps_path
        return () if given is None else (given,) if isinstance(given, str) else given


class ModelBlock(Block):
    """The network."""

    from_: str = Field(
        DEFAULT_NETWORK,
        alias="from",
        min_length=1,
        description=f"{network_words()}, or the dotted import path of your class.",
    )
    in_channels: PositiveInt = Field(1, description="Channels (fields) of a map.")
    out_channels: PositiveInt = Field(1, description="Channels the network predicts; equals in_channels.")
    cond_dim: NonNegativeInt = Field(6, description="Number of parameters the network is conditioned on.")
    base_channels: PositiveInt = Field(64, description="Channels at full resolution.")
    channel_mults: Annotated[tuple[PositiveInt, ...], BeforeValidator(list_to_tuple), Field(min_length=1)] = Field(
        (1, 2, 4, 8),
        description="Channel multiplier of each level; each further level halves the resolution.",
    )
    time_dim: Annotated[int, Field(ge=2)] = Field(256, description="Width of the time embedding (even).")
    options: dict[str, Any] | None = Field(
        None,
        examples=[{"depth": 4}],
        description="More keyword arguments, plain values or lists, for your class; networks of FOCUS take none.",
    )

    @field_validator("options")
    @classmethod
    def _hold_plain_values(cls, options: dict[str, Any] | None) -> dict[str, Any] | None:
        for key, value in (options or {}).items():
            if not all(_is_plain(one) for one in (value if isinstance(value, list) else [value])):
                raise JointError(f"model.options.{key}: give a plain value or a list of them", f"model.options.{key}")
        return options


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


if not TYPE_CHECKING and settings_blocks():
    ModelBlock = create_model(
        "ModelBlock",
        __base__=ModelBlock,
        __module__=__name__,
        __doc__=ModelBlock.__doc__,
        **{name: (block, block()) for name, block in settings_blocks().items()},
    )


class DiffusionBlock(Block):
    """The noising process of DDPM and DDIM."""

    timesteps: Annotated[int, Field(ge=2, le=100_000)] = Field(1000, description="Training timesteps T.")
    beta_start: Annotated[float, Field(gt=0, lt=1)] = Field(1.0e-4, description="beta at the first step.")
    beta_end: Annotated[float, Field(gt=0, lt=1)] = Field(0.02, description="beta at the last step.")
    schedule: Literal["linear", "cosine", "quadratic"] = Field(
        "linear", description="linear, cosine (ignores beta_start and beta_end) or quadratic."
    )
    prediction: Literal["epsilon", "v"] = Field(
        "epsilon",
        description="What the network predicts: the noise, or the velocity v (better at large scales).",
    )
    zero_terminal_snr: bool = Field(
        False,
        description="Rescale the schedule so that t = T holds no signal (arXiv:2305.08891); needs prediction: v.",
    )
    min_snr_gamma: PositiveFloat | None = Field(
        None, examples=[5.0], description="Min-SNR loss weight (5 is usual); left out: the plain mean squared error."
    )


class FlowMatchingBlock(Block):
    """The path of flow matching: x_t = t x + (sigma_max - (sigma_max - sigma_min) t) noise."""

    sigma_min: NonNegativeFloat = Field(0.0, description="Noise left at t = 1 (data).")
    sigma_max: PositiveFloat = Field(1.0, description="Noise at t = 0.")
    time_sampling: Literal["uniform", "logit_normal"] = Field(
        "uniform", description="Times seen in training: uniform, or logit_normal (the middle of the path most)."
    )


class AugmentationBlock(Block):
    """Symmetries of the periodic box, drawn anew for each map of each batch."""

    rotation_p: Probability = Field(1.0, description="Probability of a random rotation by a multiple of 90 degrees.")
    flip_p: Probability = Field(0.5, description="Probability of a mirror image.")
    shift: bool = Field(True, description="Random periodic shift.")


class SchedulerBlock(Block):
    """The learning rate after its linear warmup."""

    name: Literal["plateau", "cosine", "step", "none"] = Field(
        "plateau", description="plateau, cosine, step or none (constant)."
    )
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.3, description="plateau: rate x factor at each cut.")
    patience: PositiveInt = Field(2, description="plateau: bad epochs until a cut.", json_schema_extra=FREE)
    min_lr: NonNegativeFloat = Field(1.0e-7, description="plateau: the rate never falls below this.")
    warmup_epochs: NonNegativeInt = Field(5, description="Epochs of linear warmup, for every scheduler.")
    T_max: PositiveInt | None = Field(
        None, examples=[195], description="cosine: epochs from lr to eta_min; left out: all epochs after warmup."
    )
    eta_min: NonNegativeFloat = Field(0.0, description="cosine: the final rate.")
    step_size: PositiveInt = Field(30, description="step: epochs between cuts.")
    gamma: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="step: rate x gamma at each cut.")


class EarlyStoppingBlock(Block):
    """When training stops by itself."""

    patience: NonNegativeInt = Field(
        10, description="Bad epochs until training stops; 0 never stops.", json_schema_extra=FREE
    )
    min_delta: Annotated[float, Field(ge=0, lt=1)] = Field(
        1.0e-4, description="An epoch improves when its val loss < best x (1 - min_delta)."
    )


class TrainingBlock(Block):
    """The training loop."""

    batch_size: PositiveInt = Field(
        64, description="Maps per optimiser step on the device.", json_schema_extra=MAPS_A_STEP
    )
    num_epochs: PositiveInt = Field(200, description="Epochs at most.", json_schema_extra=FREE)
    lr: PositiveFloat = Field(1.0e-4, description="Learning rate after warmup.")
    weight_decay: NonNegativeFloat = Field(1.0e-4, description="Weight decay.")
    cfg_prob: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="Share of maps trained without parameters, for classifier-free guidance."
    )
    sample_every: NonNegativeInt = Field(
        10, description="Epochs between samples and P(k) during training; 0 never samples.", json_schema_extra=FREE
    )
    gradient_clip: NonNegativeFloat = Field(1.0, description="Largest gradient norm; 0 does not clip.")
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="adamw, adam or sgd.")
    use_augmentation: bool = Field(True, description="Use the symmetries of the box.")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto is bf16 where the GPU has it, else float32."
    )
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999, description="Moving average of the weights, warmed up as min(ema_decay, (1 + n)/(10 + n))."
    )
    seed: NonNegativeInt = Field(0, description="Seed of weights, noise and order.")
    max_minutes: PositiveFloat | None = Field(
        None,
        examples=[690],
        description="Stop cleanly, with a checkpoint, after this many minutes.",
        json_schema_extra=FREE,
    )
    accumulate: PositiveInt = Field(1, description="Batches per optimiser step.", json_schema_extra=MAPS_A_STEP)
    checkpoint_minutes: PositiveFloat = Field(
        10.0,
        description="Minutes between checkpoints within an epoch: at most these are lost when a worker is killed.",
        json_schema_extra=FREE,
    )
    devices: Annotated[int, Field(ge=1, le=1024)] = Field(
        1,
        description="GPUs (of each node) that train together; batch_size stays that of all. On a CPU: processes.",
        json_schema_extra=FREE,
    )
    max_restarts: NonNegativeInt = Field(
        0,
        description="devices > 1: how often training goes on from the last checkpoint when one of them fails.",
        json_schema_extra=FREE,
    )
    on_oom: Literal["fail", "halve"] = Field(
        "fail",
        description="When memory runs out: fail and say what would fit, or halve batch_size, double accumulate, go on.",
        json_schema_extra=FREE,
    )
    augmentation: AugmentationBlock = AugmentationBlock()
    scheduler: SchedulerBlock = SchedulerBlock()
    early_stopping: EarlyStoppingBlock = EarlyStoppingBlock()


class SamplingBlock(Block):
    """How maps are drawn from the trained network."""

    method: SamplerName = Field(METHODS[DEFAULT_METHOD].sampler, description=f"{sampler_words()}.")
    ddim_timesteps: PositiveInt = Field(50, description=f"Steps of {samplers_by_steps('sampling.ddim_timesteps')}.")
    num_steps: PositiveInt = Field(50, description=f"Steps of {samplers_by_steps('sampling.num_steps')}.")
    cfg_scale: NonNegativeFloat = Field(
        1.0, description="Guidance; 1.0 samples the trained density, any other value distorts P(k)."
    )
    eta: Probability = Field(0.0, description=f"Noise of {samplers_with_eta()}: 0 is deterministic, 1 is DDPM.")


class NotifyBlock(Block):
    """Who is told when a run ends."""

    command: str | None = Field(
        None,
        examples=['echo "$FOCUS_NAME $FOCUS_STATE" | mail -s FOCUS me@example.org'],
        description="Shell command run when a run ends, with FOCUS_NAME, FOCUS_STATE and FOCUS_REASON set.",
    )


class Config(Block):
    """One experiment, whole."""

    experiment: ExperimentBlock = Field(ExperimentBlock(), json_schema_extra=FREE)
    method: MethodName = Field(DEFAULT_METHOD, description=f"{method_words()}.")
    data: DataBlock = DataBlock()
    model: ModelBlock = ModelBlock()
    diffusion: DiffusionBlock = DiffusionBlock()
    flow_matching: FlowMatchingBlock = FlowMatchingBlock()
    training: TrainingBlock = TrainingBlock()
    sampling: SamplingBlock = Field(SamplingBlock(), json_schema_extra=FREE)
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto (the GPU with most free memory, else cpu), cpu, cuda, cuda:1 or mps.",
        json_schema_extra=FREE,
    )
    notify: NotifyBlock = Field(NotifyBlock(), json_schema_extra=FREE)

    @model_validator(mode="before")
    @classmethod
    def _read_old_spellings(cls, data: Any) -> Any:  # noqa: ANN401  (pydantic hands over whatever was parsed)
        """Fill what follows from other keys: the method's two places, the data source, the method's sampler."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        experiment = data.get("experiment")
        if isinstance(experiment, dict) and "method" in experiment:
            experiment = dict(experiment)
            inner = experiment.pop("method")
            data["experiment"] = experiment
            if method_named(data.get("method", inner)) != method_named(inner):
                words = f"method is {data['method']!r} but experiment.method is {inner!r}: keep one of them"
                raise JointError(words, "method", "experiment.method")
            data["method"] = inner
        if "method" in data:
            data["method"] = method_named(data["method"])
        block = data.get("data")
        if isinstance(block, dict) and "source" not in block and ("maps_path" in block or "data_dir" in block):
            data["data"] = {**block, "source": "files"}
        method, sampling = data.get("method"), data.get("sampling", {})
        if isinstance(method, str) and method in METHODS and isinstance(sampling, dict):
            data["sampling"] = {"method": METHODS[method].sampler, **sampling}
        return data

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Check the laws that join two keys; each message names both."""
        for holds, message, keys in joint_laws(self, PARAMETER_NAMES):
            if not holds:
                raise JointError(message, *keys)
        return self


def plain_config(config: Config) -> dict[str, Any]:
    """Return the whole config as plain data, keys spelled as in the file."""
    return config.model_dump(mode="json", by_alias=True)
