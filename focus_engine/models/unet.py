"""The periodic UNet, conditioned on time and cosmology.

Padding is circular and there are no absolute positions. The network therefore commutes with shifts by its stride and
accepts any size that its stride divides. Most blocks are at the lowest resolution, where a convolution has 4ⁿ times
the parameters for the same arithmetic (Hoogeboom et al., 2301.11093). Six blocks there cover the whole box, and
GroupNorm carries its global statistics, so that no attention is needed.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from focus_engine.errors import InputError
from focus_engine.models.embeddings import TimeAndConditionEmbedding

BOTTOM_BLOCKS = 6


def group_count(channels: int) -> int:
    """Return the largest number of groups that divides `channels`: at most 32, with at least 8 channels each."""
    return max(g for g in range(1, 33) if channels % g == 0 and (g == 1 or channels // g >= 8))


class _WrapOnePixel(torch.autograd.Function):
    """Circular padding by one pixel, with a gradient that folds the border back in two passes.

    The gradient of torch's own padding takes a quarter of a training step at 32².
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401, ARG004  (torch's signature)
        return F.pad(x, (1, 1, 1, 1), mode="circular")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401, ARG004  (torch's signature)
        rows = gradient[:, :, 1:-1].clone()
        rows[:, :, 0] += gradient[:, :, -1]
        rows[:, :, -1] += gradient[:, :, 0]
        folded = rows[..., 1:-1].contiguous()
        folded[..., 0] += rows[..., -1]
        folded[..., -1] += rows[..., 0]
        return folded


class CircularConv(nn.Conv2d):
    """3×3 convolution on the torus."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, H / stride, W / stride)."""
        padded: Tensor = _WrapOnePixel.apply(x)  # type: ignore[no-untyped-call]
        return F.conv2d(padded, self.weight, self.bias, self.stride)


class ResidualBlock(nn.Module):
    """Two circular convolutions with a FiLM layer (scale and shift by the embedding, 1709.07871) between them."""

    def __init__(self, in_channels: int, out_channels: int, embedding_width: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(group_count(in_channels), in_channels)
        self.conv_in = CircularConv(in_channels, out_channels)
        # FiLM supplies scale and shift.
        self.norm_out = nn.GroupNorm(group_count(out_channels), out_channels, affine=False)
        self.film = nn.Linear(embedding_width, 2 * out_channels)
        self.conv_out = CircularConv(out_channels, out_channels)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return (B, out, H, W) from `x` (B, in, H, W) and the activated embedding (B, width)."""
        h = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
        h = F.silu(torch.addcmul(shift, self.norm_out(h), 1 + scale))
        out: Tensor = self.shortcut(x) + self.conv_out(h)
        return out


class SimpleUNet(nn.Module):
    """A residual UNet with periodic boundaries; level i has base_channels · channel_mults[i] channels at 1/2ⁱ the size.

    146 M parameters at base_channels 128, channel_mults (1, 2, 4, 8), time_dim 256, cond_dim 6.
    The output is zero before training.

    Attributes:
        outer_layers: names of the layers that read its inputs or write its output, for optimisers of hidden matrices.
    """

    outer_layers = ("stem", "head", "embedding.time.0", "embedding.condition.0")

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        cond_dim: int = 6,
        base_channels: int = 64,
        channel_mults: Sequence[int] = (1, 2, 4, 8),
        time_dim: int = 256,
    ) -> None:
        super().__init__()
        widths = [base_channels * mult for mult in channel_mults]
        self.stride = 2 ** (len(widths) - 1)
        self.embedding = TimeAndConditionEmbedding(cond_dim, time_dim)
        self.stem = CircularConv(in_channels, widths[0])
        self.encoder = nn.ModuleList(ResidualBlock(w, w, time_dim) for w in widths[:-1])
        self.down = nn.ModuleList(CircularConv(w, v, stride=2) for w, v in pairwise(widths))
        self.bottom = nn.ModuleList(ResidualBlock(widths[-1], widths[-1], time_dim) for _ in range(BOTTOM_BLOCKS))
        self.decoder = nn.ModuleList(
            ResidualBlock(w + below, w, time_dim) for w, below in reversed(list(pairwise(widths)))
        )
        self.norm = nn.GroupNorm(group_count(widths[0]), widths[0])
        self.head = CircularConv(widths[0], out_channels)
        nn.init.zeros_(self.head.weight)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        """Return (B, out, H, W) from `x` (B, in, H, W), `time` (B,) in [0, 1] and `cond` (B, cond_dim).

        Raises:
            InputError: H or W is not a multiple of the stride.
        """
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise InputError(
                f"maps of {x.shape[-2]} × {x.shape[-1]} pixels: this UNet halves them {int(math.log2(self.stride))} "
                f"times, so use sizes that are multiples of {self.stride}, or fewer model.channel_mults"
            )
        embedding = F.silu(self.embedding(time, cond, unconditional))
        h = self.stem(x)
        skips = []
        for block, down in zip(self.encoder, self.down, strict=True):
            h = block(h, embedding)
            skips.append(h)
            h = down(h)
        for block in self.bottom:
            h = block(h, embedding)
        for block in self.decoder:
            h = F.interpolate(h, scale_factor=2, mode="nearest")
            h = block(torch.cat((h, skips.pop()), dim=1), embedding)
        out: Tensor = self.head(F.silu(self.norm(h)))
        return out
