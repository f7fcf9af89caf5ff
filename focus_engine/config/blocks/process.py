"""The blocks of the generative processes, one for each method: the path between noise and map, and the loss."""

from typing import Annotated, Literal

from pydantic import Field

from focus_engine.config.block import Block, NonNegativeFloat, PositiveFloat


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
