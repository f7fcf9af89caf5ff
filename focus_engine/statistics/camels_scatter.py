"""Scatter of P(k) between real CAMELS maps at fixed parameters, for comparison in reports.

From the 27 simulations of the CV set at the fiducial parameters. It is absolute, and so holds near these alone.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.units import SURFACE_DENSITY

BOX_SIZE, PIXELS = 25.0, 256
"""Side [Mpc/h] and pixels of a side of the maps of CAMELS."""


def cv_scatter(
    k: ArrayLike, field: str, box_size: float, shape: tuple[int, ...], units: str
) -> NDArray[np.float64] | None:
    """Return the standard deviation of P(k) [(Mpc/h)²] of single CV maps at k [h/Mpc].

    None unless box, resolution and unit are those of CAMELS and the field is known. A field without a name is taken for
    total matter, Mcdm. Values beyond the measured k are NaN.

    Args:
        k: (n_bins,) h/Mpc.
        field: name of the field, such as Mcdm; empty if unknown.
        box_size: side of the maps [Mpc/h].
        shape: (H, W) pixels.
        units: unit of the map values.
    """
    table = _table()
    std = table["std"].get(field or "Mcdm")
    if std is None or units != SURFACE_DENSITY or tuple(shape) != (PIXELS, PIXELS) or abs(box_size - BOX_SIZE) > 1e-3:
        return None
    at = np.log(np.asarray(k, dtype=np.float64))
    found = np.interp(at, np.log(table["k"]), np.log(std), left=np.nan, right=np.nan)
    return np.asarray(np.exp(found), dtype=np.float64)


@cache
def _table() -> dict[str, Any]:
    text = files("focus_engine.statistics").joinpath("camels_cv_scatter.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
