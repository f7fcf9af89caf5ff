"""The periodic UNet, conditioned on time and cosmology.

Padding is circular and there are no absolute positions. The network therefore commutes with shifts by its stride and
accepts any size that its stride divides. Most blocks are at the lowest resolution, where a convolution has 4ⁿ times
the parameters for the same arithmetic (Hoogeboom et al., 2301.11093). Six blocks there cover the whole box, and
GroupNorm carries its global statistics, so that attention is an option: `attention_levels` counts the lowest levels
that have it.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from focus_engine.errors import InputError
from focus_engine.models import fused
from focus_engine.models.attention import AttentionBlock
from focus_engine.models.convolution import CircularConv
from focus_engine.models.embeddings import TimeAndConditionEmbedding
from focus_engine.models.recompute import RecomputedBlock

BOTTOM_BLOCKS = 6


def group_count(channels: int) -> int:
    """Return the largest number of groups that divides `channels`: at most 32, with at least 8 channels each."""
    return max(g for g in range(1, 33) if channels % g == 0 and (g == 1 or channels // g >= 8))


class ResidualBlock(RecomputedBlock):
    """Two circular convolutions with a FiLM layer (scale and shift by the embedding, 1709.07871) between them.

    On a GPU the layers between the convolutions run as one (`focus_engine.models.fused`).
    """

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

    def compute(self, x: Tensor, embedding: Tensor, skip: Tensor | None = None) -> Tensor:
        """Return (B, out, H, W) from `x` (B, in, H, W) and the activated embedding (B, width).

        With `skip` (B, C, H, W) the input is `x` (B, in - C, H / 2, W / 2), upsampled, and `skip` behind it.
        """
        if fused.usable(x):
            return self._fused(x, embedding, skip)
        if skip is not None:
            x = torch.cat((F.interpolate(x, scale_factor=2, mode="nearest"), skip), dim=1)
        h = self.conv_in(self.norm_in(x), active=True)
        h = self._modulated(h, *self.film(embedding).chunk(2, dim=1))
        out: Tensor = self.shortcut(x) + self.conv_out(h, active=True)
        return out

    def _fused(self, x: Tensor, embedding: Tensor, skip: Tensor | None) -> Tensor:
        """Return what `compute` returns, the layers between two convolutions as one."""
        maps, low = (x, None) if skip is None else (skip, x)
        padded, maps, low = fused.padded_activation(maps, low, **fused.affine(self.norm_in, len(x)))
        h = F.conv2d(padded, self.conv_in.weight)
        scale, shift = self.film(embedding).float().chunk(2, dim=1)
        norm, bias = self.norm_out, self.conv_in.bias
        padded, _, _ = fused.padded_activation(
            h, scale=1 + scale, shift=shift, groups=norm.num_groups, eps=norm.eps, bias=bias
        )
        h, bias = F.conv2d(padded, self.conv_out.weight), self.conv_out.bias
        if isinstance(self.shortcut, nn.Identity):
            return fused.joined(h, maps, bias)
        weight, bias = self.shortcut.weight, bias + cast("Tensor", self.shortcut.bias)
        if low is None:
            return fused.joined(h, F.conv2d(maps, weight), bias)
        below = low.shape[1]  # a 1×1 convolution commutes with the upsampling
        return fused.joined(h, F.conv2d(maps, weight[:, below:]), bias, F.conv2d(low, weight[:, :below]))

    def _modulated(self, h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Return norm_out(h) · (1 + scale) + shift.

        The maps are normalised as channels of one map, whose affine weights scale and shift are: no pass over the
        pixels of its own for FiLM, which saves a tenth of a training step on a CPU. In channels_last that view would
        be a copy.
        """
        if not h.is_contiguous():
            return torch.addcmul(shift[..., None, None], self.norm_out(h), 1 + scale[..., None, None])
        one_map = h.reshape(1, -1, *h.shape[2:])
        groups = len(h) * self.norm_out.num_groups
        return F.group_norm(one_map, groups, (1 + scale).flatten(), shift.flatten(), self.norm_out.eps).view(h.shape)


class SimpleUNet(nn.Module):
    """A residual UNet with periodic boundaries; level i has base_channels · channel_mults[i] channels at 1/2ⁱ the size.

    143 M parameters at base_channels 128, channel_mults (1, 2, 4, 8), time_dim 256, cond_dim 6.
    The output is zero before training.

    Attributes:
        stride: both sides of a map must be multiples of it.
        fuses: whether its layers run as one on a GPU (`focus_engine.models.fused`).
        size_remedy: what to change in the config where they are not.
        outer_layers: names of the layers that read its inputs or write its output, for optimisers of hidden matrices.
    """

    fuses = True
    size_remedy = "fewer model.channel_mults"
    outer_layers = ("stem", "head", "embedding.time.0", "embedding.condition.0")

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        cond_dim: int = 6,
        base_channels: int = 64,
        channel_mults: Sequence[int] = (1, 2, 4, 8),
        time_dim: int = 256,
        attention_levels: int = 0,
        attention_heads: int = 4,
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
        attends = [level >= len(widths) - attention_levels for level in range(len(widths))]
        levels = [_attention(w, attention_heads, there) for w, there in zip(widths[:-1], attends, strict=False)]
        self.encoder_attention = nn.ModuleList(levels)
        self.bottom_attention = nn.ModuleList(
            _attention(widths[-1], attention_heads, attends[-1] and number % 2 == 1) for number in range(BOTTOM_BLOCKS)
        )
        self.decoder_attention = nn.ModuleList(
            _attention(w, attention_heads, there) for w, there in reversed(list(zip(widths, attends, strict=True))[:-1])
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
                f"times, so use sizes that are multiples of {self.stride}, or {self.size_remedy}"
            )
        embedding = F.silu(self.embedding(time, cond, unconditional))
        h = self.stem(x)
        skips = []
        for block, attend, down in zip(self.encoder, self.encoder_attention, self.down, strict=True):
            h = attend(block(h, embedding))
            skips.append(h)
            h = down(h)
        for block, attend in zip(self.bottom, self.bottom_attention, strict=True):
            h = attend(block(h, embedding))
        for block, attend in zip(self.decoder, self.decoder_attention, strict=True):
            h = attend(block(h, embedding, skips.pop()))
        if fused.usable(h):
            padded, _, _ = fused.padded_activation(h, **fused.affine(self.norm, len(h)))
            return F.conv2d(padded, self.head.weight, self.head.bias)
        out: Tensor = self.head(self.norm(h), active=True)
        return out


def _attention(channels: int, heads: int, there: bool) -> nn.Module:
    return AttentionBlock(channels, heads, group_count(channels)) if there else nn.Identity()
