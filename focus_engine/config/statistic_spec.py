"""Specifications of statistics: their names, what they need, their scores and their curves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from focus_engine.config.scores import NUMBERS, Score, ScoreSpec
from focus_engine.units import NORMALISED


@dataclass(frozen=True, slots=True)
class StatisticCurve:
    """A statistic of real and of generated maps along an axis; unknown values are None."""

    x: tuple[float | None, ...]
    real: tuple[float | None, ...]
    real_std: tuple[float | None, ...]
    generated: tuple[float | None, ...]
    limit: float | None = None

    @property
    def ratio(self) -> tuple[float | None, ...]:
        """Generated over real, in each bin."""
        pairs = zip(self.generated, self.real, strict=True)
        return tuple(None if generated is None or not real else generated / real for generated, real in pairs)


@dataclass(frozen=True, slots=True)
class CurveSpec:
    """The specification of a curve: its keys in the result of the statistic, and the labels of its axes.

    `x`, `real`, `real_std`, `generated` and `limit` are keys of the statistic's JSON and fields of its result.

    Attributes:
        x: key of the positions of the bins.
        real: key of the mean of the real maps in each bin.
        real_std: key of its scatter, drawn as a band.
        generated: key of the mean of the generated maps in each bin.
        x_label: name and unit of the horizontal axis.
        y_name: name of the vertical axis.
        y_unit: its unit for maps of a density; empty if dimensionless.
        x_scale: scale of the horizontal axis; `exponent` if `x` holds log10 of the labelled quantity.
        y_scale: scale of the vertical axis.
        limit: key of the x beyond which nothing is resolved; empty if none.
        ratio: whether generated / real is meaningful.
        printed: whether it is drawn in the terminal; figures and pages draw every curve.
    """

    x: str
    real: str
    real_std: str
    generated: str
    x_label: str
    y_name: str
    y_unit: str = ""
    x_scale: Literal["linear", "log", "exponent"] = "linear"
    y_scale: Literal["linear", "log"] = "linear"
    limit: str = ""
    ratio: bool = False
    printed: bool = False

    def y_label(self, *, physical: bool = True) -> str:
        """Return the name and unit of the vertical axis; the unit of a normalised field is unknown."""
        if not physical:
            return f"{self.y_name} of the {NORMALISED}"
        return f"{self.y_name} [{self.y_unit}]" if self.y_unit else self.y_name


@dataclass(frozen=True, slots=True)
class StatisticSpec:
    """The specification of a statistic.

    Attributes:
        name: key in the JSON of `focus evaluate`.
        title: title of its figure.
        short: name in running text.
        module: import path of the module that measures and compares it.
        measured_by: name of the statistic whose measurement it shares; empty if it measures maps itself.
        needs_training: whether it compares with the maps that the generator was trained on.
        needs: `density` for physical, non-negative maps; `field` for any finite maps; `pair` for two fields of the same
            maps.
        scores: its scores; `focus compare` also computes the first at each number of steps.
        curve: its curve; None if it has none.
    """

    name: str
    title: str
    short: str
    module: str
    needs: Literal["density", "field", "pair"]
    scores: tuple[ScoreSpec, ...]
    curve: CurveSpec | None = None
    measured_by: str = ""
    needs_training: bool = False

    @property
    def of_pair(self) -> bool:
        """Whether it is measured on two fields of the same maps, rather than on one."""
        return self.needs == "pair"

    def fits(self, *, physical: bool) -> bool:
        """Return whether fields that are physical, or normalised, allow it."""
        return physical or self.needs != "density"

    def scores_in(self, found: object) -> tuple[Score, ...]:
        """Return the scores in a result or its JSON; all values are None if `found` is None.

        A document of an earlier version holds the values alone.

        Raises:
            KeyError, TypeError, ValueError: `found` is not a result of this statistic.
        """
        if found is None:
            return tuple(Score(spec, self.name) for spec in self.scores)
        estimates = _field(found, "scores") if not isinstance(found, Mapping) else found.get("scores", {})
        return tuple(self._score(spec, estimates.get(spec.name), found) for spec in self.scores)

    def _score(self, spec: ScoreSpec, estimate: object, found: object) -> Score:
        if estimate is None:
            old = found.get(spec.name) if isinstance(found, Mapping) else None
            return Score(spec, self.name, _known(old))
        numbers: dict[str, Any] = {name: _number(estimate, name) for name in NUMBERS}
        return Score(spec, self.name, band=_field(estimate, "band"), **numbers)

    def curve_in(self, found: object) -> StatisticCurve | None:
        """Return the curve in a result or its JSON; None if there is none.

        Raises:
            KeyError, TypeError, ValueError: `found` is not a result of this statistic.
        """
        where = self.curve
        if found is None or where is None:
            return None
        return StatisticCurve(
            x=_numbers(found, where.x),
            real=_numbers(found, where.real),
            real_std=_scatter(found, where),
            generated=_numbers(found, where.generated),
            limit=_number(found, where.limit),
        )


def _field(found: object, name: str) -> Any:  # noqa: ANN401  (JSON, or a field of any result)
    return found[name] if isinstance(found, Mapping) else getattr(found, name)


def _number(found: object, name: str) -> float | None:
    return _known(_field(found, name)) if name else None


def _numbers(found: object, name: str) -> tuple[float | None, ...]:
    return tuple(_known(value) for value in _field(found, name))


def _scatter(found: object, where: CurveSpec) -> tuple[float | None, ...]:
    """Return the scatter of the real maps; unknown in a document of a version that did not measure it."""
    if isinstance(found, Mapping) and where.real_std not in found:
        return (None,) * len(_field(found, where.x))
    return _numbers(found, where.real_std)


def _known(value: float | None) -> float | None:
    """Return a finite number as float, None for one that is not finite or unknown."""
    return float(value) if value is not None and math.isfinite(value) else None
