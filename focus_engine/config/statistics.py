"""The statistics that maps are judged by: what each is called, what it needs, and which numbers it yields.

JSON, terminal, figures, `focus compare` and references read this table; the mathematics stands in the module that
a spec names (see `focus_engine.statistics.protocol`). A new statistic is a line here and a module of its own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from focus_engine.units import NORMALISED, SURFACE_DENSITY


@dataclass(frozen=True, slots=True)
class ScoreSpec:
    """A number that a statistic yields.

    `name`, `true_vs_true`, `same_simulation` and `error` are keys of the statistic's JSON and fields of its result.

    Attributes:
        name: the score itself.
        key: its name among the scores of all statistics.
        title: in the report of one model.
        heading: above its column where models are compared.
        unit: `%` for a fraction that is shown in per cent; otherwise what stands after the number.
        true_vs_true: what real maps score against other real maps, split by simulation; empty where it has none.
        same_simulation: the same, split within each simulation; empty where it has none.
        error: its own uncertainty; empty where that is not known.
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
        """Return a value of this score for a table."""
        if value is None:
            return "-"
        return f"{100 * value:.1f} %" if self.unit == "%" else f"{value:.3f}"


@dataclass(frozen=True, slots=True)
class Score:
    """A score that was found. A number that is not known is None; the fields are those of its spec."""

    spec: ScoreSpec
    value: float | None = None
    true_vs_true: float | None = None
    same_simulation: float | None = None
    error: float | None = None


@dataclass(frozen=True, slots=True)
class StatisticCurve:
    """A statistic of real and of generated maps along an axis; what is not known is None."""

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
    """Where the curve of a statistic stands in its result, and what its axes are called.

    `x`, `real`, `real_std`, `generated` and `limit` are keys of the statistic's JSON and fields of its result.

    Attributes:
        x: the places of the bins.
        real: the mean of the real maps in each.
        real_std: its scatter, drawn as a band.
        generated: the mean of the generated maps.
        x_label: name and unit of the horizontal axis.
        y_name: name of the vertical axis.
        y_unit: its unit for maps of a density; empty where it has none.
        x_scale: `exponent` where `x` holds log10 of what the label names.
        y_scale: of the vertical axis.
        limit: a single x beyond which nothing is resolved; empty where there is none.
        ratio: whether generated / real means something.
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
        """Return name and unit of the vertical axis; nobody knows the unit of a normalised field."""
        if not physical:
            return f"{self.y_name} of the {NORMALISED}"
        return f"{self.y_name} [{self.y_unit}]" if self.y_unit else self.y_name


@dataclass(frozen=True, slots=True)
class StatisticSpec:
    """A statistic.

    Attributes:
        name: its key in the JSON of `focus evaluate`.
        title: above its picture.
        short: in running text.
        module: that measures and compares, by its import path.
        needs: `density` for maps that are physical and nowhere negative; `field` for any finite maps.
        scores: the first one is its headline, which `focus compare` also takes at each number of steps.
        curve: None where it is no function of anything.
    """

    name: str
    title: str
    short: str
    module: str
    needs: Literal["density", "field"]
    scores: tuple[ScoreSpec, ...]
    curve: CurveSpec | None = None

    def fits(self, *, physical: bool) -> bool:
        """Return whether it can be measured of maps that are physical, or of those of a normalised field."""
        return physical or self.needs == "field"

    def scores_in(self, found: object) -> tuple[Score, ...]:
        """Return the scores in a result or in its JSON; all are unknown where that is None.

        Raises:
            KeyError, TypeError, ValueError: it is no such JSON.
        """
        if found is None:
            return tuple(Score(spec) for spec in self.scores)
        names = ("name", "true_vs_true", "same_simulation", "error")
        return tuple(Score(spec, *(_number(found, getattr(spec, name)) for name in names)) for spec in self.scores)

    def curve_in(self, found: object) -> StatisticCurve | None:
        """Return the curve in a result or in its JSON; None where there is none.

        Raises:
            KeyError, TypeError, ValueError: it is no such JSON.
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
"""In the order of reports; what costs time is judged by the headline of the first."""


def leading_score() -> ScoreSpec:
    """Return the score that is drawn against the cost of sampling."""
    return next(iter(STATISTICS.values())).scores[0]


def _field(found: object, name: str) -> Any:  # noqa: ANN401  (JSON, or a field of any result)
    return found[name] if isinstance(found, Mapping) else getattr(found, name)


def _number(found: object, name: str) -> float | None:
    return _known(_field(found, name)) if name else None


def _numbers(found: object, name: str) -> tuple[float | None, ...]:
    return tuple(_known(value) for value in _field(found, name))


def _known(value: float | None) -> float | None:
    """Return a finite number as JSON holds it, None for one that is not known."""
    return float(value) if value is not None and math.isfinite(value) else None
