"""Passes over the pixels of maps in channels_last on a GPU: what each kernel of `torus_kernels` takes and returns.

Results are deterministic: sums are taken over spans of pixels or rows, then over the spans. Maps have sides of at
least 2 pixels.
"""

import importlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

TILE = 4096
"""Elements of a tile."""
WARPS = 8
"""Groups of 32 threads that compute a tile."""
WIDEST = 128
"""Channels of a tile, at most."""
PROGRAMS = 2048
"""Programs into which the pixels of a batch are divided for a sum: fifteen for each multiprocessor of an H100."""


@dataclass(frozen=True, eq=False)
class Source:
    """Maps (B, C, H, W) in channels_last that become the channels from `place`; each pixel becomes `up`² pixels."""

    maps: Tensor
    up: int
    place: int


@dataclass(frozen=True, eq=False)
class Line:
    """A line factor · x + term for each map and channel, both (B, C) in float32 and contiguous."""

    factor: Tensor
    term: Tensor


def sources(x: Tensor, low: Tensor | None = None) -> tuple[Source, ...]:
    """Return the sources of an upsampled `low` (B, C₁, H / 2, W / 2) with `x` (B, C₂, H, W) behind it, or of `x`."""
    if low is None:
        return (Source(channels_last(x), 1, 0),)
    return (Source(channels_last(low), 2, 0), Source(channels_last(x), 1, low.shape[1]))


def channels_last(x: Tensor) -> Tensor:
    """Return `x` (B, C, H, W) with the channels of a pixel adjacent; as it is where they are."""
    return x.contiguous(memory_format=torch.channels_last)


def moments(source: Source) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each map and channel, (B, C)."""
    maps = source.maps
    count, channels, height, width = maps.shape
    tile = _tile(channels, height * width)
    spans, span = _spans(count * tile.blocks, height * width, tile.pixels)
    partial = torch.empty(count, spans, 2, channels, device=maps.device)
    _launch("moments_kernel", (count, spans, tile.blocks), maps, partial, height * width, channels, span, **tile.sizes)
    first, second = (partial.sum(1) / (height * width)).unbind(1)  # about the first pixel of each map
    # Where the first pixel is n standard deviations from the mean, the variance is known to n² roundings of float32.
    return first + maps[:, :, 0, 0].float(), (second - first.square()).clamp_(min=0)


def activated(parts: Sequence[Source], line: Line | None, dtype: torch.dtype) -> Tensor:
    """Return wrap(silu(line)) of the upsampled sources (B, C, H + 2, W + 2); without `line`, wrap of them."""
    last = parts[-1]
    channels = last.place + last.maps.shape[1]
    padded = _empty(last.maps, channels, last.maps.shape[2] + 2, last.maps.shape[3] + 2, dtype)
    pixels = padded.shape[2] * padded.shape[3]
    for source in parts:
        maps = source.maps
        tile = _tile(maps.shape[1], pixels)
        factor, term = (maps, maps) if line is None else (line.factor, line.term)  # not read without a line
        _launch(
            "activate_kernel", (-(-pixels // tile.pixels), tile.blocks, len(maps)), maps, factor, term, padded,
            maps.shape[2], maps.shape[3], maps.shape[1], channels, source.place,
            UP=source.up, ACTIVE=line is not None, **tile.sizes
        )  # fmt: skip
    return padded


def gradient_sums(parts: Sequence[Source], gradient: Tensor, line: Line, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums over pixels of du and du · (maps − centre), u being the argument of silu; (B, C) each.

    `gradient` is that of the result of `activated`, in channels_last.
    """
    sums = []
    for source in parts:
        maps = source.maps
        count, channels, height, width = maps.shape
        tile = _tile(channels, width)
        spans, span = _spans(count * tile.blocks, height)
        partial = torch.empty(count, spans, 2, channels, device=maps.device)
        _launch(
            "gradient_sums_kernel", (count, spans, tile.blocks), maps, gradient, line.factor, line.term, centre,
            partial, height, width, channels, gradient.shape[1], source.place, span, UP=source.up, **tile.sizes
        )  # fmt: skip
        sums.append(partial.sum(1))
    first, second = torch.cat(sums, 2).unbind(1)
    return first, second


