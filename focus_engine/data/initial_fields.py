"""Which simulations of a set start from one initial field, as all of a 1P set do.

Such simulations differ by their parameters alone. What is by chance in the field is in all of them, so that they are
one realisation, and their number says nothing of the error of their mean.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.config.designs import DESIGNS
from focus_engine.data.parameters import Table, read_seeds
from focus_engine.statistics.design import distinct_params

RECORD = "simulation.json"
"""The file beside simulated maps that says how they were made."""

FEWEST_VALUES, MOST_VALUES = 5, 25
"""Values of a single varying parameter in a 1P set: CAMELS has 5 or 11. Three are evenly spaced by chance too often."""

EQUAL_STEPS = 1e-3
"""Largest difference of equal steps, relative to their mean: tables are printed with five or six digits."""


@dataclass(frozen=True, eq=False)
class InitialFields:
    """The initial field of each row of a parameter table.

    Attributes:
        ids: (rows,) equal for rows that start from one field.
        source: how that is known, in words.
    """

    ids: NDArray[np.intp]
    source: str


def initial_fields(maps_path: Path, params_path: Path | None, table: Table) -> InitialFields | None:
    """Return the initial fields of a set; None if each simulation seems to have one of its own.

    Known from the record of `focus data simulate` beside the maps, else from the seeds of a CAMELS table, else
    supposed from parameters that vary one at a time.

    Args:
        maps_path: file of the maps.
        params_path: file of the parameters; None if they are in the file of the maps.
        table: (rows, columns) parameters, one row per map or per simulation.
    """
    one = np.zeros(len(table), dtype=np.intp)
    recorded = _recorded(maps_path)
    if recorded is not None:
        return InitialFields(one, f"design {recorded}, by {RECORD}") if DESIGNS[recorded].shares_field else None
    seeds = None if params_path is None or params_path.suffix == ".npy" else read_seeds(params_path)
    if seeds is not None and len(table) % len(seeds) == 0:
        ids = np.unique(seeds, return_inverse=True)[1].astype(np.intp)
        return InitialFields(np.repeat(ids, len(table) // len(seeds)), f"the seeds in {params_path}")
    if varied_one_at_a_time(table):
        return InitialFields(one, "the parameters vary one at a time, as in CAMELS 1P")
    return None


def varied_one_at_a_time(table: Table) -> bool:
    """Return whether rows (n, columns) differ from a common point in one parameter at most, as those of a 1P set.

    Where several parameters vary, the commonest value of each must occur at two points, which those of few random
    points don't. Where only one varies, its values must be few and evenly spaced, or their logarithms, as those of
    CAMELS are: random values are not. Parameters can't tell other 1P sets of one parameter from an LH set of it, nor
    few values in the middles of their strata, as some LH sets have, from a 1P set.
    """
    points = distinct_params(np.asarray(table, dtype=np.float64))[0]
    columns = points[:, np.ptp(points, axis=0) > 0]
    if columns.shape[1] < 2:
        return columns.shape[1] == 1 and _evenly_spaced(columns[:, 0])
    found = [np.unique(column, return_counts=True) for column in columns.T]
    centre = np.array([values[np.argmax(counts)] for values, counts in found])
    moved = np.count_nonzero(columns != centre, axis=1)
    return bool(moved.max() <= 1 and min(counts.max() for _, counts in found) >= 2)


def _evenly_spaced(values: Table) -> bool:
    """Return whether distinct values (n,), or their logarithms, have equal steps."""
    if not FEWEST_VALUES <= values.size <= MOST_VALUES:
        return False
    ordered = np.sort(values)
    scales = [ordered, np.log(ordered)] if ordered[0] > 0 else [ordered]
    return any(np.ptp(np.diff(scale)) <= EQUAL_STEPS * np.diff(scale).mean() for scale in scales)


def _recorded(maps_path: Path) -> str | None:
    """Return the design in the record of a simulated set; None if there is no record or no known design in it."""
    path = maps_path.parent / RECORD
    if maps_path.name != "maps.npy" or not path.is_file():
        return None
    try:
        design: Any = json.loads(path.read_text(encoding="utf-8"))["arguments"]["design"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return design if isinstance(design, str) and design in DESIGNS else None
