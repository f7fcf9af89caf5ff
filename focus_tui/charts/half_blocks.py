"""Drawing maps as text: two pixels per character, the upper half block ▀ with one colour above and one below.

This works in every colour terminal, over SSH and inside tmux. Maps drawn together share one logarithmic colour scale,
whose bar states physical units. With 16 colours the scale has six steps; without colours, shades of ink show density.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.units import NORMALISED, SURFACE_DENSITY
from focus_tui.charts.ticks import number
from focus_tui.terminal import ColorDepth, cells, cut, fitted

Array = NDArray[np.float64]

_GAP = 2  # columns between maps
_SHADES = " ░▒▓█"
# 17 evenly spaced colours of each map of matplotlib (BSD/CC0), interpolated linearly.
_STOPS = {
    "magma": "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 "
    "d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf",
    "viridis": "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c "
    "1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725",
    "inferno": "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 "
    "d24644 e45a31 f1731d f98e09 fcac11 f9cb35 f2ea69 fcffa4",
}
# The ANSI colours, dark to bright, used where there are only 16; the terminal's theme defines them.
_STEPS = {"magma": (0, 4, 5, 13, 11, 15), "viridis": (5, 4, 6, 2, 10, 11), "inferno": (0, 5, 1, 9, 11, 15)}


def draw_map(
    map2d: ArrayLike,
    *,
    width: int,
    height: int,
    colormap: str = "magma",
    vmin: float | None = None,
    vmax: float | None = None,
    color_depth: ColorDepth = "truecolor",
    units: str = SURFACE_DENSITY,
    title: str = "",
) -> str:
    """Return a map (H, W) as text of at most `width` × `height` characters, with its colour bar below."""
    return draw_maps(
        [map2d],
        width=width,
        height=height,
        colormap=colormap,
        vmin=vmin,
        vmax=vmax,
        color_depth=color_depth,
        units=units,
        titles=[title] if title else (),
    )


def draw_maps(
    maps: Sequence[ArrayLike],
    *,
    width: int,
    height: int,
    titles: Sequence[str] = (),
    colormap: str = "magma",
    vmin: float | None = None,
    vmax: float | None = None,
    color_depth: ColorDepth = "truecolor",
    units: str = SURFACE_DENSITY,
) -> str:
    """Return maps (H, W) side by side as text, on one logarithmic colour scale from vmin to vmax.

    The scale is linear where `units` is NORMALISED. The default limits are the 0.5th and the 99.9th percentile of the
    first map. Pixels keep their shape: maps that do not fit are averaged, maps much smaller than the space are
    enlarged by whole factors. The second axis runs to the right and the first upwards, as in the PNGs.
    """
    fields = [np.asarray(one, dtype=np.float64) for one in maps]
    log = units != NORMALISED
    low, high = _limits(fields[0], vmin, vmax, log=log)
    columns = (width - _GAP * (len(fields) - 1)) // len(fields)
    rows = 2 * (height - 1 - bool(titles))
    if columns < 2 or rows < 2:
        return cut("too small for maps", width)
    pictures = [
        _lines(_share(_shape(one, rows, columns)[::-1], low, high, log=log), colormap, color_depth) for one in fields
    ]
    wide = [_shape(one, rows, columns).shape[1] for one in fields]
    lines = [(" " * _GAP).join(parts) for parts in zip(*pictures, strict=True)]
    if titles:
        heads = [fitted(title, columns) for title, columns in zip([*titles, *[""] * len(wide)], wide, strict=False)]
        lines.insert(0, (" " * _GAP).join(heads).rstrip())
    lines.append(_colour_bar(low, high, colormap, color_depth, units, width))
    return "\n".join(lines)


def _limits(field: Array, vmin: float | None, vmax: float | None, *, log: bool) -> tuple[float, float]:
    if not log:
        finite = field[np.isfinite(field)]
        low, high = np.percentile(finite, [0.5, 99.9]) if finite.size else (0.0, 1.0)
        low, high = float(low if vmin is None else vmin), float(high if vmax is None else vmax)
        return low, max(high, low + 1e-6)
    positive = field[np.isfinite(field) & (field > 0)]
    low, high = np.percentile(positive, [0.5, 99.9]) if positive.size else (1.0, 10.0)
    low, high = vmin or float(low), vmax or float(high)
    return low, max(high, low * 1.0001)


def _shape(field: Array, rows: int, columns: int) -> Array:
    """Return a map averaged or enlarged to an even number of at most `rows`, and at most `columns`, pixels."""
    scale = min(rows / field.shape[0], columns / field.shape[1])
    if scale >= 2:
        scale = float(int(scale))
    elif scale >= 1:
        scale = 1.0
    height = max(2, int(field.shape[0] * scale + 1e-9) // 2 * 2)
    wide = max(1, int(field.shape[1] * scale + 1e-9))
    return _averaged(_averaged(field, height).T, wide).T


def _averaged(field: Array, n: int) -> Array:
    """Return the means over `n` equal intervals along the first axis; pixels are constant inside."""
    cumulative = np.concatenate([np.zeros((1, field.shape[1])), np.cumsum(field, axis=0)])
    edges = np.linspace(0, field.shape[0], n + 1)
    whole = np.minimum(edges.astype(int), field.shape[0] - 1)
    at_edges = cumulative[whole] + (edges - whole)[:, None] * field[whole]
    return np.asarray(np.diff(at_edges, axis=0) * (n / field.shape[0]), dtype=np.float64)


def _share(field: Array, low: float, high: float, *, log: bool) -> Array:
    """Return the positions of the pixels on the colour scale, 0 to 1."""
    safe = np.nan_to_num(field, nan=low, posinf=high, neginf=low).clip(low, high)
    if not log:
        return np.asarray((safe - low) / (high - low), dtype=np.float64)
    return np.asarray(np.log(safe / low) / np.log(high / low), dtype=np.float64)


def _lines(share: Array, colormap: str, depth: ColorDepth) -> list[str]:
    if depth is None:
        ink = (share[::2] + share[1::2]) / 2
        return ["".join(_SHADES[int(v * (len(_SHADES) - 1) + 0.5)] for v in row) for row in ink]
    codes = _codes(share, colormap, depth)
    return [_coloured(upper, lower) for upper, lower in zip(codes[::2], codes[1::2], strict=True)]


def _coloured(upper: Sequence[str], lower: Sequence[str]) -> str:
    """Return a row of half blocks, with a colour code only where the colour changes."""
    parts, before = [], ("", "")
    for above, below in zip(upper, lower, strict=True):
        change = [_ground(above, 30)] * (above != before[0]) + [_ground(below, 40)] * (below != before[1])
        parts.append((f"\x1b[{';'.join(change)}m" if change else "") + "▀")
        before = (above, below)
    return "".join(parts) + "\x1b[0m"


def _ground(code: str, base: int) -> str:
    """Return the SGR parameters of a colour, `base` 30 for the foreground and 40 for the background."""
    if not code.isdigit():
        return f"{base + 8};{code}"
    return str(base + int(code) if int(code) < 8 else base + 52 + int(code))


def _codes(share: Array, colormap: str, depth: ColorDepth) -> list[list[str]]:
    """Return the colour part of an SGR sequence, or the number of an ANSI colour, for each value (rows, columns)."""
    if depth == "16":
        steps = np.array(_STEPS[colormap])
        return [[str(step) for step in row] for row in steps[(share * (len(steps) - 1) + 0.5).astype(int)].tolist()]
    stops = np.array([[int(stop[i : i + 2], 16) for i in (0, 2, 4)] for stop in _STOPS[colormap].split()])
    at = np.linspace(0, 1, len(stops))
    rgb = np.stack([np.interp(share, at, stops[:, i]) for i in range(3)], axis=-1).round().astype(int)
    if depth == "truecolor":
        return [[f"2;{r};{g};{b}" for r, g, b in row] for row in rgb.tolist()]
    levels = np.array([0, 95, 135, 175, 215, 255])
    cube = np.abs(rgb[..., None] - levels).argmin(axis=-1)
    return [[f"5;{16 + 36 * r + 6 * g + b}" for r, g, b in row] for row in cube.tolist()]


def _colour_bar(low: float, high: float, colormap: str, depth: ColorDepth, units: str, width: int) -> str:
    left, right = f"{number(low)} ", f" {number(high)} {units}"
    length = min(24, width - cells(left) - cells(right))
    if length < 4:
        return cut(f"{number(low)} – {number(high)} {units}", width)
    share = np.linspace(0, 1, length)[None, :]
    if depth is None:
        bar = "".join(_SHADES[int(v * (len(_SHADES) - 1) + 0.5)] for v in share[0])
    else:
        codes = _codes(share, colormap, depth)[0]
        bar = _coloured(codes, codes)
    return left + bar + right
