"""The scatter of P(k) between real CAMELS maps of one cosmology, a reference for the scatter of other maps.

The 405 maps of the IllustrisTNG CV set (27 simulations at the fiducial point, 15 maps each). The published file holds
variances and no mean, so that relative scatter needs a mean P(k) of maps at the fiducial point.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import InputError
from focus_engine.units import SURFACE_DENSITY

_FILE = "camels_cv_scatter.json"
_TOLERANCE = 1e-3  # relative: 25 Mpc/h is written with three to six digits
FIELD = "Mcdm"
"""The packaged field."""
SOURCE = "the CV set of CAMELS"
"""Name of the set in figures and reports."""


@dataclass(frozen=True, eq=False)
class CamelsScatter:
    """The scatter of P(k) of one field of CAMELS CV, at Omega_m = 0.3 and sigma_8 = 0.8.

    P(k) is that of δ = f / mean(f) − 1, in bins of |k| / k_F rounded to the nearest integer. Its bins are therefore
    centred on n k_F, half a bin below the bins [n, n + 1) k_F of `focus_engine.statistics.power`.

    Attributes:
        k: (128,) centres n k_F of the bins [h/Mpc], n = 1 … 128.
        std_map: (128,) standard deviation of P(k) over all maps [(Mpc/h)²].
        std_simulation: (128,) standard deviation of the means of the 15 maps of a simulation [(Mpc/h)²].
        box_size: side of the maps [Mpc/h].
        map_size: pixels per side.
        simulations: number of simulations.
        maps_per_simulation: maps of each simulation.
        source: where the numbers were published.
    """

    k: NDArray[np.float64]
    std_map: NDArray[np.float64]
    std_simulation: NDArray[np.float64]
    box_size: float
    map_size: int
    simulations: int
    maps_per_simulation: int
    source: str

    @property
    def effective_maps(self) -> NDArray[np.float64]:
        """(128,) number of independent maps with the scatter of a simulation's mean: (std_map / std_simulation)²."""
        return np.asarray((self.std_map / self.std_simulation) ** 2)

    def fits(self, box_size: float, map_size: int) -> bool:
        """Return whether maps of this box [Mpc/h] and resolution may be shown beside this scatter."""
        return map_size == self.map_size and abs(box_size / self.box_size - 1) < _TOLERANCE

    def at(self, k: ArrayLike) -> NDArray[np.float64]:
        """Return `std_map` at wavenumbers k [h/Mpc], interpolated in log k; NaN outside the measured range."""
        found = np.interp(np.log(k), np.log(self.k), np.log(self.std_map), left=np.nan, right=np.nan)
        return np.asarray(np.exp(found))


@cache
def camels_cv_scatter(field: str = FIELD) -> CamelsScatter:
    """Return the scatter of P(k) between the CAMELS CV maps of a field; only `Mcdm` is packaged.

    Raises:
        InputError: there is no such field.
    """
    document = json.loads(files("focus_engine.statistics").joinpath(_FILE).read_text(encoding="utf-8"))
    if field not in document["fields"]:
        raise InputError(
            f"CAMELS CV scatter of field {field!r} is not packaged; fields: {', '.join(document['fields'])}"
        )
    curves: dict[str, Any] = {name: np.array(values) for name, values in document["fields"][field].items()}
    numbers = ("box_size", "map_size", "simulations", "maps_per_simulation", "source")
    return CamelsScatter(k=np.array(document["k"]), **curves, **{name: document[name] for name in numbers})


def camels_scatter_like(field: str, unit: str, box_size: float, shape: tuple[int, ...]) -> CamelsScatter | None:
    """Return the scatter to show beside P(k) of these maps; None unless they are like those of CAMELS.

    Args:
        field: name of the field; a field without a name is taken for total matter.
        unit: its unit.
        box_size: side of the maps along the last axis [Mpc/h].
        shape: (H, W) pixels.
    """
    scatter = camels_cv_scatter()
    height, width = shape
    like = (field or FIELD) == FIELD and unit == SURFACE_DENSITY and height == width and scatter.fits(box_size, width)
    return scatter if like else None