def input_gradient(source: Source, gradient: Tensor, line: Line, more: Line, residual: Tensor | None) -> Tensor:
    """Return factor · du + up² · more(maps) + residual, the gradient of the maps, in their type.

    `gradient` is that of the result of `activated`, in channels_last; u is the argument of silu, `line` of the maps.
    """
    maps = source.maps
    count, channels, height, width = maps.shape
    tile, out = _tile(channels, width), torch.empty_like(maps)
    _launch(
        "gradient_kernel", (count * height, -(-width // tile.pixels), tile.blocks), maps, gradient,
        line.factor, line.term, more.factor, more.term, maps if residual is None else channels_last(residual), out,
        height, width, channels, gradient.shape[1], source.place,
        UP=source.up, ACTIVE=True, ADDS=residual is not None, **tile.sizes
    )  # fmt: skip
    return out


def wrapped_gradient(gradient: Tensor) -> Tensor:
    """Return the gradient of wrapped maps from that (B, C, H + 2, W + 2) of the padded ones, in channels_last."""
    count, channels, height, width = (*gradient.shape[:2], gradient.shape[2] - 2, gradient.shape[3] - 2)
    out, tile = _empty(gradient, channels, height, width, gradient.dtype), _tile(channels, width)
    _launch(
        "gradient_kernel", (count * height, -(-width // tile.pixels), tile.blocks), out, gradient, *[out] * 6,
        height, width, channels, channels, 0, UP=1, ACTIVE=False, ADDS=False, **tile.sizes
    )  # fmt: skip
    return out


def joined(a: Tensor, b: Tensor, bias: Tensor, low: Tensor | None) -> Tensor:
    """Return a + b + bias (B, C, H, W), plus the nearest upsampling of `low` (B, C, H / 2, W / 2) if given."""
    a, b = channels_last(a), channels_last(b)
    count, channels, height, width = a.shape
    out, tile = torch.empty_like(a), _tile(channels, height * width)
    _launch(
        "join_kernel", (-(-height * width // tile.pixels), tile.blocks, count), a, b,
        b if low is None else channels_last(low), bias, out,
        height, width, channels, HAS_LOW=low is not None, **tile.sizes
    )  # fmt: skip
    return out


def joined_gradient(gradient: Tensor, *, has_low: bool) -> tuple[Tensor, Tensor | None]:
    """Return the gradients of `bias` (C,), in float32, and of `low`, from that of `joined` in channels_last."""
    up = 2 if has_low else 1
    count, channels, height, width = (*gradient.shape[:2], gradient.shape[2] // up, gradient.shape[3] // up)
    low = _empty(gradient, channels, height, width, gradient.dtype) if has_low else None
    tile = _tile(channels, width)
    spans, span = _spans(count * tile.blocks, height)
    partial = torch.empty(count, spans, channels, device=gradient.device)
    _launch(
        "join_gradient_kernel", (count, spans, tile.blocks), gradient, gradient if low is None else low, partial,
        height, width, channels, span, UP=up, **tile.sizes
    )  # fmt: skip
    return partial.sum((0, 1)), low


@dataclass(frozen=True)
class _Tile:
    """Channels and pixels of a tile, powers of 2, and the number of blocks of channels."""

    channels: int
    pixels: int
    blocks: int

    @property
    def sizes(self) -> dict[str, int]:
        return {"BLOCK_P": self.pixels, "BLOCK_C": self.channels, "num_warps": WARPS}


def _tile(channels: int, pixels: int) -> _Tile:
    """Return the tile for maps of `channels` that are walked through by at most `pixels` at a time."""
    block = min(WIDEST, _power_of_two(channels))
    return _Tile(block, max(1, min(TILE // block, _power_of_two(pixels))), -(-channels // block))


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _spans(others: int, length: int, multiple: int = 1) -> tuple[int, int]:
    """Return into how many spans a length is divided for a sum, and the length of each, a multiple of `multiple`."""
    span = -(-length // max(1, PROGRAMS // others))
    span = -(-span // multiple) * multiple
    return -(-length // span), span


def _empty(like: Tensor, channels: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    shape = (len(like), channels, height, width)
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=torch.channels_last)


def _launch(kernel: str, grid: tuple[int, int, int], first: Tensor, *rest: Any, **constants: Any) -> None:  # noqa: ANN401
    """Run a kernel on the device of its first argument; Triton comes with the torch of GPUs only."""
    kernels = importlib.import_module("focus_engine.models.torus_kernels")
    with torch.cuda.device(first.device) if first.is_cuda else nullcontext():
        getattr(kernels, kernel)[grid](first, *rest, **constants)
