"""Cross spectra P_ab(k) of several fields of the same maps, and their correlation coefficients r(k).

P(k) itself, with its bins and normalisation, is measured in power.py; here are the pairs of channels. As a statistic it
compares r(k) of each pair of fields: a generator can have every field right and their relation wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.bands import BANDS, band_weights
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.power import DENSITY_LABEL, FIELD_LABEL, SCORED_FRACTION, band_means, pair_spectra
from focus_engine.statistics.protocol import Result
from focus_engine.statistics.sample import Sample, Scaled
from focus_engine.statistics.significance import Estimate

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CrossSpectra:
    """Auto and cross spectra of maps with C channels; pairs are (0, 1), (0, 2), …, (C − 2, C − 1)."""

    k: Array  # (n_bins,) h/Mpc: the mean |k| of the modes in each bin
    pairs: tuple[tuple[int, int], ...]  # (n_pairs,) channels of each pair, the lower first
    auto: Array  # (n_maps, C, n_bins) (Mpc/h)²
    cross: Array  # (n_maps, n_pairs, n_bins) (Mpc/h)², of either sign
    modes: NDArray[np.int64]  # (n_bins,) independent modes
    box_size: float  # Mpc/h: side along the last axis
    k_nyquist: float  # h/Mpc

    @cached_property
    def correlation(self) -> Array:
        """r(k) = P_ab / sqrt(P_a P_b) of each map, (n_maps, n_pairs, n_bins), from −1 to 1; NaN without power."""
        return _correlation(self.auto, self.cross, self.pairs)

    @cached_property
    def mean_correlation(self) -> Array:
        """r(k) of the mean spectra of all maps, (n_pairs, n_bins): unlike the mean of r(k), hardly noisy or biased."""
        return _correlation(self.auto.mean(axis=0), self.cross.mean(axis=0), self.pairs)


def cross_spectra(maps: ArrayLike, box_size: float, *, physical: bool = True) -> CrossSpectra:
    """Measure P_a(k) of each channel and P_ab(k) of each pair of channels of maps (N, C, H, W).

    Args:
        maps: at least two channels; non-negative physical fields, each divided by its mean, or, with `physical`
            False, fields less their means.
        box_size: side along the last axis [Mpc/h].
        physical: whether the maps are physical rather than a normalised field.

    Raises:
        InputError: the shape or box size is another, or a channel of a map is not finite or, if physical, has
            negative pixels or a mean of zero.
    """
    stack = np.asarray(maps)
    if stack.ndim != 4 or stack.shape[1] < 2:
        raise InputError(f"maps have shape {stack.shape}; cross spectra need (N, C, H, W) with 2 or more channels")
    channels = range(stack.shape[1])
    pairs = tuple(combinations(channels, 2))
    wanted = (*((channel, channel) for channel in channels), *pairs)
    label = DENSITY_LABEL if physical else FIELD_LABEL
    measured = pair_spectra([stack[:, channel] for channel in channels], wanted, box_size, label)
    powers = np.stack([one.power for one in measured], axis=1)
    first = measured[0]
    auto, cross = powers[:, : len(channels)], powers[:, len(channels) :]
    return CrossSpectra(first.k, pairs, auto, cross, first.modes, first.box_size, first.k_nyquist)


def _correlation(auto: Array, cross: Array, pairs: tuple[tuple[int, int], ...]) -> Array:
    lower, upper = (list(side) for side in zip(*pairs, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = cross / np.sqrt(auto[..., lower, :] * auto[..., upper, :])
    return found


@dataclass(frozen=True)
class CrossComparison(Result):
    """r(k) of two fields, which is scored, and their P_ab(k), in the bins below the Nyquist wavenumber."""

    k: Array  # (n_bins,) h/Mpc
    real_mean: Array  # (n_bins,) mean r(k) of real maps
    real_std: Array  # (n_bins,) scatter over the set, between maps and between parameters
    generated_mean: Array  # (n_bins,) mean r(k) of generated maps
    real_cross: Array  # (n_bins,) mean P_ab(k) of real maps [(Mpc/h)²], of either sign
    generated_cross: Array  # (n_bins,) mean P_ab(k) of generated maps [(Mpc/h)²]
    k_nyquist: float  # h/Mpc


@dataclass(frozen=True, eq=False)
class PairMeasurement:
    """r(k), P_ab(k) and √(P_a P_b)(k) [(Mpc/h)²] of each map for a pair of fields, each (n_maps, n_bins).

    `k_edges` holds the edges of the bins [h/Mpc].
    """

    k: Array
    k_edges: Array
    correlation: Array
    cross: Array
    amplitude: Array
    k_nyquist: float

    def take(self, rows: NDArray[np.intp]) -> PairMeasurement:
        """Return the measurement of these maps alone."""
        arrays = {name: getattr(self, name)[rows] for name in ("correlation", "cross", "amplitude")}
        return replace(self, **arrays)


def bins(real: MapStack, generated: MapStack) -> None:
    """Return None: maps of one shape and box have the same modes."""


def measure(maps: MapStack, bins: None) -> PairMeasurement:  # noqa: ARG001
    """Measure r(k), P_ab(k) and √(P_a P_b)(k) of each pair of maps: of the stack and of its `partner`.

    Raises:
        InputError: the stack has no partner, or a map does not fit.
    """
    if maps.partner is None:
        raise InputError("cross spectra need two fields of the same maps")
    label = DENSITY_LABEL if maps.physical else FIELD_LABEL
    wanted = ((0, 0), (1, 1), (0, 1))
    first, second, cross = pair_spectra([maps.values, maps.partner], wanted, maps.box_size, label)
    shown = first.below(1.0)
    amplitude, crossed = np.sqrt(first.power * second.power)[:, shown], cross.power[:, shown]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.nan_to_num(crossed / amplitude)
    edges = first.k_edges[: int(shown.sum()) + 1]
    return PairMeasurement(first.k[shown], edges, found, crossed, amplitude, first.k_nyquist)


def compare(real: PairMeasurement, generated: PairMeasurement, design: Design) -> CrossComparison:
    """Return the comparison of r(k): generated less real, averaged in bands."""
    _, scores = scored_bands(real, (real.correlation, generated.correlation), design)
    return CrossComparison(
        k=real.k,
        real_mean=real.correlation.mean(axis=0),
        real_std=real.correlation.std(axis=0),
        generated_mean=generated.correlation.mean(axis=0),
        real_cross=real.cross.mean(axis=0),
        generated_cross=generated.cross.mean(axis=0),
        k_nyquist=real.k_nyquist,
        scores=scores,
    )


def scored_bands(
    real: PairMeasurement, vectors: tuple[Array, Array], design: Design
) -> tuple[Scaled, dict[str, Estimate]]:
    """Return generated less real vectors of the maps, each (n_maps, n_bins), in units of their scatter, and by band.

    The scores are means of that difference, unscaled, over the bins of each band.
    """
    scaled = design.scale(*vectors, "difference")
    weights, words = band_weights(real.k_edges, SCORED_FRACTION * real.k_nyquist)

    def scores(sample: Sample) -> Array:
        return band_means((sample.generated.mean - sample.real.mean) * scaled.spread, weights)

    found = design.estimate(scores, scaled, ["both"] * len(BANDS))
    return scaled, {name: replace(one, band=band) for name, one, band in zip(BANDS, found, words, strict=True)}
