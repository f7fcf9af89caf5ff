"""The power spectrum P(k) of two-dimensional maps, the only implementation in the project.

Every P(k) curve, score and error that FOCUS shows is computed here, so that all screens agree. Maps are physical
(neither logarithmic nor standardised) and periodic. P(k) has units of (Mpc/h)²; no window is deconvolved, because CMD
maps are not CIC-painted. Imports numpy alone, so that `focus power` starts fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.bands import BANDS, band_weights
from focus_engine.statistics.fourier import (
    Precision,
    Transforms,
    annuli,
    density_transforms,
    field_transforms,
    log_transforms,
)
from focus_engine.statistics.map_stack import MapStack, as_map_stack
from focus_engine.statistics.mode_sums import mode_sums
from focus_engine.statistics.protocol import Result, known
from focus_engine.units import NORMALISED

if TYPE_CHECKING:  # scipy is imported with these, and `focus power` does without it
    from focus_engine.statistics.camels_scatter import CamelsScatter
    from focus_engine.statistics.design import Design
    from focus_engine.statistics.sample import Sample
    from focus_engine.statistics.significance import Tail

Array = NDArray[np.float64]

DENSITY_LABEL = "density contrast"
LOG_LABEL = "log field"
FIELD_LABEL = NORMALISED

SCORED_FRACTION = 0.8  # errors are computed below this fraction of the Nyquist wavenumber


@dataclass(frozen=True)
class PowerSpectrum:
    """P(k) of each of `n_maps` maps in annuli one fundamental wavenumber wide."""

    k: Array  # (n_bins,) h/Mpc: the mean |k| of the modes in each bin
    power: Array  # (n_maps, n_bins) (Mpc/h)²
    modes: NDArray[np.int64]  # (n_bins,) independent modes: each conjugate pair counts once
    k_edges: Array  # (n_bins + 1,) h/Mpc: bin i is [k_edges[i], k_edges[i + 1])
    box_size: float  # Mpc/h: side along the last axis
    k_nyquist: float  # h/Mpc: π / pixel size; bins above it hold only the corners of Fourier space
    label: str = DENSITY_LABEL  # the field that was transformed

    def take(self, rows: NDArray[np.intp]) -> PowerSpectrum:
        """Return the measurement of these maps alone."""
        return replace(self, power=self.power[rows])

    @property
    def n_maps(self) -> int:
        """Number of maps that were measured."""
        return int(self.power.shape[0])

    @cached_property
    def mean(self) -> Array:
        """The mean P(k) of the maps, (n_bins,), in (Mpc/h)²."""
        return np.asarray(self.power.mean(axis=0), dtype=np.float64)

    @cached_property
    def std(self) -> Array:
        """Standard deviation of P(k) between maps, (n_bins,), in (Mpc/h)²; NaN for a single map."""
        if self.n_maps < 2:
            return np.full(self.k.shape, np.nan)
        return np.asarray(self.power.std(axis=0, ddof=1), dtype=np.float64)

    def below(self, fraction: float) -> NDArray[np.bool_]:
        """Return whether each bin lies below `fraction` of the Nyquist wavenumber, (n_bins,)."""
        return np.asarray(self.k < fraction * self.k_nyquist)


@dataclass(frozen=True)
class PowerComparison(Result):
    """P(k) of generated and of real maps, in the bins below the Nyquist wavenumber."""

    k: Array  # (n_bins,) h/Mpc
    real_mean: Array  # (n_bins,) (Mpc/h)²: mean over parameter points
    real_std: Array  # (n_bins,) (Mpc/h)²: scatter over the set, between maps and between parameters; NaN for one map
    fixed_std: Array  # (n_bins,) (Mpc/h)²: scatter between maps of equal parameters (cosmic variance)
    generated_mean: Array  # (n_bins,) (Mpc/h)²
    ratio: Array  # (n_bins,) generated_mean / real_mean
    ratio_std: Array  # (n_bins,) uncertainty of ratio: bootstrap by simulation; NaN with one simulation
    ratio_null_std: Array  # (n_bins,) spread of the ratio of a perfect generator; NaN if unknown
    median_abs_error: float  # median of |ratio − 1| over the bins below 0.8 k_nyquist
    true_vs_true_median_abs_error: float  # the same between halves of the real simulations (other parameters)
    true_vs_true_same_simulation: float  # the same between halves of the maps within each simulation
    k_nyquist: float  # h/Mpc
    normalised: bool = False  # whether the maps are a normalised field, whose P(k) is not physical and has no unit
    generated_std: Array | None = None  # (n_bins,) (Mpc/h)²: as fixed_std, of the generated maps
    camels_cv_std: Array | None = None  # (n_bins,) (Mpc/h)²: that of CAMELS CV; None unless the maps are like those
    scatter_by_band: Mapping[str, Array | Sequence[str]] = field(
        default_factory=dict
    )  # each over real_mean, mean in each band


def power_spectrum(maps: ArrayLike, box_size: float) -> PowerSpectrum:
    """Measure P(k) = |FFT δ|² L² / N⁴ of the density contrast δ = f / mean(f) − 1 of each map.

    Args:
        maps: physical, non-negative maps, (N, H, W), (N, 1, H, W) or (H, W), with square pixels; read in chunks, so
            they may be memory-mapped.
        box_size: side along the last axis [Mpc/h].

    Returns:
        P(k) in (Mpc/h)² in bins [n, n + 1) 2π/L (L the longest side), from n = 1 to the corner of Fourier
        space, as in the `Pk_plane` of Pylians (Villaescusa-Navarro 2018) with MAS='None'.

    Raises:
        InputError: the shape or dtype is another, the box size is not positive, or a map is not finite, has
            negative pixels or a mean of zero.
    """
    return _spectrum(as_map_stack(maps), box_size, DENSITY_LABEL)


def field_power_spectrum(fields: ArrayLike, box_size: float, label: str = LOG_LABEL) -> PowerSpectrum:
    """Measure the power of the fluctuations f − mean(f) of a field that is not a density, such as log10 f.

    As `power_spectrum`, but nothing is divided by the mean and any sign is allowed: the unit is that of f² times
    (Mpc/h)². The result carries the label, so that it is not mistaken for the P(k) of a density.

    Raises:
        InputError: as `power_spectrum`, except that negative and zero-mean fields are allowed.
    """
    if label == DENSITY_LABEL:
        raise InputError(f"the power of a field other than the density contrast can't be labelled {label!r}")
    return _spectrum(as_map_stack(fields), box_size, label)


def measured_power(maps: ArrayLike, box_size: float, units: str) -> PowerSpectrum:
    """Measure P(k) of maps in `units`: of the density contrast, or of the fluctuations of a normalised field.

    Raises:
        InputError: as `power_spectrum` or `field_power_spectrum`.
    """
    if units == NORMALISED:
        return field_power_spectrum(maps, box_size, FIELD_LABEL)
    return power_spectrum(maps, box_size)


def log_power_spectrum(maps: ArrayLike, box_size: float, floor: float) -> PowerSpectrum:
    """Measure the power of the fluctuations of log10 f of physical maps (N, H, W), in (Mpc/h)².

    Args:
        maps: physical, non-negative maps.
        box_size: side along the last axis [Mpc/h].
        floor: pixels below it, such as zeros, are raised to it.

    Raises:
        InputError: as `power_spectrum`.
    """
    return _spectrum(as_map_stack(maps), box_size, LOG_LABEL, floor)


def pair_spectra(
    fields: Sequence[ArrayLike], pairs: Sequence[tuple[int, int]], box_size: float, label: str = DENSITY_LABEL
) -> tuple[PowerSpectrum, ...]:
    """Measure the spectrum of each pair (a, b) of several fields of the same maps: P(k) for a = b, else P_ab(k).

    `fields` are stacks (N, H, W) of one shape. P_ab(k) is the mean of Re(δ_a δ_b*) over the modes of each bin, with
    the bins and the normalisation of `power_spectrum`; it may be negative. `label` as in `PowerSpectrum`: the fields
    are divided by their means only where it is `DENSITY_LABEL`.

    Raises:
        InputError: the shapes differ, or as `power_spectrum` or `field_power_spectrum`.
    """
    stacks = [as_map_stack(field) for field in fields]
    shapes = {stack.shape for stack in stacks}
    if len(shapes) > 1:
        words = " and ".join(map(str, sorted(shapes)))
        raise InputError(f"fields have shapes {words}; cross spectra need fields of the same maps")
    return _spectra(stacks, pairs, box_size, label)


def bins(real: MapStack, generated: MapStack) -> None:
    """Return None: maps of one shape and box have the same modes."""


def measure(maps: MapStack, bins: None) -> PowerSpectrum:  # noqa: ARG001
    """Measure P(k) of a density, or the power of the fluctuations of a normalised field."""
    if maps.physical:
        return power_spectrum(maps.values, maps.box_size)
    return field_power_spectrum(maps.values, maps.box_size, FIELD_LABEL)


def compare(real: PowerSpectrum, generated: PowerSpectrum, design: Design) -> PowerComparison:
    """Return the comparison of the mean P(k) of generated and of real maps at equal parameters."""
    shown = real.below(1.0)
    scored = real.below(SCORED_FRACTION)[shown]
    scaled = design.scale(real.power[:, shown], generated.power[:, shown], "ratio")
    weights, words = band_weights(real.k_edges[: int(shown.sum()) + 1], SCORED_FRACTION * real.k_nyquist)

    def scores(sample: Sample) -> Array:
        ratio = _ratio(*raw_means(sample))
        return np.concatenate([[_median_abs_error(ratio[scored])], band_ratios(sample, weights), ratio])

    n_bins = int(shown.sum())
    tails: list[Tail] = ["upper", *["both"] * (len(BANDS) + n_bins)]  # type: ignore[list-item]
    error, *rest = design.estimate(scores, scaled, tails)
    bands = [replace(one, band=band) for one, band in zip(rest, words, strict=False)]
    ratios = rest[len(BANDS) :]
    real_mean, generated_mean = raw_means(scaled.sample())
    return PowerComparison(
        k=real.k[shown],
        real_mean=real_mean,
        real_std=real.std[shown],
        fixed_std=scaled.scatter * real_mean,
        generated_mean=generated_mean,
        ratio=_ratio(real_mean, generated_mean),
        ratio_std=known([one.error for one in ratios]),
        ratio_null_std=known([one.null_spread for one in ratios]),
        median_abs_error=known([error.value])[0],
        true_vs_true_median_abs_error=_error_of_halves(real.power[:, shown][:, scored], design),
        true_vs_true_same_simulation=_error_within(real.power[:, shown][:, scored], design),
        k_nyquist=real.k_nyquist,
        normalised=real.label == FIELD_LABEL,
        generated_std=scaled.generated_scatter * real_mean,
        scatter_by_band={
            "band": words,
            "real": band_means(scaled.scatter, weights),
            "generated": band_means(scaled.generated_scatter, weights),
        },
        scores={"median_abs_error": error, **dict(zip(BANDS, bands, strict=True))},
    )


def with_camels_scatter(power: PowerComparison, scatter: CamelsScatter) -> PowerComparison:
    """Return the comparison with the scatter of maps of CAMELS CV, which must be like those compared."""
    std = scatter.at(power.k)
    edges = np.arange(1, len(power.k) + 2, dtype=np.float64) * (2 * np.pi / scatter.box_size)
    weights, _ = band_weights(edges, SCORED_FRACTION * power.k_nyquist)
    by_band = {**power.scatter_by_band, "camels_cv": band_means(std / power.real_mean, weights)}
    return replace(power, camels_cv_std=std, scatter_by_band=by_band)


def band_ratios(sample: Sample, weights: Array) -> Array:
    """Return generated over real P(k) relative to the reference, less 1, averaged in each band, (3,)."""
    excess, used = sample.excess, weights > 0
    return np.array(
        [excess[held] @ row[held] if held.any() else np.nan for row, held in zip(weights, used, strict=True)]
    )


def band_means(values: Array, weights: Array) -> Array:
    """Return the mean of values (…, n_bins) in each band, (…, 3), from the bins with weight; NaN for an empty band."""
    means = [values[..., row > 0] @ row[row > 0] for row in weights]
    empty = [not (row > 0).any() for row in weights]
    return np.stack([np.full_like(one, np.nan) if gap else one for one, gap in zip(means, empty, strict=True)], axis=-1)


def raw_means(sample: Sample) -> tuple[Array, Array]:
    """Return the mean over parameter points of the real and of the generated vectors in their own unit."""
    real, generated = (view.point_means * sample.centre for view in (sample.real, sample.generated))
    return np.asarray(real.mean(axis=0)), np.asarray(generated.mean(axis=0))


def _ratio(real: Array, generated: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):  # constant maps have no power: NaN
        return np.asarray(generated / real, dtype=np.float64)


def _median_abs_error(ratio: Array) -> float:
    return float(np.median(np.abs(ratio - 1))) if ratio.size else float("nan")


def _error_of_halves(power: Array, design: Design) -> float:
    """Return the median error between random halves of the real simulations, whose parameters differ."""
    simulations = design.real_simulations
    totals, sizes = simulations.totals(power), simulations.sizes
    errors = [
        _median_abs_error(
            _ratio(totals[other].sum(axis=0) / sizes[other].sum(), totals[one].sum(axis=0) / sizes[one].sum())
        )
        for one, other in simulations.halves(design.seed)
    ]
    return float(np.median(errors)) if errors else float("nan")


def _error_within(power: Array, design: Design) -> float:
    """Return the median error between random halves of the maps within each simulation, which share structures."""
    errors = [
        _median_abs_error(_ratio(power[~first].mean(axis=0), power[first].mean(axis=0)))
        for first in design.real_simulations.map_halves(design.seed)
    ]
    return float(np.median(errors)) if errors else float("nan")


def _transforms(
    stack: NDArray[np.generic], rows: slice, precision: Precision, label: str, floor: float | None
) -> Transforms:
    if label == DENSITY_LABEL:
        return density_transforms(stack, rows, precision)
    if floor is not None:
        return log_transforms(stack, rows, precision, floor)
    return field_transforms(stack, rows, precision, label)


def _spectrum(stack: NDArray[np.generic], box_size: float, label: str, floor: float | None = None) -> PowerSpectrum:
    return _spectra((stack,), ((0, 0),), box_size, label, floor)[0]


def _spectra(
    fields: Sequence[NDArray[np.generic]],
    pairs: Sequence[tuple[int, int]],
    box_size: float,
    label: str,
    floor: float | None = None,
) -> tuple[PowerSpectrum, ...]:
    """Return the spectrum Re⟨F_a F_b*⟩ of each pair (a, b) of `fields`, each a stack of maps of one shape."""
    if not (np.isfinite(box_size) and box_size > 0):
        raise InputError(f"box_size is {box_size}; a positive length in Mpc/h is needed")

    def transforms(stack: NDArray[np.generic], rows: slice, precision: Precision) -> Transforms:
        return _transforms(stack, rows, precision, label, floor)

    height, width = fields[0].shape[1:]
    bins_of = annuli(height, width)
    pixel = box_size / width
    k_fundamental = 2 * np.pi / (pixel * max(height, width))
    # L_x L_y / (H W)², which is L² / N⁴ for a square map, over the modes of each bin.
    powers = mode_sums(fields, pairs, bins_of, transforms, density=label == DENSITY_LABEL)
    powers *= pixel**2 / (height * width) / bins_of.modes
    return tuple(
        PowerSpectrum(
            k=bins_of.mean_n * k_fundamental,
            power=power,
            modes=bins_of.modes.copy(),
            k_edges=k_fundamental * np.arange(1, bins_of.modes.size + 2),
            box_size=float(box_size),
            k_nyquist=float(np.pi / pixel),
            label=label,
        )
        for power in powers
    )
