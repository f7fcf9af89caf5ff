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
    stacked = min(2 * inner, rows if 2 * inner >= rows else 2 * inner)
    across = max(1, round(stacked * side / rows))
    if across > width or across * 2 + GAP <= width < across * 1:
        across = width
    fitting = max(1, min(pairs, (width + GAP) // (across + GAP)))
    room = fitting * (across + GAP) - GAP
    keywords = {"colormap": colormap, "color_depth": color_depth, "vmin": vmin, "vmax": vmax}
    upper = _picture(real[:fitting], room, inner, **keywords)
    lower = _picture(generated[:fitting], room, inner, **keywords)
    bar = draw_maps([real[0]], width=width, height=height, units=SURFACE_DENSITY, **keywords).split("\n")[-1]
    head = _labels(labels[:fitting], across, width)
    return "\n".join([head, *upper, *lower, bar])


def _picture(maps: Sequence[Array], width: int, rows: int, **keywords: object) -> list[str]:
    """The lines of maps side by side, without title and colour bar."""
    drawn = draw_maps(list(maps), width=width, height=rows + 1, **keywords)  # type: ignore[arg-type]
    return drawn.split("\n")[:-1]


def _labels(labels: Sequence[str], across: int, width: int) -> str:
    text = "".join(label[:across].ljust(across + GAP) for label in labels)
    return text[:width] if cells(text) > width else text
