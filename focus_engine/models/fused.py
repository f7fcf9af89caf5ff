"""The layers around a convolution in one pass over the pixels, on a GPU.

Before a convolution of the UNet come GroupNorm, a scale and shift, SiLU, an upsampling and the circular padding, after
it a bias and a sum. Layer by layer each of them reads and writes all pixels, in float32 under autocast. torch's
GroupNorm and circular padding return contiguous maps, which cuDNN copies to channels_last and back around each
convolution. Here the mean and variance cost one reading, everything else before a convolution one reading and one
writing, and so does the sum after it; all in channels_last. The gradients are the closed forms of GroupNorm's (Wu &
He, 1803.08494). Results differ from those of the layers by rounding; these passes repeat bit for bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from focus_engine.models import pixel_passes as passes

LARGEST_MAP = 2**27
"""Elements of one map, at most: the kernels count those of a padded and upsampled one in 32 bits."""
_TYPES = (torch.float32, torch.bfloat16, torch.float16)
_FAILURES: dict[torch.device, str] = {}
_chosen: ContextVar[bool | None] = ContextVar("chosen", default=None)

SMALLEST = 2**23
"""Elements of maps from which on fused layers are faster launched one by one: they launch twice as slowly (on an H100,
53 ms of a step of the smallest template instead of 28), and separate ones take two to three times the GPU's time."""


def placed(network: nn.Module, device: torch.device, *, fuse: bool = True, precision: str | None = None) -> nn.Module:
    """Return `network` on `device`, with weights in channels_last where layers are to run as one and that pays.

    It does in `precision` float32 on a CPU too: a training step takes 0.80 to 0.87 of the time, in bf16 1.0.
    """
    network = network.to(device)
    on_cpu = device.type == "cpu" and precision == "float32" and getattr(network, "fuses", False)
    if fuse and (on_cpu or fuses(network, device)):
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def fuses(network: nn.Module, device: torch.device) -> bool:
    """Return whether layers of `network` run as one on `device`: of networks with the attribute `fuses`, on a GPU."""
    return _could_fuse(network, device) and not failure(device)


def why_not_fused(network: nn.Module, device: torch.device) -> str:
    """Return why layers of `network` do not run as one on `device` although they could, and what to do; else ""."""
    if not _could_fuse(network, device) or not failure(device):
        return ""
    return (
        f"the layers between convolutions run one by one, which takes two to three times as long ({failure(device)}); "
        "Triton needs a C compiler such as gcc and a GPU that it supports"
    )


def _could_fuse(network: nn.Module, device: torch.device) -> bool:
    return device.type == "cuda" and getattr(network, "fuses", False) and _chosen.get() is not False


def usable(x: Tensor) -> bool:
    """Return whether maps `x` (B, C, H, W) are to be given to the functions here: large ones on a GPU.

    Within `always` small ones are as well, and none while torch compiles.
    """
    if torch.compiler.is_compiling() or not x.is_cuda:  # first: what follows would divide the compiled code
        return False
    wanted = x.numel() >= SMALLEST if (chosen := _chosen.get()) is None else chosen
    if not wanted or x.dtype not in _TYPES or min(x.shape[-2:]) < 2 or x[0].numel() > LARGEST_MAP:
        return False
    return not failure(x.device)


def failure(device: torch.device) -> str:
    """Return why a GPU cannot run the functions here, "" where it can; each is tried once in both precisions.

    Raises:
        torch.OutOfMemoryError: there is no memory for the trial.
    """
    if device not in _FAILURES:
        try:
            for dtype in (torch.float32, torch.bfloat16):
                _try(device, dtype)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  (a compiler can fail in any way)
            _FAILURES[device] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        else:
            _FAILURES[device] = ""
    return _FAILURES[device]


def _try(device: torch.device, dtype: torch.dtype) -> None:
    """Compute all functions and their gradients once, on a map of two by two pixels."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        ones = torch.ones(1, 8, device=device)
        x = torch.ones(1, 8, 2, 2, device=device, dtype=dtype, requires_grad=True)
        low = x[:, :, :1, :1]
        padded, _, _ = padded_activation(x, scale=ones, shift=ones, groups=1, eps=1e-5)
        total = wrapped(x).sum() + padded.sum() + joined(x, x, torch.ones(8, device=device), low).sum()
        total.backward()  # type: ignore[no-untyped-call]


@contextmanager
def layer_by_layer() -> Iterator[None]:
    """Run layers one by one within the context, for comparisons. Recomputed blocks, in another thread, don't see it."""
    token = _chosen.set(False)
    try:
        yield
    finally:
        _chosen.reset(token)


@contextmanager
def always() -> Iterator[None]:
    """Let small maps be usable as well within the context, unless it is within `layer_by_layer`."""
    token = _chosen.set(_chosen.get() is not False)
    try:
        yield
    finally:
        _chosen.reset(token)


