"""Drawing pairs of real and generated maps at the same parameters, on one colour scale: a run's thumbnails."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focus_engine.events.table import SamplesDrawn
from focus_engine.units import SURFACE_DENSITY
from focus_tui.charts.half_blocks import draw_maps
from focus_tui.terminal import ColorDepth, fitted

Array = NDArray[np.float64]
GAP = 2
"""Columns between the maps of a pair."""
APART = 4
"""Columns between pairs."""
LABEL_ROWS = 2
"""Text rows above each row of pairs: the parameters, and which map is real."""


def shades_of(event: SamplesDrawn, channel: int = 0) -> tuple[float, float]:
    """Return the values of the lowest and the highest byte of a channel, as in `SamplesDrawn`."""
    low, high = (event.low, event.high) if channel == 0 else event.other_ranges[channel - 1]
    return float(low), float(high)


def thumbnails(event: SamplesDrawn, channel: int = 0) -> tuple[list[Array], list[Array]]:
    """Return the real and the generated maps (H, W) of a channel, in physical units or those of a normalised field.

    Raises ValueError when the bytes or their range are not those of maps.
    """
    low, high = shades_of(event, channel)
    if not -300 < low <= high < 300:
        raise ValueError(f"a range of 10^{low} to 10^{high} is none of maps")
    real, generated = event.real, event.generated
    if channel:
        real, generated = event.other_real[channel - 1], event.other_generated[channel - 1]

    def decode(text: str) -> Array:
        levels = np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(event.height, event.width)
        values = low + (high - low) * levels / 255
        return np.asarray(values if event.normalised else 10**values, dtype=np.float64)

    return [decode(text) for text in real], [decode(text) for text in generated]


@dataclass(frozen=True)
class Arrangement:
    """The layout of pairs: `across` pairs in each of `rows` rows, each map of `width` columns and `height` rows."""

    across: int
    rows: int
    width: int
    height: int

    @property
    def shown(self) -> int:
        """The number of pairs that fit."""
        return self.across * self.rows


def arrange(pairs: int, side: tuple[int, int], width: int, height: int) -> Arrangement | None:
    """Return the layout of up to `pairs` pairs of maps of `side` (H, W) pixels; None where there is no room.

    Resolution comes first, up to that of the maps; then the number of pairs.
    """
    best: tuple[tuple[float, int, float], Arrangement] | None = None
    for rows in range(1, pairs + 1):
        for across in range(1, -(-pairs // rows) + 1):
            high = (height - 1) // rows - LABEL_ROWS
            wide = ((width - APART * (across - 1)) // across - GAP) // 2
            scale = min(2 * high / side[0], wide / side[1])
            if high < 2 or wide < 4:
                continue
            used = max(1, min(wide, int(side[1] * _whole(scale) + 1e-9)))
            tall = max(1, min(high, int(side[0] * _whole(scale) + 1e-9) // 2))
            score = (min(scale, 1.0), min(pairs, rows * across), scale)
            if best is None or score > best[0]:
                best = (score, Arrangement(across, rows, used, tall))
    return None if best is None else best[1]


def _whole(scale: float) -> float:
    """Return the scale that `draw_maps` uses: maps are enlarged by whole factors only."""
    return float(int(scale)) if scale >= 1 else scale


def draw_pairs(
    real: Sequence[Array],
    generated: Sequence[Array],
    *,
    width: int,
    height: int,
    vmin: float,
    vmax: float,
    labels: Sequence[str] = (),
    colormap: str = "magma",
    color_depth: ColorDepth = "truecolor",
    units: str = SURFACE_DENSITY,
) -> str:
    """Return as many pairs as fit, the real map on the left, on one colour scale with its bar below.

    `labels` are the parameters above each pair.
    """
    pairs = min(len(real), len(generated))
    if not pairs:
        return "no maps yet"
    place = arrange(pairs, (real[0].shape[0], real[0].shape[1]), width, height)
    if place is None:
        return fitted("too small for maps", max(1, width)).rstrip()

    def drawn(maps: Sequence[Array], wide: int, high: int) -> list[str]:
        text = draw_maps(
            list(maps),
            width=wide,
            height=high,
            units=units,
            colormap=colormap,
            color_depth=color_depth,
            vmin=vmin,
            vmax=vmax,
        )
        return text.split("\n")

    lines: list[str] = []
    for first in range(0, min(pairs, place.shown), place.across):
        chosen = range(first, min(first + place.across, pairs))
        block = [drawn([real[i], generated[i]], 2 * place.width + GAP, place.height + 1)[:-1] for i in chosen]
        lines += _heads([labels[i] if i < len(labels) else "" for i in chosen], place)
        lines += [(" " * APART).join(parts).rstrip() for parts in zip(*block, strict=True)]
    return "\n".join([*lines, drawn(real[:1], width, height)[-1]])


def _heads(labels: Sequence[str], place: Arrangement) -> list[str]:
    """Return the two lines above a row of pairs: the parameters over both maps, the words over each."""
    wide = 2 * place.width + GAP
    names = " " * APART
    words = [fitted("real", place.width) + " " * GAP + fitted("generated", place.width) for _ in labels]
    first = names.join(fitted(label, wide) for label in labels)
    return [first.rstrip(), names.join(words).rstrip()]
