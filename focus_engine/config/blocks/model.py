"""The block `model`: the network and its settings."""

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, create_model, field_validator

from focus_engine.config.block import Block, NonNegativeInt, PositiveInt, list_to_tuple
from focus_engine.config.laws import JointError
from focus_engine.config.networks import DEFAULT_NETWORK, network_words, settings_blocks


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