def padded_activation(
    x: Tensor,
    low: Tensor | None = None,
    *,
    scale: Tensor,
    shift: Tensor,
    groups: int,
    eps: float,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return wrap(silu(norm(y) · scale + shift)), the padded input (B, C, H + 2, W + 2) of a convolution, x and low.

    The result has the type of autocast if that is on, else that of `x`. Use the returned `x` and `low` for a residual:
    their gradients are added in the same pass.

    Args:
        x: maps (B, C₂, H, W).
        low: maps (B, C₁, H / 2, W / 2); y is then their nearest upsampling with the channels of `x` behind it.
        scale: of each map and channel, (B, C) in float32 with C = C₁ + C₂.
        shift: likewise.
        groups: groups of channels that are normalised together.
        eps: added to the variance.
        bias: added to the channels of `x` before the norm, (C₂,); only without `low`.
    """
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else x.dtype
    result: tuple[Tensor, Tensor, Tensor | None] = _PaddedActivation.apply(  # type: ignore[no-untyped-call]
        x, low, scale, shift, bias, groups, eps, dtype
    )
    return result


def affine(norm: nn.GroupNorm, count: int) -> dict[str, Any]:
    """Return the arguments of `padded_activation` for `count` maps under an affine GroupNorm."""
    scale, shift = norm.weight.expand(count, -1), norm.bias.expand(count, -1)
    return {"scale": scale, "shift": shift, "groups": norm.num_groups, "eps": norm.eps}


def wrapped(x: Tensor) -> Tensor:
    """Return `x` (B, C, H, W) padded circularly by one pixel, in channels_last."""
    padded: Tensor = _Wrapped.apply(x)  # type: ignore[no-untyped-call]
    return padded


def joined(a: Tensor, b: Tensor, bias: Tensor, low: Tensor | None = None) -> Tensor:
    """Return a + b + bias (B, C, H, W), plus the nearest upsampling of `low` (B, C, H / 2, W / 2) if given."""
    total: Tensor = _Joined.apply(a, b, bias, low)  # type: ignore[no-untyped-call]
    return total


class _PaddedActivation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  (torch's signature)
        x: Tensor,
        low: Tensor | None,
        scale: Tensor,
        shift: Tensor,
        bias: Tensor | None,
        groups: int,
        eps: float,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        sources = passes.sources(x, low)
        moments = [passes.moments(source) for source in sources]
        means, variances = (torch.cat(parts, 1) for parts in zip(*moments, strict=True))
        shifted = means if bias is None else means + bias.float()
        mean, inverse = _of_groups(shifted, variances, groups, eps)
        centre = mean + (means - shifted)  # of the maps without bias
        factor = inverse * scale
        line = passes.Line(factor, shift - centre * factor)
        padded = passes.activated(sources, line, dtype)
        ctx.save_for_backward(x, low, scale, line.factor, line.term, centre, inverse, means)
        ctx.set_materialize_grads(False)  # of results that nobody used
        ctx.groups, ctx.has_bias = groups, bias is not None
        return padded, x.view_as(x), None if low is None else low.view_as(low)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *residuals: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, low, scale, factor, term, centre, inverse, means = ctx.saved_tensors
        sources, line = passes.sources(x, low), passes.Line(factor, term)
        gradient = passes.channels_last(gradient)
        for_shift, for_scale = passes.gradient_sums(sources, gradient, line, centre)
        for_scale = for_scale * inverse
        pixels = x.shape[2] * x.shape[3]
        count = pixels * scale.shape[1] // ctx.groups
        slope = -inverse.square() * _group_sums(scale * for_scale, ctx.groups) / count
        constant = -inverse * _group_sums(scale * for_shift, ctx.groups) / count - slope * centre
        more = passes.Line(slope, constant)
        for_x = passes.input_gradient(sources[-1], gradient, line, more, residuals[0])
        for_low = None if low is None else passes.input_gradient(sources[0], gradient, line, more, residuals[1])
        for_bias = None
        if ctx.has_bias:
            for_bias = (factor * for_shift + pixels * (constant + slope * means)).sum(0)
        return for_x, for_low, for_scale, for_shift, for_bias, None, None, None


class _Wrapped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        return passes.activated(passes.sources(x), None, x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        return passes.wrapped_gradient(passes.channels_last(gradient))


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, bias: Tensor, low: Tensor | None) -> Tensor:  # noqa: ANN401
        ctx.has_low = low is not None
        return passes.joined(a, b, bias, low)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        gradient = passes.channels_last(gradient)
        for_bias, for_low = passes.joined_gradient(gradient, has_low=ctx.has_low)
        return gradient, gradient, for_bias, for_low


def _of_groups(means: Tensor, variances: Tensor, groups: int, eps: float) -> tuple[Tensor, Tensor]:
    """Return mean and inverse standard deviation of the group of each channel, (B, C)."""
    by_group = means.view(len(means), groups, -1)
    mean = by_group.mean(2, keepdim=True)
    variance = (variances.view_as(by_group) + (by_group - mean).square()).mean(2, keepdim=True)
    inverse = torch.rsqrt(variance + eps)
    return mean.expand_as(by_group).flatten(1), inverse.expand_as(by_group).flatten(1)


def _group_sums(values: Tensor, groups: int) -> Tensor:
    """Return the sum over the group of each channel, (B, C)."""
    by_group = values.view(len(values), groups, -1)
    return by_group.sum(2, keepdim=True).expand_as(by_group).flatten(1)
