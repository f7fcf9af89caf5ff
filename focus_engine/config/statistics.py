"""Table of the statistics by which maps are compared: names, requirements and scores.

JSON, terminal, figures, `focus compare` and reference pages read this table. The mathematics is in the module that a
spec names (see `focus_engine.statistics.protocol`). A new statistic needs an entry here and a module.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from focus_engine.config.scores import NUMBERS, Score, ScoreSpec, read_score
from focus_engine.units import NORMALISED, SURFACE_DENSITY


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
        measured_by: name of the statistic whose measurement it shares; empty if it measures maps itself.
        needs_training: whether it compares with the maps that the generator was trained on.
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
    measured_by: str = ""
    needs_training: bool = False

    def fits(self, *, physical: bool) -> bool:
        """Return whether the statistic can be measured on physical maps, or on those of a normalised field."""
        return physical or self.needs == "field"

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

LOG_POWER_CURVE = CurveSpec(
    x="k",
    real="real_mean",
    real_std="real_std",
    generated="generated_mean",
    x_label="k [h/Mpc]",
    y_name="P(k) of log density",
    y_unit="(Mpc/h)²",
    x_scale="log",
    y_scale="log",
    limit="k_nyquist",
    ratio=True,
)


def _by_band(
    name: str, key: str, title: str, heading: str, low: str = "low", high: str = "high"
) -> tuple[ScoreSpec, ...]:
    """Return the specification of a signed score at large, middle and small scales."""
    return tuple(
        ScoreSpec(
            f"{name}{band}_scales",
            f"{key}_{band}",
            title,
            f"{heading} {band}",
            low=low,
            high=high,
            compared=key == "log_power" and band == "small",
        )
        for band in ("large", "middle", "small")
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
                ScoreSpec("median_abs_error", "power_error", "P(k), median |ratio - 1|", "P(k)", compared=True),
                *_by_band("", "power", "P(k)", "P(k)"),
            ),
            curve=POWER_CURVE,
        ),
        StatisticSpec(
            "log_power",
            title="power spectrum of log density",
            short="P(k) of log density",
            module="focus_engine.statistics.log_power",
            needs="density",
            scores=_by_band("", "log_power", "P(k) of log density", "log P"),
            curve=LOG_POWER_CURVE,
        ),
        StatisticSpec(
            "pdf",
            title="one-point PDF",
            short="PDF",
            module="focus_engine.statistics.pdf",
            needs="density",
            scores=(
                ScoreSpec("w1", "pdf_w1", "PDF, W1 in its sigma", "PDF W1", unit="σ", compared=True),
                ScoreSpec("tail", "pdf_tail", "densest 0.1 % of pixels", "tail", low="few", high="many"),
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
                ScoreSpec("bias", "slab_bias", "slab mean", "slab bias", low="light", high="dense", compared=True),
                ScoreSpec("scatter", "slab_scatter", "slab mean, scatter", "scatter", low="narrow", high="wide"),
                ScoreSpec(
                    "slope", "slab_slope", "slab mean, response", "mean resp", unit="", low="weak", high="strong"
                ),
            ),
        ),
        StatisticSpec(
            "response",
            title="response to the parameters",
            short="response",
            module="focus_engine.statistics.response",
            needs="field",
            measured_by="power_spectrum",
            scores=(
                *(
                    ScoreSpec(
                        f"slope_{band}_scales",
                        f"response_{band}",
                        "slope of ln P on ln P true",
                        f"slope {band}",
                        unit="",
                        low="weak",
                        high="strong",
                        compared=band == "middle",
                    )
                    for band in ("large", "middle", "small")
                ),
                ScoreSpec("r_squared", "response_r2", "R² of ln P", "R²", unit="", low="loose", high="tight"),
            ),
        ),
        StatisticSpec(
            "covariance",
            title="scatter of P(k) at fixed parameters",
            short="scatter of P(k)",
            module="focus_engine.statistics.covariance",
            needs="field",
            measured_by="power_spectrum",
            scores=(
                *_by_band("width_", "width", "scatter of ln P", "scatter", low="narrow", high="wide"),
                ScoreSpec("correlation", "correlation", "correlation of P(k), rms", "corr", unit=""),
                ScoreSpec("chi_square", "chi_square", "χ² of ln P per bin", "χ²", unit="", low="low", high="high"),
            ),
        ),
        StatisticSpec(
            "minkowski",
            title="Minkowski functionals",
            short="Minkowski functionals",
            module="focus_engine.statistics.minkowski",
            needs="field",
            scores=(
                ScoreSpec("area", "minkowski_area", "area of excursion sets, rms shift", "V0", unit="σ"),
                ScoreSpec("boundary", "minkowski_boundary", "boundary of excursion sets, rms shift", "V1", unit="σ"),
                ScoreSpec("euler", "minkowski_euler", "Euler characteristic, rms shift", "V2", unit="σ", compared=True),
            ),
            curve=CurveSpec(
                x="threshold",
                real="real_euler",
                real_std="euler_std",
                generated="generated_euler",
                x_label="threshold of log density [its σ]",
                y_name="Euler characteristic",
                y_unit="(h/Mpc)²",
            ),
        ),
        StatisticSpec(
            "peaks",
            title="peaks and voids",
            short="peaks",
            module="focus_engine.statistics.peaks",
            needs="field",
            scores=(
                ScoreSpec("peaks", "peaks", "number of peaks", "peaks", low="few", high="many"),
                ScoreSpec("high_peaks", "high_peaks", "peaks above 3 σ", "high peaks", low="few", high="many"),
                ScoreSpec("voids", "voids", "number of voids", "voids", low="few", high="many"),
            ),
            curve=CurveSpec(
                x="peak_height",
                real="real_peaks",
                real_std="peaks_std",
                generated="generated_peaks",
                x_label="height in log density [its σ]",
                y_name="peaks per bin",
                y_unit="(h/Mpc)²",
                ratio=True,
            ),
        ),
        StatisticSpec(
            "memorisation",
            title="nearest training map",
            short="nearest training map",
            module="focus_engine.statistics.memorisation",
            needs="field",
            needs_training=True,
            scores=(
                ScoreSpec(
                    "near", "memorised", "maps near a training map", "memorised", high="memorised", compared=True
                ),
            ),
        ),
    )
}
"""The statistics by name, in the order of reports; the first score of the first is the leading score."""


def leading_score() -> ScoreSpec:
    """Return the leading score, which is drawn against the cost of sampling."""
    return next(iter(STATISTICS.values())).scores[0]


def scores_in(document: Mapping[str, Any]) -> tuple[Score, ...]:
    """Return the scores in a report; those of a report of an earlier version have values alone.

    Raises:
        KeyError, TypeError, ValueError: the document is not a report.
    """
    if "scores" in document:
        specs = {(spec.name, score.name): score for spec in STATISTICS.values() for score in spec.scores}
        found = (read_score(saved, specs) for saved in document["scores"])
        return tuple(score for score in found if score is not None)
    return tuple(score for spec in STATISTICS.values() for score in spec.scores_in(document.get(spec.name)))


def _field(found: object, name: str) -> Any:  # noqa: ANN401  (JSON, or a field of any result)
    return found[name] if isinstance(found, Mapping) else getattr(found, name)


def _number(found: object, name: str) -> float | None:
    return _known(_field(found, name)) if name else None


def _numbers(found: object, name: str) -> tuple[float | None, ...]:
    return tuple(_known(value) for value in _field(found, name))


def _known(value: float | None) -> float | None:
    """Return a finite number as float, None for one that is not finite or unknown."""
    return float(value) if value is not None and math.isfinite(value) else None
