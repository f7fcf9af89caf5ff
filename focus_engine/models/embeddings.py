"""What tells the network the time and the cosmology: one vector per map, read by every residual block.

Separate from the UNet because user networks may want the same conditioning.
"""

import math

import torch
from torch import Tensor, nn

TIME_SCALE = 1000.0
"""The network's time in [0, 1] times this: the range that sinusoidal embeddings of timesteps are made for."""


def sinusoidal_embedding(time: Tensor, width: int) -> Tensor:
    """Embed `time` (B,) in [0, 1] as sines and cosines of periods 2π ... 2π·10⁴ of 1000·time, (B, width) float32.

    Source: Vaswani et al. (1706.03762, 3.5) as used by DDPM (2006.11239). `width` is even.
    """
    half = width // 2
    rates = torch.exp(-math.log(1e4) / max(half - 1, 1) * torch.arange(half, device=time.device))
    angles = (time.float() * TIME_SCALE)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)


class TimeAndConditionEmbedding(nn.Module):
    """Sum of an embedding of the time and one of the condition, through two small perceptrons.

    "No condition" is a learned token in place of the condition's embedding: the zero vector is a legal cosmology.
    """

    def __init__(self, cond_dim: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.cond_dim = cond_dim
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        # A model without parameters has the token alone.
        self.condition = (
            nn.Sequential(nn.Linear(cond_dim, width), nn.SiLU(), nn.Linear(width, width)) if cond_dim else None
        )
        self.no_condition = nn.Parameter(torch.randn(width) / math.sqrt(width))

    def forward(self, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        """Return (B, width) from `time` (B,), `cond` (B, cond_dim) and the rows `unconditional` (B,) or None."""
        embedded: Tensor = self.time(sinusoidal_embedding(time, self.width).to(self.no_condition.dtype))
        if self.condition is None:
            return embedded + self.no_condition
        condition: Tensor = self.condition(cond)
        if unconditional is not None:
            condition = torch.where(unconditional[:, None], self.no_condition.to(condition.dtype), condition)
        return embedded + condition
