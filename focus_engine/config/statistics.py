"""Table of the statistics by which maps are compared: names, requirements and scores.

JSON, terminal, figures, `focus compare` and reference pages read this table. The mathematics is in the module that a
spec names (see `focus_engine.statistics.protocol`). A new statistic needs an entry here and a module.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from focus_engine.config.scores import Score, ScoreSpec, read_score
from focus_engine.config.statistic_spec import CurveSpec, StatisticSpec
from focus_engine.units import SURFACE_DENSITY

POWER_CURVE = CurveSpec(
    x="k",
    real="real_mean",
    real_std="fixed_std",
    generated="generated_mean",
    x_label="k [h/Mpc]",
    y_name="P(k)",
    y_unit="(Mpc/h)²",
    x_scale="log",
    y_scale="log",
    limit="k_nyquist",
    ratio=True,
    printed=True,
)

LOG_POWER_CURVE = replace(POWER_CURVE, real_std="real_std", y_name="P(k) of log density", printed=False)

BISPECTRUM_CURVE = CurveSpec(
    x="k",
    real="real_equilateral",
    real_std="real_std",
    generated="generated_equilateral",
    x_label="k [h/Mpc]",
    y_name="Q(k), equilateral",
    x_scale="log",
    ratio=True,
)


def _pair_curve(y_name: str) -> CurveSpec:
    """Return the curve over k of a statistic of two fields."""
    return CurveSpec(
        x="k",
        real="real_mean",
        real_std="real_std",
        generated="generated_mean",
        x_label="k [h/Mpc]",
        y_name=y_name,
        x_scale="log",
        limit="k_nyquist",
    )


def _by_band(
    name: str, key: str, title: str, heading: str, *, low: str = "low", high: str = "high", unit: str = "%"
) -> tuple[ScoreSpec, ...]:
    """Return the specification of a signed score at large, middle and small scales."""
    return tuple(
        ScoreSpec(
            f"{name}{band}_scales",
            f"{key}_{band}",
            title,
            f"{heading} {band}",
            unit=unit,
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
                ScoreSpec(
                    "log_mean", "log_mean", "mean of log density", "log mean", unit="dex", low="light", high="dense"
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
                printed=True,
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
                        "response of ln P",
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
            "bispectrum",
            title="reduced bispectrum",
            short="bispectrum",
            module="focus_engine.statistics.bispectrum",
            needs="density",
            scores=tuple(
                ScoreSpec(shape, f"bispectrum_{shape}", f"bispectrum Q, {shape}", heading, low="low", high="high")
                for shape, heading in (("equilateral", "Q equi"), ("squeezed", "Q sq"))
            ),
            curve=BISPECTRUM_CURVE,
        ),
        StatisticSpec(
            "scattering",
            title="scattering coefficients of log density",
            short="scattering",
            module="focus_engine.statistics.scattering",
            needs="density",
            scores=(
                ScoreSpec("shift", "scattering_shift", "scattering coefficients, rms shift", "scattering", unit="σ"),
            ),
        ),
        StatisticSpec(
            "classifier",
            title="two-sample test by classifier",
            short="C2ST",
            module="focus_engine.statistics.classifier",
            needs="density",
            measured_by="scattering",
            scores=(ScoreSpec("excess", "classifier_excess", "classifier, accuracy above 1/2", "C2ST"),),
        ),
        StatisticSpec(
            "pqmass",
            title="shares of random regions",
            short="PQMass",
            module="focus_engine.statistics.pqmass",
            needs="density",
            measured_by="scattering",
            scores=(ScoreSpec("chi_square", "pqmass", "PQMass, χ² per degree of freedom", "PQMass", unit=""),),
        ),
        StatisticSpec(
            "minkowski",
            title="Minkowski functionals",
            short="Minkowski functionals",
            module="focus_engine.statistics.minkowski",
            needs="field",
            scores=(
                ScoreSpec("area", "minkowski_area", "area of excursion sets", "V0", unit="σ"),
                ScoreSpec("boundary", "minkowski_boundary", "boundary of excursion sets", "V1", unit="σ"),
                ScoreSpec(
                    "euler_characteristic", "minkowski_euler", "Euler characteristic", "V2", unit="σ", compared=True
                ),
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
        StatisticSpec(
            "cross",
            title="correlation between fields",
            short="r(k)",
            module="focus_engine.statistics.cross",
            needs="pair",
            scores=_by_band("", "cross", "r(k)", "r(k)", unit=""),
            curve=_pair_curve("r(k)"),
        ),
        StatisticSpec(
            "cross_power",
            title="cross spectra of fields",
            short="P_ab(k)",
            module="focus_engine.statistics.cross_power",
            needs="pair",
            measured_by="cross",
            scores=_by_band("", "cross_power", "cross spectrum P_ab", "P_ab"),
            curve=_pair_curve("P_ab(k) / √(P_a P_b) of real maps"),
        ),
    )
}
"""The statistics by name, in the order of reports; the first score of the first is the leading score."""


def statistics_of(*, pair: bool) -> dict[str, StatisticSpec]:
    """Return the statistics of one field, or those of a pair of fields, by name."""
    return {name: spec for name, spec in STATISTICS.items() if spec.of_pair == pair}


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
