"""The block `sampling`: how maps are drawn from the trained network."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from focus_engine.config.block import Block, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Probability
from focus_engine.config.methods import DEFAULT_METHOD, METHODS
from focus_engine.config.samplers import (
    PRIORS,
    SAMPLERS,
    SPACINGS,
    sampler_words,
    samplers_by_steps,
    samplers_with_churn,
    samplers_with_eta,
    samplers_with_tolerances,
)

if TYPE_CHECKING:
    SamplerName = str
    SpacingName = str
    Prior = str
else:
    SamplerName = Literal[tuple(SAMPLERS)]
    SpacingName = Literal[SPACINGS]
    Prior = Literal[PRIORS]


class SamplingBlock(Block):
    """How maps are drawn from the trained network."""

    method: SamplerName = Field(METHODS[DEFAULT_METHOD].sampler, description=f"{sampler_words()}.")
    ddim_timesteps: PositiveInt = Field(50, description=f"Steps of {samplers_by_steps('sampling.ddim_timesteps')}.")
    num_steps: PositiveInt = Field(50, description=f"Steps of {samplers_by_steps('sampling.num_steps')}.")
    cfg_scale: NonNegativeFloat = Field(
        1.0, description="Guidance; 1.0 samples the trained density, any other value distorts P(k)."
    )
    prior: Prior = Field(
        "auto",
        description="Start of sampling: noise alone (white); noise with the mean and spectrum of the training maps at "
        "the parameters, scaled as at t = T (spectrum); or spectrum where t = T holds signal (auto).",
    )
    eta: Probability = Field(0.0, description=f"Noise of {samplers_with_eta()}: 0 is deterministic, 1 is DDPM.")
    spacing: SpacingName | None = Field(
        None,
        description="Where steps are: even in time, or in logsnr with soft ends; left out: the sampler's own.",
    )
    churn: NonNegativeFloat = Field(
        0.0, description=f"S_churn of {samplers_with_churn()} (2206.00364): noise added and removed along the way."
    )
    calibration_maps: NonNegativeInt = Field(
        0,
        description="Maps drawn when training ends, to bring spectrum and pixels of drawn maps to those of the "
        "training maps (docs/samplers.md); 0: none.",
    )
    rtol: PositiveFloat = Field(
        1.0e-3, description=f"Relative tolerance of {samplers_with_tolerances()}; num_steps is the most steps."
    )
    atol: PositiveFloat = Field(1.0e-3, description=f"Absolute tolerance of {samplers_with_tolerances()}.")
