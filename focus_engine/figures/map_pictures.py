"""Pairs of real and generated maps as HTML figures with inline PNG pictures."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from focus_engine.figures.panels import MAP_COLOURS, colour_scale

Maps = NDArray[Any]

MAX_PAIRS = 6
"""Most pairs of maps of a report."""
MAX_SIDE = 256
"""Longest side of a picture [pixels]; pixels of larger maps are averaged."""
MAX_PIXELS = 1_800_000
"""Most pixels of all pictures of a report, of 4/3 bytes each where they are noise: 2.4 MB of the 5 MB of a report."""


def map_pairs(
    real: Maps, generated: Maps, params: Maps, names: Sequence[str], *, fields: Sequence[str] = (), units: Sequence[str]
) -> str:
    """Return figures of real beside generated maps (n, C, H, W) of the C `fields`.

    The maps of a field share one colour scale. Pictures of many fields are smaller, so that all have `MAX_PIXELS`.
    """
    channels = real.shape[1]
    most = min(len(real), len(generated))
    rows = np.unique(np.linspace(0, most - 1, min(most, max(1, MAX_PAIRS // channels))).round().astype(int))
    side = min(MAX_SIDE, math.isqrt(MAX_PIXELS // (2 * channels * len(rows))))
    figures = []
    for channel in range(channels):
        low, norm = colour_scale(np.asarray(real[rows, channel], dtype=np.float64), units[channel])
        which = f"{fields[channel]}, " if fields and fields[channel] else ""
        for row in rows:
            words = which + ", ".join(f"{name} = {value:.3g}" for name, value in zip(names, params[row], strict=False))
            pair = [
                f'<img alt="{kind} map, {escape(words, quote=True)}" src="{_picture(picture, low, norm)}">'
                for kind, maps in (("real", real), ("generated", generated))
                for picture in [_reduced(maps[row, channel], side)]
            ]
            caption = f"<figcaption>real, generated{': ' if words else ''}{escape(words)}</figcaption>"
            figures.append(f'<figure class="pair">{"".join(pair)}{caption}</figure>')
    return f'<div class="pairs">{"".join(figures)}</div>'


def _picture(values: Maps, low: float, norm: Any) -> str:  # noqa: ANN401  (a matplotlib Normalize)
    """Return a map (H, W) as the data URI of a PNG with 256 colours; rows grow upwards, as in the other figures."""
    shades = np.asarray(norm(np.maximum(values, low)))
    image = Image.fromarray(np.clip(np.round(255 * shades), 0, 255).astype(np.uint8)[::-1])
    image.putpalette((255 * mpl.colormaps[MAP_COLOURS](np.arange(256))[:, :3]).round().astype(np.uint8).tobytes())
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _reduced(values: Maps, side: int) -> Maps:
    """Return the map with pixels averaged in blocks until no side is over `side`; a rest at the edges is cut."""
    block = -(-max(values.shape) // side)
    height, width = (length // block for length in values.shape)
    blocks = values[: height * block, : width * block].astype(np.float64).reshape(height, block, width, block)
    return np.asarray(blocks.mean(axis=(1, 3)))
