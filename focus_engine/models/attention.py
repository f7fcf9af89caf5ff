"""Self-attention on the torus, with rotary positions that are periodic in the box.

Queries and keys are rotated by angles 2π m i / n, with whole numbers m and the position i of n along a side (RoPE,
2104.09864). Their product then depends on the difference of two positions modulo the box, so that attention commutes
with shifts. Half of a head's channels hold the rows, half the columns.
"""

import math
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from focus_engine.models.recompute import RecomputedBlock

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines of the angles of each token, (tokens, head width / 2)."""


def rotation(shape: tuple[int, int], head_width: int, like: Tensor, periods: tuple[int, int] | None = None) -> Rotation:
    """Return the rotation of each token of a grid of `shape`, row by row, with the numbers m from 1 to head_width / 4.

    Args:
        shape: rows and columns of tokens.
        head_width: channels of a head, a multiple of 4.
        like: the tensor whose device it has; float64 if that is, else float32.
        periods: tokens after which the angles repeat along each side; left out: `shape`, the box.
    """
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    numbers = torch.arange(1, head_width // 4 + 1, device=like.device)
    sides = []
    for length, period in zip(shape, periods or shape, strict=True):
        turns = torch.arange(length, device=like.device)[:, None] * numbers % period  # whole, so that periods are exact
        sides.append(turns.to(dtype) * (2 * math.pi / period))
    rows, columns = sides[0][:, None].expand(*shape, -1), sides[1][None].expand(*shape, -1)
    angles = torch.cat((rows, columns), dim=-1).flatten(0, 1)
    return angles.cos(), angles.sin()


def rotated(x: Tensor, angles: Rotation) -> Tensor:
    """Return `x` (..., tokens, head width), its halves rotated into each other."""
    cosines, sines = angles
    first, second = x.to(cosines.dtype).chunk(2, dim=-1)
    turned = torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)
    return turned.to(x.dtype)


class TorusAttention(nn.Module):
    """Multi-head self-attention whose queries and keys are normalised (2302.05442) and rotated by their positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.norm_query = nn.RMSNorm(self.head_width, eps=1e-6)
        self.norm_key = nn.RMSNorm(self.head_width, eps=1e-6)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, angles: Rotation) -> Tensor:
        """Return (B, tokens, width) from `x` of this shape."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        full = self.norm_query.weight.dtype  # under autocast norms and rotations stay in it
        query, key = self.norm_query(query.to(full)), self.norm_key(key.to(full))
        query, key = rotated(query, angles), rotated(key, angles)
        # On a CPU torch's attention takes 2 to 5 times as long in bfloat16 as in float32.
        dtype = full if x.device.type == "cpu" else value.dtype
        # The meta device, on which FLOP are counted, knows no autocast.
        with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
            mixed = F.scaled_dot_product_attention(query.to(dtype), key.to(dtype), value.to(dtype))
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class AttentionBlock(RecomputedBlock):
    """Attention between all pixels of a feature map, added to it; the identity before training."""

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.attention = TorusAttention(channels, heads)
        nn.init.zeros_(self.attention.out.weight)
        nn.init.zeros_(self.attention.out.bias)

    def compute(self, x: Tensor) -> Tensor:
        """Return (B, channels, H, W) from `x` of this shape."""
        shape = (x.shape[-2], x.shape[-1])
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        mixed: Tensor = self.attention(tokens, rotation(shape, self.attention.head_width, x))
        return x + mixed.transpose(1, 2).reshape(x.shape)
