"""The interface of a statistic: a module with three functions, named by its spec in `focus_engine.config.statistics`.

Each map is measured once, into a vector; comparison, halving and resampling use only these vectors. A measurement is
an array with the maps along the first axis, or has a method `take` that returns that of some of the maps. A statistic
whose spec names another in `measured_by` has `compare` alone and is given the measurement of that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from focus_engine.config.statistic_spec import StatisticSpec
    from focus_engine.statistics.design import Design
    from focus_engine.statistics.map_stack import MapStack
    from focus_engine.statistics.significance import Estimate

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

    def compare(self, real: Measured, generated: Measured, design: Design) -> Result:
        """Return the comparison of two measurements, whose rows are placed by `design`."""


@dataclass(frozen=True)
class Result:
    """The result of a comparison; its fields are the keys of its JSON.

    The fields include the curve of the spec; unknown numbers are NaN.

    Attributes:
        scores: the estimate of each score of the spec, by name; a missing one is unknown.
    """

    scores: Mapping[str, Estimate] = field(default_factory=dict, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """Return plain floats and lists, None for unknown values."""
        found = {one.name: plain(getattr(self, one.name)) for one in fields(self) if one.name != "scores"}
        return {**found, "scores": {name: plain(one.to_dict()) for name, one in self.scores.items()}}


def statistic_of(spec: StatisticSpec) -> Statistic[Any, Any]:
    """Return the module that measures a statistic; it is imported by the first call."""
    return cast("Statistic[Any, Any]", import_module(spec.module))


def taken(measured: Any, rows: NDArray[np.intp]) -> Any:  # noqa: ANN401 - the measurement of any statistic
    """Return the measurement of these maps alone: rows of an array, or `take` of any other measurement."""
    return measured[rows] if isinstance(measured, np.ndarray) else measured.take(rows)


def known(values: Iterable[float | None]) -> NDArray[np.float64]:
    """Return numbers as an array, NaN for None."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def plain(value: Any) -> Any:  # noqa: ANN401 - JSON is recursive
    """Return a value as JSON holds it: lists, floats, and None for NaN and infinities."""
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
