"""Generated maps judged against real ones at equal parameters.

A score means nothing alone: the scatter between universes is large and not Gaussian. So each statistic stands
beside its true-against-true value, what real maps score against other real maps: the median over random
halvings. `true_vs_true…` splits by simulation: the halves have other parameters and half the maps, while
generated maps are compared at equal parameters, so it is generous; staying below it is necessary, not
sufficient. `true_vs_true_same_simulation` splits the maps within each simulation: equal parameters, but shared
structures, so it is strict. A perfect generator lands near the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import FocusError, InputError
from focus_engine.statistics.pdf import PdfComparison, compare_pdfs
from focus_engine.statistics.power import (
    DENSITY_LABEL,
    FIELD_LABEL,
    PowerSpectrum,
    as_map_stack,
    field_power_spectrum,
    power_spectrum,
)
from focus_engine.statistics.simulations import DRAWS, Simulations
from focus_engine.statistics.slab import SlabMeanComparison, compare_slab_means, slab_means

Array = NDArray[np.float64]

SCORED_FRACTION = 0.8  # errors are read below this fraction of the Nyquist frequency


@dataclass(frozen=True)
class PowerComparison:
    """P(k) of generated maps beside that of real ones, in the bins below the Nyquist frequency."""

    k: Array  # (n_bins,) h/Mpc
    real_mean: Array  # (n_bins,) (Mpc/h)²
    real_std: Array  # (n_bins,) (Mpc/h)²: scatter from map to map, cosmic variance and parameters; NaN for one
    generated_mean: Array  # (n_bins,) (Mpc/h)²
    ratio: Array  # (n_bins,) generated_mean / real_mean
    ratio_std: Array  # (n_bins,) uncertainty of ratio: bootstrap by simulation; NaN with one simulation
    median_abs_error: float  # median of |ratio − 1| over the bins below 0.8 k_nyquist
    true_vs_true_median_abs_error: float  # the same between halves of the real simulations, see the module
    true_vs_true_same_simulation: float  # the same between halves of the maps within each simulation
    k_nyquist: float  # h/Mpc
    normalised: bool = False  # of a normalised field: no unit, nothing physical


@dataclass(frozen=True)
class FieldEvaluation:
    """What `focus evaluate` reports of a normalised field: its P(k), and nothing that needs a density."""

    power_spectrum: PowerComparison
    n_maps: int  # of each kind
    n_simulations: int
    box_size: float  # Mpc/h
    seed: int  # of the halvings and the bootstrap

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `focus evaluate --json`; what has no meaning is null."""
        numbers = {name: getattr(self, name) for name in ("n_maps", "n_simulations", "box_size", "seed")}
        power = _fields(self.power_spectrum)
        document = {"power_spectrum": power, "pdf": None, "slab_mean": None, "of": FIELD_LABEL, "halvings": DRAWS}
        plain: dict[str, Any] = _plain(document | numbers)
        return plain


