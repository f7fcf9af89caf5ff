"""Convolution on the torus, by which every network commutes with shifts."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)


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
