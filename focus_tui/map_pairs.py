"""Real maps above generated ones at the same parameters, on one colour scale: the thumbnails of a run."""

import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from focus_engine.events import SamplesDrawn
from focus_tui.half_blocks import SURFACE_DENSITY, ColorDepth, draw_maps
from focus_tui.terminal import cells

Array = NDArray[np.float64]
GAP = 2
LABEL_ROWS = 1


def thumbnails(event: SamplesDrawn) -> tuple[list[Array], list[Array]]:
    """Return the real and the generated maps (H, W) of an event, in physical units.

    Raises ValueError when the bytes are not those of maps.
    """

    def decode(text: str) -> Array:
        levels = np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(event.height, event.width)
        return np.asarray(10 ** (event.low + (event.high - event.low) * levels / 255), dtype=np.float64)

    return [decode(text) for text in event.real], [decode(text) for text in event.generated]


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
) -> str:
    """Return as many pairs as fit, real maps in the upper row and generated ones below, with one colour bar.

    A map is drawn as large as half the height lets it; one row of text a map row, labels of the pairs on top.
    """
    pairs = min(len(real), len(generated))
    if not pairs:
        return "no maps yet"
    rows, side = real[0].shape
    inner = (height - LABEL_ROWS - 1) // 2  # text rows of one map: a label line above all, the bar below all
    if inner < 3 or width < 12:
        return "too small for maps"
    across = min(width, max(1, round(2 * inner * side / rows)))
    fitting = max(1, min(pairs, (width + GAP) // (across + GAP)))
    room = fitting * (across + GAP) - GAP

    def drawn(maps: Sequence[Array], wide: int, high: int) -> list[str]:
        text = draw_maps(
            list(maps),
            width=wide,
            height=high,
            units=SURFACE_DENSITY,
            colormap=colormap,
            color_depth=color_depth,
            vmin=vmin,
            vmax=vmax,
        )
        return text.split("\n")

    *upper, _ = drawn(real[:fitting], room, inner + 1)
    *lower, _ = drawn(generated[:fitting], room, inner + 1)
    bar = drawn(real[:1], width, height)[-1]
    head = _labels(labels[:fitting], across, width)
    return "\n".join([head, *upper, *lower, bar])


def _labels(labels: Sequence[str], across: int, width: int) -> str:
    text = "".join(label[:across].ljust(across + GAP) for label in labels)
    return text[:width] if cells(text) > width else text
