"""The interface of a statistic: a module with three functions, named by its spec in `focus_engine.config.statistics`.

Each map is measured once, into a vector; comparison, halving and resampling use only these vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from focus_engine.config.statistics import StatisticSpec
    from focus_engine.statistics.map_stack import MapStack
    from focus_engine.statistics.simulations import Simulations

Bins = TypeVar("Bins")
Measured = TypeVar("Measured")


class Statistic(Protocol[Bins, Measured]):
    """The functions that the module of a statistic defines."""

    def bins(self, real: MapStack, generated: MapStack) -> Bins:
        """Return what both measurements must share to be comparable, such as bin edges; None if nothing."""

    def measure(self, maps: MapStack, bins: Bins) -> Measured:
        """Return the statistic of each map, read in chunks, as arrays with the maps along the first axis.

        Raises:
            InputError: a map does not fit the statistic.
        """

    def compare(self, real: Measured, generated: Measured, simulations: Simulations, seed: int) -> Result:
        """Return the comparison of two measurements; row i of both has the same parameters.

        `simulations` holds the simulation of each row; `seed` is that of the random halvings and the bootstrap.
        """


@dataclass(frozen=True)
class Result:
    """The result of a comparison; its fields are the keys of its JSON.

    The fields include the scores and the curve of the spec; unknown numbers are NaN.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return plain floats and lists, None for unknown values."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}


def statistic_of(spec: StatisticSpec) -> Statistic[Any, Any]:
    """Return the module that measures a statistic; it is imported by the first call."""
    return cast("Statistic[Any, Any]", import_module(spec.module))


def plain(value: Any) -> Any:  # noqa: ANN401 - JSON is recursive
    """Return a value as JSON holds it: lists, floats, and None for NaN and infinities."""
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(one) for one in value.tolist()]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
