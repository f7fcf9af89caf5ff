"""The block `training`: the loop, its budget, the learning rate, symmetries and early stopping."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

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
from focus_engine.config.laws import JointError
from focus_engine.config.optimisers import DEFAULT_OPTIMISER, OPTIMISERS, defaults_of, optimiser_words

if TYPE_CHECKING:
    OptimiserName = str
else:
    OptimiserName = Literal[tuple(OPTIMISERS)]

Decay = Annotated[float, Field(ge=0, lt=1)]


class AugmentationBlock(Block):
    """Symmetries of the periodic box, drawn anew for each map of each batch."""

    rotation_p: Probability = Field(1.0, description="Probability of a random rotation by a multiple of 90 degrees.")
    flip_p: Probability = Field(0.5, description="Probability of a mirror image.")
    shift: bool = Field(True, description="Random periodic shift.")


class SchedulerBlock(Block):
    """The learning rate after its linear warmup."""

    name: Literal["plateau", "cosine", "trapezoid", "linear", "step", "none"] = Field(
        "plateau",
        description="plateau, step and none (constant) run by epoch; cosine, trapezoid and linear fall with the used "
        "share of the budget (num_epochs or max_minutes, whichever ends first).",
    )
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.3, description="plateau: rate x factor at each cut.")
    patience: PositiveInt = Field(2, description="plateau: bad epochs until a cut.", json_schema_extra=FREE)
    min_lr: NonNegativeFloat = Field(1.0e-7, description="plateau: the rate never falls below this.")
    warmup_epochs: NonNegativeInt = Field(5, description="Epochs of linear warmup, for every scheduler.")
    warmup_steps: PositiveInt | None = Field(
        None, examples=[100], description="Optimiser steps of linear warmup, instead of warmup_epochs."
    )
    T_max: PositiveInt | None = Field(
        None,
        examples=[195],
        description="cosine: epochs from lr to eta_min, whatever the budget; left out: the budget after warmup.",
    )
    eta_min: NonNegativeFloat = Field(0.0, description="cosine, trapezoid, linear: the rate when the budget ends.")
    decay_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.3, description="trapezoid: the last share of the budget, over which the rate falls to eta_min."
    )
    decay: Literal["linear", "sqrt"] = Field("linear", description="trapezoid: falls linearly, or as 1 - sqrt.")
    step_size: PositiveInt = Field(30, description="step: epochs between cuts.")
    gamma: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="step: rate x gamma at each cut.")

    def epochs_of_warmup(self, steps_per_epoch: int) -> int:
        """Return the number of epochs that belong to warmup as a whole."""
        return self.warmup_epochs if self.warmup_steps is None else self.warmup_steps // steps_per_epoch


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
        10,
        description="Epochs between samples and P(k) during training, which the first has too; 0 never samples.",
        json_schema_extra=FREE,
    )
    gradient_clip: NonNegativeFloat = Field(1.0, description="Largest gradient norm; 0 does not clip.")
    optimizer: OptimiserName = Field(DEFAULT_OPTIMISER, description=f"{optimiser_words()}.")
    betas: Annotated[tuple[Decay, ...] | None, BeforeValidator(list_to_tuple)] = Field(
        None,
        examples=[(0.9, 0.99)],
        description=f"Decay of the averages of gradient and squared gradient; left out: {defaults_of('betas')}.",
    )
    eps: PositiveFloat | None = Field(
        None,
        examples=[1.0e-8],
        description=f"Added to the root of the squared gradient; left out: {defaults_of('eps')}.",
    )
    momentum: Decay | None = Field(
        None, examples=[0.95], description=f"Decay of the momentum; left out: {defaults_of('momentum')}."
    )
    use_augmentation: bool = Field(True, description="Use the symmetries of the box.")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto is bf16 where the GPU or the CPU multiplies it in hardware, else float32."
    )
    compile: Literal["auto"] | bool = Field(
        "auto",
        description="Train compiled code (torch.compile), which takes about a minute to make and changes results by "
        "rounding. auto: on a GPU, of networks other than the UNet, where the run is long enough to pay that back; "
        "short steps are recorded as CUDA graphs. false: neither.",
        json_schema_extra=FREE,
    )
    activation_checkpointing: bool = Field(
        False,
        description="Keep only the inputs of the network's blocks for the backward pass, which computes the rest "
        "again: about half of the memory of a map or less, for a fifth to a third more FLOP. Results are the same.",
        json_schema_extra=FREE,
    )
    loss_scales: Annotated[float, Field(ge=-4, le=4)] = Field(
        0.0, description="Power of k that weighs the scales of the loss: below 0 large scales, above 0 small scales."
    )
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999, description="Moving average of the weights, warmed up as min(ema_decay, (1 + n)/(10 + n))."
    )
    averages: bool = Field(
        True,
        description="Keep power-function averages of the weights, from which one of any length is made after training "
        "(focus sample --ema): 8 bytes a weight in memory and checkpoints, and snapshots of 4.",
        json_schema_extra=FREE,
    )
    averages_gb: PositiveFloat = Field(
        2.0, description="Disk for these snapshots [GB]; at least 3 are kept, at most 32.", json_schema_extra=FREE
    )
    init_from: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        examples=["nbody"],
        description="Begin from the averaged weights of an experiment (name or path; its best checkpoint), of a "
        "checkpoint, or of a file of focus export --weights, relative to this file. Read when training begins, not "
        "when it is resumed. Method, prediction, network and parameters must agree; maps are standardised anew.",
    )
    seed: NonNegativeInt = Field(0, description="Seed of weights, noise and order.")
    max_minutes: PositiveFloat | None = Field(
        None,
        examples=[690],
        description="Stop cleanly, with a checkpoint, after this many minutes of all workers of the run together "
        "(their whole time: reading data, validation and samples included).",
        json_schema_extra=FREE,
    )
    accumulate: PositiveInt = Field(1, description="Batches per optimiser step.", json_schema_extra=MAPS_A_STEP)
    checkpoint_minutes: PositiveFloat = Field(
        10.0,
        description="Minutes between checkpoints: at most these are lost when a worker is killed. Ends of epochs are "
        "saved as well where writing takes less than 2 % of the time.",
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

    @field_validator("betas")
    @classmethod
    def _hold_two(cls, betas: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if betas is not None and len(betas) != 2:
            raise JointError(f"training.betas: {list(betas)}: give two numbers, such as [0.9, 0.99]", "training.betas")
        return betas
