"""Parameters of a set of universes by design: a space-filling sequence, one point, one parameter at a time, corners.

`focus_engine.config.designs` has the table; each function here bears the name of a line of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from focus_engine.config.designs import DEFAULT_DESIGN, FIDUCIAL, design_named
from focus_engine.errors import InputError

DEFAULT_RANGES = {"Omega_m": (0.1, 0.5), "sigma_8": (0.6, 1.0)}
"""The ranges of the CAMELS LH sets."""

Ranges = dict[str, tuple[float, float]]
Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DesignedSet:
    """The parameters of a set of universes.

    Attributes:
        params: (simulations, 2) float64: Omega_m, sigma_8, rounded to 5 decimals as in CAMELS.
        fields: (simulations,) number of the initial field of each universe; equal numbers start from one field.
        ranges: the range of each parameter, for the record; equal ends for a parameter that does not vary.
    """

    params: Points
    fields: NDArray[np.int64]
    ranges: Ranges


def design_set(
    name: str, simulations: int, seed: int, given: Mapping[str, tuple[float, float]] | None = None
) -> DesignedSet:
    """Return the parameters of a design.

    Args:
        name: a name in `DESIGNS`.
        simulations: number of universes.
        seed: seed of a random design (LH).
        given: ranges instead of `DEFAULT_RANGES`; equal ends fix a parameter, also instead of its fiducial value.

    Raises:
        InputError: the design is unknown, or its ranges or its number of universes do not fit it.
    """
    spec = design_named(name)
    given = given or {}
    ranges = _ranges(given)
    if name != DEFAULT_DESIGN:
        ranges = _around_fiducial(name, ranges, given)
    params = np.clip(_POINTS[name](ranges, simulations, seed).round(5), *np.array(list(ranges.values())).T)
    fields = np.zeros(simulations, np.int64) if spec.shares_field else np.arange(simulations)
    return DesignedSet(params, fields, ranges)


def sobol(count: int, dimensions: int, seed: int) -> Points:
    """Return a scrambled Sobol sequence in the unit cube (Owen 1998), (count, dimensions)."""
    # This torch class is untyped.
    engine = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    unit: Points = engine.draw(count, dtype=torch.float64).numpy()
    return unit


def _ranges(given: Mapping[str, tuple[float, float]]) -> Ranges:
    for name in given:
        if name not in DEFAULT_RANGES:
            raise InputError(f"params_range: {name!r} can't vary; allowed are {', '.join(DEFAULT_RANGES)}")
    ranges = {name: given.get(name, default) for name, default in DEFAULT_RANGES.items()}
    for name, (low, high) in ranges.items():
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise InputError(f"params_range: {name} from {low:g} to {high:g}; give lowest and highest, in this order")
    return {name: (float(low), float(high)) for name, (low, high) in ranges.items()}


def _around_fiducial(design: str, ranges: Ranges, given: Mapping[str, tuple[float, float]]) -> Ranges:
    """Return the ranges of a design about the fiducial point, after checking that they fit it."""
    if design == "CV":
        for name, (low, high) in given.items():
            if low < high:
                raise InputError(
                    f"design CV has one value of each parameter, not {name} from {low:g} to {high:g}; "
                    f"give one value, or leave it out for the fiducial {FIDUCIAL[name]:g}"
                )
        return {name: given.get(name, (value, value)) for name, value in FIDUCIAL.items()}
    varying = _varying(ranges)
    if not varying:
        raise InputError(f"design {design} varies parameters, but each has one value only; give a range, or design CV")
    for name in varying if design == "1P" else ():
        low, high = ranges[name]
        if not low < FIDUCIAL[name] < high:
            raise InputError(
                f"design 1P varies {name} around its fiducial value {FIDUCIAL[name]:g}, which is not within "
                f"{low:g} to {high:g}; give a range that contains it, or one value"
            )
    return ranges


def _varying(ranges: Ranges) -> list[str]:
    return [name for name, (low, high) in ranges.items() if low < high]


def _space_filling(ranges: Ranges, simulations: int, seed: int) -> Points:
    """Return points of a scrambled Sobol sequence."""
    low, high = np.array(list(ranges.values())).T
    return np.asarray(low + (high - low) * sobol(simulations, len(ranges), seed))


def _one_point(ranges: Ranges, simulations: int, _seed: int) -> Points:
    return np.tile([low for low, _ in ranges.values()], (simulations, 1))


def _one_at_a_time(ranges: Ranges, simulations: int, _seed: int) -> Points:
    """Return the fiducial point, then equally many values of each varying parameter, ascending.

    The values below the fiducial one are evenly spaced from the end of the range, and so are those above it. With
    9 universes they are the steps of CAMELS: 0.1, 0.2, (0.3), 0.4, 0.5 in Omega_m.
    """
    varying = _varying(ranges)
    count, rest = divmod(simulations - 1, len(varying))
    if rest or count < 1:
        fewer = max(1, count) * len(varying) + 1
        raise InputError(
            f"simulations = {simulations}: design 1P has the fiducial universe and equally many for each of "
            f"{' and '.join(varying)}; give 1 + a multiple of {len(varying)}, such as {fewer} or {fewer + len(varying)}"
        )
    centre = np.array([FIDUCIAL[name] if name in varying else low for name, (low, _) in ranges.items()])
    points = [centre]
    for name in varying:
        moved = np.array([name == other for other in ranges])
        points += [np.where(moved, value, centre) for value in _steps(*ranges[name], FIDUCIAL[name], count)]
    return np.array(points)


def _steps(low: float, high: float, centre: float, count: int) -> list[float]:
    """Return `count` values from `low` to `high` without `centre`; an odd one is above it."""
    below, above = count // 2, count - count // 2
    return [
        *(low + (centre - low) * step / below for step in range(below)),
        *(centre + (high - centre) * step / above for step in range(1, above + 1)),
    ]


def _corners(ranges: Ranges, simulations: int, _seed: int) -> Points:
    """Return every corner of the ranges in turn, again and again."""
    corners = np.array(list(itertools.product(*(sorted(set(bounds)) for bounds in ranges.values()))))
    if simulations % len(corners):
        fewer = max(1, simulations // len(corners)) * len(corners)
        raise InputError(
            f"simulations = {simulations}: design EX has equally many universes at each of {len(corners)} corners; "
            f"give a multiple of {len(corners)}, such as {fewer} or {fewer + len(corners)}"
        )
    return np.tile(corners, (simulations // len(corners), 1))


_POINTS: Mapping[str, Callable[[Ranges, int, int], Points]] = {
    "LH": _space_filling,
    "CV": _one_point,
    "1P": _one_at_a_time,
    "EX": _corners,
}
"""The function of each design: (ranges, simulations, seed) to points (simulations, 2), not yet rounded."""
