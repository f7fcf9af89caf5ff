"""Triton kernels of `pixel_passes`, each one pass over the pixels of maps in channels_last.

In this layout the channels of a pixel are adjacent: a tensor (N, C, H, W) is H · W rows of C values for each map. A
tile of pixels and channels is computed in float32. No kernel adds atomically, so that results repeat bit for bit.
"""

import triton
import triton.language as tl


@triton.jit
def moments_kernel(
    x, partial, pixels, channels, span, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr
):  # program: (map, span of pixels, block of channels)
    """Sums of x − x₀ and (x − x₀)² over each span of pixels, with the map's first pixel x₀: (N, spans, 2, C)."""
    n, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    known = c < channels
    x += n * pixels * channels
    origin = tl.load(x + c, mask=known, other=0.0).to(tl.float32)[None, :]
    first = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    second = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    start = part * span
    for begin in range(start, tl.minimum(start + span, pixels), BLOCK_P):
        p = begin + tl.arange(0, BLOCK_P)
        mask = (p < tl.minimum(start + span, pixels))[:, None] & known[None, :]
        value = tl.load(x + p[:, None] * channels + c[None, :], mask=mask, other=0.0).to(tl.float32)
        value = tl.where(mask, value - origin, 0.0)
        first += value
        second += value * value
    partial += (n * tl.num_programs(1) + part) * 2 * channels
    tl.store(partial + c, tl.sum(first, 0), mask=known)
    tl.store(partial + channels + c, tl.sum(second, 0), mask=known)


