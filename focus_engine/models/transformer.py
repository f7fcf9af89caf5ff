"""Transformers on the torus: attention between patches.

Attention reaches over the whole box, as in DiT (2212.09748), or over windows that shift by half (Swin, 2103.14030).
Positions enter only as rotations of queries and keys, so that the network commutes with shifts by its stride: a patch
for attention in the whole box, whose angles are periodic in it, or a window. Patches are cut and joined by circular
convolutions on pixels: patches that are predicted each by itself show their borders.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from focus_engine.errors import InputError
from focus_engine.models.attention import Rotation, TorusAttention, rotation
from focus_engine.models.convolution import CircularConv
from focus_engine.models.embeddings import TimeAndConditionEmbedding
from focus_engine.models.recompute import RecomputedBlock


class Modulation(nn.Module):
    """Shifts, scales and gates of a block by the embedding of time and condition; all zero before training."""

    def __init__(self, embedding_width: int, width: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.linear = nn.Linear(embedding_width, count * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:
        """Return `count` tensors (B, 1, 1, width) from the activated embedding (B, embedding width)."""
        values: Tensor = self.linear(embedding)
        return values[:, None, None].chunk(self.count, dim=-1)


class TransformerBlock(RecomputedBlock):
    """Attention and a perceptron, each normalised, modulated and gated by the embedding (adaLN-Zero, 2212.09748)."""

    def __init__(self, width: int, heads: int, mlp_ratio: int, embedding_width: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attention = TorusAttention(width, heads)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width), nn.GELU(approximate="tanh"), nn.Linear(mlp_ratio * width, width)
        )
        self.modulation = Modulation(embedding_width, width, 6)

    def compute(self, x: Tensor, embedding: Tensor, angles: Rotation, window: tuple[int, int], shift: int) -> Tensor:
        """Return (B, h, w, width) from `x` of this shape; attention is within windows, rolled by `shift` patches."""
        shift_in, scale_in, gate_in, shift_mlp, scale_mlp, gate_mlp = self.modulation(embedding)
        h = torch.addcmul(shift_in, self.norm_attention(x), 1 + scale_in)
        h = _joined(self.attention(_windows(h.roll((-shift, -shift), (1, 2)), window), angles), window, x)
        x = torch.addcmul(x, gate_in, h.roll((shift, shift), (1, 2)))
        h = torch.addcmul(shift_mlp, self.norm_mlp(x), 1 + scale_mlp)
        return torch.addcmul(x, gate_mlp, self.mlp(h))


def _windows(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Return (B · windows, tokens of a window, width) from a grid (B, h, w, width)."""
    batch, height, width, channels = x.shape
    rows, columns = window
    cut = x.reshape(batch, height // rows, rows, width // columns, columns, channels)
    return cut.transpose(2, 3).reshape(-1, rows * columns, channels)


def _joined(windows: Tensor, window: tuple[int, int], like: Tensor) -> Tensor:
    """Return the grid of shape `like` (B, h, w, width) from what `_windows` makes of it."""
    batch, height, width, _ = like.shape
    rows, columns = window
    cut = windows.view(batch, height // rows, width // columns, rows, columns, -1)
    return cut.transpose(2, 3).reshape(like.shape)


class TorusTransformer(nn.Module):
    """A transformer between patches with periodic boundaries; with a `window` attention stays in shifted windows.

    Of whole-box attention, 29.4 M parameters at patch 4, width 384, depth 12, time_dim 256, cond_dim 6.
    The output is zero before training.

    Attributes:
        stride: both sides of a map must be multiples of it.
        size_remedy: what to change in the config where they are not.
        outer_layers: names of the layers that read its inputs or write its output, for optimisers of hidden matrices.
    """

    outer_layers = ("stem", "head", "embedding.time.0", "embedding.condition.0")

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        cond_dim: int = 6,
        time_dim: int = 256,
        patch: int = 4,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        mlp_ratio: int = 4,
        window: int = 0,
    ) -> None:
        super().__init__()
        self.patch, self.window, self.head_width = patch, window, width // heads
        self.stride = patch * max(1, window)
        self.size_remedy = "a smaller model.swin.patch or model.swin.window" if window else "a smaller model.dit.patch"
        pixel_channels = max(8, width // 8)
        self.embedding = TimeAndConditionEmbedding(cond_dim, time_dim)
        self.stem = CircularConv(in_channels, pixel_channels)
        self.cut = nn.Conv2d(pixel_channels, width, patch, patch)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, mlp_ratio, time_dim) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = Modulation(time_dim, width, 2)
        self.join = nn.Linear(width, pixel_channels * patch**2)
        self.head = CircularConv(2 * pixel_channels, out_channels)
        nn.init.zeros_(self.head.weight)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        """Return (B, out, H, W) from `x` (B, in, H, W), `time` (B,) in [0, 1] and `cond` (B, cond_dim).

        Raises:
            InputError: H or W is not a multiple of the stride.
        """
        self._check_size(x)
        embedding = F.silu(self.embedding(time, cond, unconditional))
        pixels = self.stem(x)
        h = self.cut(pixels).permute(0, 2, 3, 1)
        shape = (h.shape[1], h.shape[2])
        window = (self.window, self.window) if self.window else shape
        # Twice a window: as far as two of its patches are apart, differences stay distinct.
        periods = (2 * self.window, 2 * self.window) if self.window else shape
        angles = rotation(window, self.head_width, x, periods)
        for number, block in enumerate(self.blocks):
            h = block(h, embedding, angles, window, number % 2 * (self.window // 2))
        shift, scale = self.modulation(embedding)
        h = self.join(torch.addcmul(shift, self.norm(h), 1 + scale)).permute(0, 3, 1, 2)
        out: Tensor = self.head(F.silu(torch.cat((pixels, F.pixel_shuffle(h, self.patch)), dim=1)))
        return out

    def _check_size(self, x: Tensor) -> None:
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            of_windows = f" in windows of {self.window}" if self.window else ""
            raise InputError(
                f"maps of {x.shape[-2]} × {x.shape[-1]} pixels: this transformer has patches of {self.patch} pixels"
                f"{of_windows}, so use sizes that are multiples of {self.stride}, or {self.size_remedy}"
            )
