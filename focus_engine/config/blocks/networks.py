"""The networks' own settings: one block each below `model`, named in the table `focus_engine.config.networks`."""

from typing import Annotated

from pydantic import Field

from focus_engine.config.block import Block, NonNegativeInt, PositiveInt


class UNetBlock(Block):
    """The UNets (model.from: SimpleUNet or FlowUNet), beside their channels."""

    attention_levels: NonNegativeInt = Field(
        0, description="Lowest levels that have self-attention: 1 is the lowest alone; 0 none."
    )
    attention_heads: PositiveInt = Field(
        4, description="Heads of each; 4 x heads must divide the channels of these levels."
    )


class DiTBlock(Block):
    """The diffusion transformer on the torus (model.from: DiT)."""

    patch: PositiveInt = Field(4, description="Pixels per side of a patch (token); must divide the map.")
    width: PositiveInt = Field(384, description="Channels of a token; a multiple of 4 x heads.")
    depth: PositiveInt = Field(12, description="Transformer blocks.")
    heads: PositiveInt = Field(6, description="Attention heads.")
    mlp_ratio: PositiveInt = Field(4, description="Hidden channels of the perceptron in a block, over width.")


class SwinBlock(Block):
    """The transformer whose attention stays in shifted windows (model.from: Swin)."""

    patch: PositiveInt = Field(4, description="Pixels per side of a patch (token).")
    window: Annotated[int, Field(ge=2)] = Field(
        8, description="Patches per side of a window; patch x window must divide the map."
    )
    width: PositiveInt = Field(384, description="Channels of a token; a multiple of 4 x heads.")
    depth: PositiveInt = Field(12, description="Transformer blocks; every second has its windows shifted by a half.")
    heads: PositiveInt = Field(6, description="Attention heads.")
    mlp_ratio: PositiveInt = Field(4, description="Hidden channels of the perceptron in a block, over width.")
