"""The blocks of the generative processes, one for each method: the path between noise and map, and the loss."""

from typing import Annotated, Literal

from pydantic import Field

from focus_engine.config.block import Block, NonNegativeFloat, PositiveFloat


class DiffusionBlock(Block):
    """The noising process of DDPM and DDIM."""

    timesteps: Annotated[int, Field(ge=2, le=100_000)] = Field(1000, description="Training timesteps T.")
    beta_start: Annotated[float, Field(gt=0, lt=1)] = Field(1.0e-4, description="beta at the first step.")
    beta_end: Annotated[float, Field(gt=0, lt=1)] = Field(0.02, description="beta at the last step.")
    schedule: Literal["linear", "cosine", "quadratic", "sigmoid"] = Field(
        "linear", description="linear, quadratic, or cosine or sigmoid (both ignore beta_start and beta_end)."
    )
    shift: PositiveFloat = Field(
        1.0, description="Noise/signal is multiplied by this; N/64 suits maps of N x N pixels (arXiv:2301.11093)."
    )
    prediction: Literal["epsilon", "v", "x0"] = Field(
        "epsilon",
        description="What the network predicts: the noise, the velocity v (better at large scales) or the map (x0).",
    )
    zero_terminal_snr: bool = Field(
        False,
        description="Rescale the schedule so that t = T holds no signal (arXiv:2305.08891); needs prediction: v or x0.",
    )
    min_snr_gamma: PositiveFloat | None = Field(
        None, examples=[5.0], description="Min-SNR loss weight (5 is usual); left out: the plain mean squared error."
    )
    min_snr_offset: NonNegativeFloat = Field(
        0.0,
        description="Added to min(SNR, gamma) for v and x0; zero_terminal_snr needs it above 0 (1 is usual) to train "
        "t = T.",
    )


class FlowMatchingBlock(Block):
    """The path of flow matching: x_t = t x + (sigma_max - (sigma_max - sigma_min) t) noise."""

    sigma_min: NonNegativeFloat = Field(0.0, description="Noise left at t = 1 (data).")
    sigma_max: PositiveFloat = Field(1.0, description="Noise at t = 0.")
    time_sampling: Literal["uniform", "logit_normal"] = Field(
        "uniform", description="Times seen in training: uniform, or logit_normal (the middle of the path most)."
    )
    time_mean: float = Field(0.0, description="logit_normal: mean of ln(t / (1 - t)); below 0 is more noise.")
    time_std: PositiveFloat = Field(1.0, description="logit_normal: standard deviation of ln(t / (1 - t)).")
    shift: PositiveFloat = Field(
        1.0,
        description="(1 - t) / t is multiplied by this in training and sampling; above 1 is more noise. N/M gives maps "
        "of N x N pixels the noise on large scales that those of M x M have (arXiv:2403.03206).",
    )


class EdmBlock(Block):
    """The diffusion of EDM (arXiv:2206.00364): x = map + sigma noise, with ln sigma Gaussian in training."""

    sigma_min: PositiveFloat = Field(0.002, description="Least noise; the maps have standard deviation 1.")
    sigma_max: PositiveFloat = Field(
        500.0, description="Most noise, where sampling starts: about 2 N for maps of N x N pixels."
    )
    p_mean: float = Field(0.0, description="Mean of ln sigma in training.")
    p_std: PositiveFloat = Field(1.6, description="Standard deviation of ln sigma in training.")
