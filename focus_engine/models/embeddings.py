"""Embedding of time and cosmology in one vector per map, which conditions every residual block.

Separate from the UNet because user networks may use the same conditioning.
"""

import math

import torch
from torch import Tensor, nn

TIME_SCALE = 1000.0
"""Factor from the network's time in [0, 1] to the range for which sinusoidal timestep embeddings are designed."""


def sinusoidal_embedding(time: Tensor, width: int) -> Tensor:
    """Return sines and cosines of 1000·`time` (B,) with periods 2π ... 2π·10⁴, (B, width) float32.

    `time` is in [0, 1] and `width` even. Source: Vaswani et al. (1706.03762, 3.5), as in DDPM (2006.11239).
    """
    half = width // 2
    rates = torch.exp(-math.log(1e4) / max(half - 1, 1) * torch.arange(half, device=time.device))
    angles = (time.float() * TIME_SCALE)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)


class TimeAndConditionEmbedding(nn.Module):
    """Sum of an embedding of the time and one of the condition, each a small perceptron.

    "No condition" is a learned token, because the zero vector is a valid cosmology.
    """

    def __init__(self, cond_dim: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.cond_dim = cond_dim
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        # A model without parameters uses only the token.
        self.condition = (
            nn.Sequential(nn.Linear(cond_dim, width), nn.SiLU(), nn.Linear(width, width)) if cond_dim else None
        )
        self.no_condition = nn.Parameter(torch.randn(width).div_(math.sqrt(width)))

    def forward(self, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        """Return (B, width) from `time` (B,), `cond` (B, cond_dim) and the mask `unconditional` (B,) or None."""
        embedded: Tensor = self.time(sinusoidal_embedding(time, self.width).to(self.no_condition.dtype))
        if self.condition is None:
            return embedded + self.no_condition
        condition: Tensor = self.condition(cond)
        if unconditional is not None:
            condition = torch.where(unconditional[:, None], self.no_condition.to(condition.dtype), condition)
        return embedded + condition
