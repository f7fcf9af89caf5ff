"""Table of the statistics by which maps are compared: names, requirements and scores.

JSON, terminal, figures, `focus compare` and reference pages read this table. The mathematics is in the module that a
spec names (see `focus_engine.statistics.protocol`). A new statistic needs an entry here and a module.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from focus_engine.units import NORMALISED, SURFACE_DENSITY


@dataclass(frozen=True, slots=True)
class ScoreSpec:
    """The specification of a number that a statistic yields.

    `name`, `true_vs_true`, `same_simulation` and `error` are keys of the statistic's JSON and fields of its result.

    Attributes:
        name: key of the score.
        key: name of the score, unique over all statistics.
        title: name in the report of one model.
        heading: column heading in a comparison of models.
        unit: `%` for a fraction that is shown in per cent; otherwise the unit after the number.
        true_vs_true: key of the score of real against other real maps, split by simulation; empty if none.
        same_simulation: key of the same, split within each simulation; empty if none.
        error: key of the uncertainty of the score; empty if unknown.
    """

    name: str
    key: str
    title: str
    heading: str
    unit: str = "%"
    true_vs_true: str = ""
    same_simulation: str = ""
    error: str = ""

    def text(self, value: float | None) -> str:
        """Return a value of this score as text for a table."""
        if value is None:
            return "-"
        return f"{100 * value:.1f} %" if self.unit == "%" else f"{value:.3f}"


@dataclass(frozen=True, slots=True)
class Score:
    """The values of a score, named as in its spec; unknown values are None."""

    spec: ScoreSpec
    value: float | None = None
    true_vs_true: float | None = None
    same_simulation: float | None = None
    error: float | None = None


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
        needs: `density` for physical, non-negative maps; `field` for any finite maps.
        scores: its scores; `focus compare` also computes the first at each number of steps.
        curve: its curve; None if it has none.
    """

    name: str
    title: str
    short: str
    module: str
    needs: Literal["density", "field"]
    scores: tuple[ScoreSpec, ...]
    curve: CurveSpec | None = None

    def fits(self, *, physical: bool) -> bool:
        """Return whether the statistic can be measured on physical maps, or on those of a normalised field."""
        return physical or self.needs == "field"

    def scores_in(self, found: object) -> tuple[Score, ...]:
        """Return the scores in a result or its JSON; all values are None if `found` is None.

        Raises:
            KeyError, TypeError, ValueError: `found` is not a result of this statistic.
        """
        if found is None:
            return tuple(Score(spec) for spec in self.scores)
        names = ("name", "true_vs_true", "same_simulation", "error")
        return tuple(Score(spec, *(_number(found, getattr(spec, name)) for name in names)) for spec in self.scores)

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
            real_std=_numbers(found, where.real_std),
            generated=_numbers(found, where.generated),
            limit=_number(found, where.limit),
        )


POWER_CURVE = CurveSpec(
    x="k",
    real="real_mean",
    real_std="real_std",
    generated="generated_mean",
    x_label="k [h/Mpc]",
    y_name="P(k)",
    y_unit="(Mpc/h)²",
    x_scale="log",
    y_scale="log",
    limit="k_nyquist",
    ratio=True,
)

STATISTICS = {
    spec.name: spec
    for spec in (
        StatisticSpec(
            "power_spectrum",
            title="power spectrum",
            short="P(k)",
            module="focus_engine.statistics.power",
            needs="field",
            scores=(
                ScoreSpec(
                    "median_abs_error",
                    key="power_error",
                    title="P(k), median |ratio - 1|",
                    heading="P(k)",
                    true_vs_true="true_vs_true_median_abs_error",
                    same_simulation="true_vs_true_same_simulation",
                ),
            ),
            curve=POWER_CURVE,
        ),
        StatisticSpec(
            "pdf",
            title="one-point PDF",
            short="PDF",
            module="focus_engine.statistics.pdf",
            needs="density",
            scores=(
                ScoreSpec(
                    "w1",
                    key="pdf_w1",
                    title="PDF, W1 in its sigma",
                    heading="PDF W1",
                    unit="σ",
                    true_vs_true="true_vs_true_w1",
                    same_simulation="true_vs_true_same_simulation",
                ),
            ),
            curve=CurveSpec(
                x="log10_value",
                real="real_pdf",
                real_std="real_std",
                generated="generated_pdf",
                x_label=f"map value [{SURFACE_DENSITY}]",
                y_name="PDF per dex",
                x_scale="exponent",
                y_scale="log",
            ),
        ),
        StatisticSpec(
            "slab_mean",
            title="slab mean",
            short="slab mean",
            module="focus_engine.statistics.slab",
            needs="density",
            scores=(
                ScoreSpec(
                    "bias",
                    key="slab_bias",
                    title="slab mean, bias",
                    heading="slab bias",
                    same_simulation="true_vs_true_bias",
                    error="bias_std",
                ),
                ScoreSpec(
                    "scatter",
                    key="slab_scatter",
                    title="slab mean, scatter",
                    heading="scatter",
                    same_simulation="true_vs_true_scatter",
                ),
            ),
        ),
    )
}
"""The statistics by name, in the order of reports; the first score of the first is the leading score."""


def leading_score() -> ScoreSpec:
    """Return the leading score, which is drawn against the cost of sampling."""
    return next(iter(STATISTICS.values())).scores[0]


def _field(found: object, name: str) -> Any:  # noqa: ANN401  (JSON, or a field of any result)
    return found[name] if isinstance(found, Mapping) else getattr(found, name)


def _number(found: object, name: str) -> float | None:
    return _known(_field(found, name)) if name else None


def _numbers(found: object, name: str) -> tuple[float | None, ...]:
    return tuple(_known(value) for value in _field(found, name))


def _known(value: float | None) -> float | None:
    """Return a finite number as float, None for one that is not finite or unknown."""
    return float(value) if value is not None and math.isfinite(value) else None