@dataclass(frozen=True)
class Evaluation:
    """What `focus evaluate` reports."""

    power_spectrum: PowerComparison
    pdf: PdfComparison
    slab_mean: SlabMeanComparison
    n_maps: int  # of each kind
    n_simulations: int
    box_size: float  # Mpc/h
    seed: int  # of the halvings and the bootstrap

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `focus evaluate --json`: plain floats and lists, null for what is unknown."""
        document: dict[str, Any] = _plain(
            {
                "power_spectrum": _fields(self.power_spectrum),
                "pdf": _fields(self.pdf),
                "slab_mean": _fields(self.slab_mean, "real_mean", "generated_mean", without=("real", "generated")),
                "of": DENSITY_LABEL,
                "n_maps": self.n_maps,
                "n_simulations": self.n_simulations,
                "box_size": self.box_size,
                "halvings": DRAWS,
                "seed": self.seed,
            }
        )
        return document


def evaluate_maps(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    real_simulation_ids: ArrayLike,
    box_size: float,
    seed: int = 0,
) -> Evaluation:
    """Judge generated maps by P(k), the one-point PDF and the slab mean.

    Args:
        real: physical maps (N, H, W) or (N, 1, H, W).
        generated: as many maps of the same shape; row i has the parameters of real row i.
        real_simulation_ids: (N,) the simulation of each real map.
        box_size: the side along the last axis in Mpc/h.
        seed: of the random halvings and the bootstrap.

    Raises:
        InputError: when shapes or ids do not match, or a real map is not physical.
        FocusError: when a generated map is not finite, is negative somewhere or zero everywhere.
    """
    real, generated = as_map_stack(real, "real maps"), as_map_stack(generated, "generated maps")
    if real.shape != generated.shape:
        raise InputError(
            f"real maps have shape {real.shape}, generated ones {generated.shape}: each generated map is "
            "compared with the real one of the same row"
        )
    simulations = Simulations.of(real_simulation_ids, real.shape[0])
    real_means = slab_means(real, "real map")
    try:
        generated_means = slab_means(generated, "generated map")
    except InputError as error:
        raise FocusError(str(error)) from error
    return Evaluation(
        power_spectrum=compare_power(
            power_spectrum(real, box_size), power_spectrum(generated, box_size), simulations, seed
        ),
        pdf=compare_pdfs(real, generated, simulations, seed),
        slab_mean=compare_slab_means(real_means, generated_means, simulations, seed),
        n_maps=int(real.shape[0]),
        n_simulations=simulations.count,
        box_size=float(box_size),
        seed=seed,
    )


def evaluate_fields(
    real: ArrayLike, generated: ArrayLike, *, real_simulation_ids: ArrayLike, box_size: float, seed: int = 0
) -> FieldEvaluation:
    """Judge generated maps of a normalised field, which are no densities, by the power of their fluctuations.

    The arguments are those of `evaluate_maps`.

    Raises:
        InputError: when shapes or ids do not match, or a map is not finite.
    """
    real, generated = as_map_stack(real, "real maps"), as_map_stack(generated, "generated maps")
    simulations = Simulations.of(real_simulation_ids, real.shape[0])
    real_power, generated_power = (field_power_spectrum(maps, box_size, FIELD_LABEL) for maps in (real, generated))
    power = compare_power(real_power, generated_power, simulations, seed)
    return FieldEvaluation(power, int(real.shape[0]), simulations.count, float(box_size), seed)


def compare_power(
    real: PowerSpectrum, generated: PowerSpectrum, simulations: Simulations, seed: int
) -> PowerComparison:
    """Compare the mean P(k) of generated maps with that of real maps at equal parameters.

    `simulations` groups the rows of both; the bootstrap draws a simulation's real and generated maps together,
    so that the scatter between parameters cancels in the ratio.
    """
    shown = real.below(1.0)
    scored = real.below(SCORED_FRACTION)[shown]
    real_totals = simulations.totals(real.power[:, shown])
    generated_totals = simulations.totals(generated.power[:, shown])
    with np.errstate(divide="ignore", invalid="ignore"):  # a bin of constant maps has no power: NaN
        ratio = generated.mean[shown] / real.mean[shown]
        resampled = [
            generated_totals[draw].sum(axis=0) / real_totals[draw].sum(axis=0) for draw in simulations.bootstrap(seed)
        ]
        halves = [
            (real_totals[one].sum(axis=0) / simulations.sizes[one].sum())
            / (real_totals[other].sum(axis=0) / simulations.sizes[other].sum())
            for one, other in simulations.halves(seed)
        ]
        within = [
            real.power[first][:, shown].mean(axis=0) / real.power[~first][:, shown].mean(axis=0)
            for first in simulations.map_halves(seed)
        ]
        ratio_std = np.std(resampled, axis=0) if resampled else np.full(ratio.shape, np.nan)
    return PowerComparison(
        k=real.k[shown],
        real_mean=real.mean[shown],
        real_std=real.std[shown],
        generated_mean=generated.mean[shown],
        ratio=ratio,
        ratio_std=ratio_std,
        median_abs_error=_median_abs_error(ratio[scored]),
        true_vs_true_median_abs_error=_median_of_errors(halves, scored),
        true_vs_true_same_simulation=_median_of_errors(within, scored),
        k_nyquist=real.k_nyquist,
        normalised=real.label == FIELD_LABEL,
    )


def _median_abs_error(ratio: Array) -> float:
    return float(np.median(np.abs(ratio - 1))) if ratio.size else float("nan")


def _median_of_errors(ratios: list[Array], scored: NDArray[np.bool_]) -> float:
    return float(np.median([_median_abs_error(one[scored]) for one in ratios])) if ratios else float("nan")


def _fields(result: Any, *extra: str, without: tuple[str, ...] = ()) -> dict[str, Any]:  # noqa: ANN401 - any result
    names = [*extra, *(field.name for field in fields(result) if field.name not in without)]
    return {name: getattr(result, name) for name in names}


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON is recursive
    """Return a value as JSON holds it: lists, floats, and None for NaN and infinities."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value.tolist()]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