@triton.jit
def activate_kernel(
    x,
    factor,
    term,
    out,
    height,
    width,
    channels,
    out_channels,
    place,
    UP: tl.constexpr,
    ACTIVE: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):  # program: (block of padded pixels, block of channels, map)
    """Write wrap(upsample(silu(factor · x + term))) in the channels from `place`; without ACTIVE out = wrap(x)."""
    n = tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    rows, columns = height * UP, width * UP
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    row, column = p // (columns + 2), p % (columns + 2)
    i, j = (row + rows - 1) % rows // UP, (column + columns - 1) % columns // UP
    known = c < channels
    mask = (p < (rows + 2) * (columns + 2))[:, None] & known[None, :]
    x += n * height * width * channels
    value = tl.load(x + (i * width + j)[:, None] * channels + c[None, :], mask=mask, other=0.0)
    if ACTIVE:
        u = value.to(tl.float32) * tl.load(factor + n * out_channels + place + c, mask=known, other=0.0)[None, :]
        u += tl.load(term + n * out_channels + place + c, mask=known, other=0.0)[None, :]
        value = u * tl.sigmoid(u)
    out += n * (rows + 2) * (columns + 2) * out_channels + place
    tl.store(out + p[:, None] * out_channels + c[None, :], value.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _folded(gradient, row, column, c, mask, rows, columns, out_channels):
    """Gradient of pixels of one row of the torus, summed over their copies in the padded maps (rows, columns > 1)."""
    stride = (columns + 2) * out_channels
    inner = gradient + ((column + 1) * out_channels)[:, None] + c[None, :]
    border = (column == 0) | (column == columns - 1)
    copy = gradient + (tl.where(column == 0, columns + 1, 0) * out_channels)[:, None] + c[None, :]
    bordering = mask & border[:, None]
    total = tl.load(inner + (row + 1) * stride, mask=mask, other=0.0).to(tl.float32)
    total += tl.load(copy + (row + 1) * stride, mask=bordering, other=0.0).to(tl.float32)
    if (row == 0) | (row == rows - 1):
        other = tl.where(row == 0, rows + 1, 0) * stride
        total += tl.load(inner + other, mask=mask, other=0.0).to(tl.float32)
        total += tl.load(copy + other, mask=bordering, other=0.0).to(tl.float32)
    return total


@triton.jit
def _gradient_of_pixels(gradient, i, j, c, mask, height, width, out_channels, UP: tl.constexpr):
    """Gradient of pixels (i, j) before the upsampling: the sum over the UP² pixels that each becomes."""
    total = _folded(gradient, i * UP, j * UP, c, mask, height * UP, width * UP, out_channels)
    for one in tl.static_range(1, UP * UP):
        row, column = i * UP + one // UP, j * UP + one % UP
        total += _folded(gradient, row, column, c, mask, height * UP, width * UP, out_channels)
    return total


@triton.jit
def _slope(u):
    """Derivative of silu."""
    s = tl.sigmoid(u)
    return s * (1.0 + u * (1.0 - s))


@triton.jit
def gradient_sums_kernel(
    x,
    gradient,
    factor,
    term,
    mean,
    partial,
    height,
    width,
    channels,
    out_channels,
    place,
    span,
    UP: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):  # program: (map, span of rows, block of channels)
    """Sums of du and du · (x − mean) over each span of rows, u being the argument of silu: (N, spans, 2, C)."""
    n, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    known = c < channels
    x += n * height * width * channels
    gradient += n * (height * UP + 2) * (width * UP + 2) * out_channels + place
    f = tl.load(factor + n * out_channels + place + c, mask=known, other=0.0)[None, :]
    t = tl.load(term + n * out_channels + place + c, mask=known, other=0.0)[None, :]
    m = tl.load(mean + n * out_channels + place + c, mask=known, other=0.0)[None, :]
    first = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    second = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for i in range(part * span, tl.minimum(part * span + span, height)):
        for begin in range(0, width, BLOCK_P):
            j = begin + tl.arange(0, BLOCK_P)
            mask = (j < width)[:, None] & known[None, :]
            value = tl.load(x + (i * width + j)[:, None] * channels + c[None, :], mask=mask, other=0.0).to(tl.float32)
            du = _gradient_of_pixels(gradient, i, j, c, mask, height, width, out_channels, UP) * _slope(value * f + t)
            first += du
            second += du * (value - m)  # du is 0 where masked
    partial += (n * tl.num_programs(1) + part) * 2 * channels
    tl.store(partial + c, tl.sum(first, 0), mask=known)
    tl.store(partial + channels + c, tl.sum(second, 0), mask=known)


@triton.jit
def gradient_kernel(
    x,
    gradient,
    factor,
    term,
    slope,
    constant,
    residual,
    out,
    height,
    width,
    channels,
    out_channels,
    place,
    UP: tl.constexpr,
    ACTIVE: tl.constexpr,
    ADDS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):  # program: (row, block of columns, block of channels) with rows of all maps
    """Write factor · du + UP² · (slope · x + constant) + residual; without ACTIVE the gradient of `wrap` alone."""
    line = tl.program_id(0)
    n, i = (line // height).to(tl.int64), line % height
    j = tl.program_id(1) * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    known = c < channels
    mask = (j < width)[:, None] & known[None, :]
    gradient += n * (height * UP + 2) * (width * UP + 2) * out_channels + place
    result = _gradient_of_pixels(gradient, i, j, c, mask, height, width, out_channels, UP)
    here = n * height * width * channels + (i * width + j)[:, None] * channels + c[None, :]
    if ACTIVE:
        value = tl.load(x + here, mask=mask, other=0.0).to(tl.float32)
        there = n * out_channels + place + c
        f = tl.load(factor + there, mask=known, other=0.0)[None, :]
        result *= f * _slope(value * f + tl.load(term + there, mask=known, other=0.0)[None, :])
        more = value * tl.load(slope + there, mask=known, other=0.0)[None, :]
        result += UP * UP * (more + tl.load(constant + there, mask=known, other=0.0)[None, :])
    if ADDS:
        result += tl.load(residual + here, mask=mask, other=0.0)
    tl.store(out + here, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def join_kernel(
    a,
    b,
    low,
    bias,
    out,
    height,
    width,
    channels,
    HAS_LOW: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):  # program: (block of pixels, block of channels, map)
    """Write a + b + bias + upsample(low)."""
    n = tl.program_id(2).to(tl.int64)
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    known = c < channels
    mask = (p < height * width)[:, None] & known[None, :]
    here = n * height * width * channels + p[:, None] * channels + c[None, :]
    total = tl.load(a + here, mask=mask, other=0.0).to(tl.float32) + tl.load(b + here, mask=mask, other=0.0)
    total += tl.load(bias + c, mask=known, other=0.0)[None, :]
    if HAS_LOW:
        below = (p // width // 2) * (width // 2) + p % width // 2
        low += n * (height // 2) * (width // 2) * channels
        total += tl.load(low + below[:, None] * channels + c[None, :], mask=mask, other=0.0)
    tl.store(out + here, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def join_gradient_kernel(
    gradient,
    low,
    partial,
    height,
    width,
    channels,
    span,
    UP: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):  # program: (map, span of rows of `low`, block of channels)
    """Sum of the gradient over each span of rows, (N, spans, C), and with UP 2 over the pixels from one of `low`.

    `height` and `width` are those of the maps divided by UP.
    """
    n, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    known = c < channels
    gradient += n * height * width * UP * UP * channels
    sums = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for i in range(part * span, tl.minimum(part * span + span, height)):
        for begin in range(0, width, BLOCK_P):
            j = begin + tl.arange(0, BLOCK_P)
            mask = (j < width)[:, None] & known[None, :]
            total = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
            for one in tl.static_range(0, UP * UP):
                pixel = (i * UP + one // UP) * width * UP + j * UP + one % UP
                total += tl.load(gradient + pixel[:, None] * channels + c[None, :], mask=mask, other=0.0)
            if UP == 2:
                place = n * height * width * channels + (i * width + j)[:, None] * channels + c[None, :]
                tl.store(low + place, total.to(low.dtype.element_ty), mask=mask)
            sums += total
    tl.store(partial + (n * tl.num_programs(1) + part) * channels + c, tl.sum(sums, 0), mask=known)
