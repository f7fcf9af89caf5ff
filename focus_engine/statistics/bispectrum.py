"""The bispectrum of two-dimensional periodic maps, in equilateral and squeezed triangles.

P(k) does not depend on phases; the bispectrum is the lowest order in Fourier space that does, and it vanishes for a
Gaussian field. The estimator sums over all closed triangles by Fourier transforms (Scoccimarro 2000,
astro-ph/0004086): a map filtered to an annulus of k is transformed back, and the mean over pixels of the product of
three such maps is the sum over the triangles with one side in each annulus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from focus_engine.statistics.bands import range_words
from focus_engine.statistics.design import Design
from focus_engine.statistics.fourier import Field, Modes, Precision, density_transforms
from focus_engine.statistics.map_stack import MapStack, chunk_rows
from focus_engine.statistics.protocol import Result
from focus_engine.statistics.sample import Sample, Scaled

Array = NDArray[np.float64]

MOST_BINS = 6
LEAST_RATIO = 1.6  # of the edges of a bin: a narrower one at the lowest k would hold no closed triangle
SQUEEZED_RATIO = 1.7  # of the lowest k_short to the highest k_long; maps of 16² pixels still have one such bin

SHAPES = ("equilateral", "squeezed")


@dataclass(frozen=True, eq=False)
class Bispectrum:
    """The bispectrum of each of `n_maps` maps in `n_triangles` kinds of triangles.

    The first `n_bins` kinds are equilateral, with all sides in bin i. The others are squeezed: k_long in the lowest
    bin, both other sides in one of the highest `n_triangles - n_bins` bins.
    """

    k: Array  # (n_bins,) h/Mpc: the mean |k| of the modes in each bin
    k_edges: Array  # (n_bins + 1,) h/Mpc: bin i is [k_edges[i], k_edges[i + 1])
    triangles: Array  # (n_triangles,) number of closed triangles, as ordered triples of modes
    power: Array  # (n_maps, n_bins) (Mpc/h)²: P(k) of each map in the same bins
    values: Array  # (n_maps, n_triangles) B in (Mpc/h)⁴
    reduced: Array  # (n_maps, n_triangles) Q = B / (P₁P₂ + P₂P₃ + P₃P₁), with the P(k) of the same map

    def take(self, rows: NDArray[np.intp]) -> Bispectrum:
        """Return the measurement of these maps alone."""
        return replace(self, power=self.power[rows], values=self.values[rows], reduced=self.reduced[rows])

    @property
    def n_bins(self) -> int:
        """Number of bins of k, and of kinds of equilateral triangles."""
        return int(self.k.size)


@dataclass(frozen=True)
class BispectrumComparison(Result):
    """The reduced bispectrum Q of generated and of real maps, as means over parameter points."""

    k: Array  # (n_bins,) h/Mpc
    real_equilateral: Array  # (n_bins,)
    real_std: Array  # (n_bins,) scatter between maps of equal parameters
    generated_equilateral: Array  # (n_bins,)
    k_short: Array  # (n_squeezed,) h/Mpc; k_long is k[0]
    real_squeezed: Array  # (n_squeezed,)
    generated_squeezed: Array  # (n_squeezed,)


def bins(real: MapStack, generated: MapStack) -> None:
    """Return None: maps of one shape and box have the same triangles."""


def measure(maps: MapStack, bins: None) -> Bispectrum:  # noqa: ARG001
    """Measure B and Q of the density contrast δ = f / mean(f) − 1 of each map; pixels are square.

    Bins of k are logarithmic, from the fundamental wavenumber of the shortest side to ⅔ of the Nyquist wavenumber:
    beyond it the transforms would count triangles that close only modulo the sampling wavenumber.

    Raises:
        InputError: a map is not finite, has negative pixels or is zero everywhere.
    """
    n_maps, height, width = maps.values.shape
    annuli = _annuli(height, width)
    sums = np.empty((n_maps, annuli.triangles.size))
    squares = np.empty((n_maps, annuli.modes.size))
    precision = Precision.of([maps.values])
    for rows in chunk_rows(maps.values):
        part = density_transforms(maps.values, rows, precision, maps.what)
        means = part.means.astype(part.modes.real.dtype)[:, None, None]
        sums[rows], squares[rows] = _sums(part.modes / means, annuli)
    pixels, pixel = height * width, maps.box_size / width
    values = sums / annuli.triangles * (pixel**4 / pixels)  # A² / (H W)³, with the area A
    power = squares / annuli.modes * (pixel**2 / pixels)  # A / (H W)²
    k_unit = 2 * np.pi / (pixel * max(height, width))
    return Bispectrum(
        k=annuli.mean_n * k_unit,
        k_edges=annuli.edges * k_unit,
        triangles=annuli.triangles.copy(),
        power=power,
        values=values,
        reduced=_reduced(values, power, annuli.first_short),
    )


def compare(real: Bispectrum, generated: Bispectrum, design: Design) -> BispectrumComparison:
    """Return the comparison of the mean Q of generated and of real maps at equal parameters.

    Q is compared rather than B, in which a few dense pixels dominate: relative to its mean, B scattered by 160 to 190 %
    between simulated 64² maps of equal parameters, Q by 20 % (squeezed) to 50 % (equilateral, above 0.8 h/Mpc). A score
    is the amplitude of Q in all triangles of a shape relative to that of real maps, less 1, by least squares with each
    Q in units of its scatter. Unknown if the maps are too small to hold such triangles.
    """
    if not real.triangles.size:
        return BispectrumComparison(*[np.empty(0)] * 7)
    scaled = design.scale(real.reduced, generated.reduced, "difference")
    first_short = real.n_bins - (real.triangles.size - real.n_bins)
    found = design.estimate(_scores_by_shape(scaled, real.n_bins), scaled, ("both", "both"))
    ends = [(real.k_edges[first], real.k_edges[-1]) for first in (0, first_short)]
    sample, centre = scaled.sample(), scaled.reference.centre
    mean_real, mean_generated = (
        (view.point_means * scaled.spread + centre).mean(axis=0) for view in (sample.real, sample.generated)
    )
    equilateral, squeezed = slice(0, real.n_bins), slice(real.n_bins, None)
    return BispectrumComparison(
        k=real.k,
        real_equilateral=mean_real[equilateral],
        real_std=(scaled.spread * scaled.scatter)[equilateral],
        generated_equilateral=mean_generated[equilateral],
        k_short=real.k[first_short:],
        real_squeezed=mean_real[squeezed],
        generated_squeezed=mean_generated[squeezed],
        scores={
            name: replace(one, band=range_words(band)) for name, one, band in zip(SHAPES, found, ends, strict=True)
        },
    )


def _scores_by_shape(scaled: Scaled, n_bins: int) -> Callable[[Sample], Array]:
    expected = scaled.reference.centre.mean(axis=0) / scaled.spread
    shapes = (slice(0, n_bins), slice(n_bins, None))

    def scores(sample: Sample) -> Array:
        apart = sample.generated.mean - sample.real.mean
        return np.array([_amplitude(apart[kinds], expected[kinds]) for kinds in shapes])

    return scores


def _amplitude(apart: Array, expected: Array) -> float:
    """Return the a of least squares in apart = a · expected; NaN if nothing is expected."""
    total = float(expected @ expected)
    return float(apart @ expected) / total if total > 0 else float("nan")


def _reduced(values: Array, power: Array, first_short: int) -> Array:
    """Return B / (P₁P₂ + P₂P₃ + P₃P₁); 0 for a map without fluctuations at these k."""
    short = power[:, first_short:]
    products = np.concatenate([3 * power**2, 2 * power[:, :1] * short + short**2], axis=1)
    reduced: Array = np.divide(values, products, out=np.zeros_like(values), where=products > 0)
    return reduced


@dataclass(frozen=True, eq=False)
class _Annuli:
    """The modes of each bin of k in the half plane of a real Fourier transform, and the triangles that they close."""

    shape: tuple[int, int]  # of a map
    edges: Array  # (n_bins + 1,) in units of 2π / longest side
    mean_n: Array  # (n_bins,) mean |k| in the same units
    inside: NDArray[np.bool_]  # (n_bins, H, W // 2 + 1)
    modes: Array  # (n_bins,): both modes of each conjugate pair count
    first_short: int  # the first bin of k_short in squeezed triangles
    triangles: Array  # (n_triangles,): equilateral, then squeezed


@lru_cache(maxsize=8)
def _annuli(height: int, width: int) -> _Annuli:
    shortest, longest = min(height, width), max(height, width)
    lowest, highest = longest / shortest, longest / 3
    n_bins = int(np.clip(np.log(highest / lowest) / np.log(LEAST_RATIO), 0, MOST_BINS))  # 0 below 5 pixels on a side
    rows = fft.fftfreq(height, 1 / longest)[:, None]
    columns = fft.rfftfreq(width, 1 / longest)[None, :]
    n = np.sqrt(rows**2 + columns**2)
    edges = np.geomspace(lowest, highest, n_bins + 1)
    edges[0] -= 1e-9  # the fundamental mode itself
    inside = np.array([(n >= low) & (n < high - 1e-9) for low, high in pairwise(edges)]).reshape(n_bins, *n.shape)
    pairs = np.where(columns == 0, 1.0, 2.0)  # no bin reaches the Nyquist column
    modes = (inside * pairs).sum(axis=(1, 2))
    mean_n = (inside * pairs * n).sum(axis=(1, 2)) / modes
    first_short = min(int(np.searchsorted(edges, SQUEEZED_RATIO * edges[min(n_bins, 1)])), n_bins)
    unit = _Annuli((height, width), edges, mean_n, inside.astype(np.bool_), modes, first_short, np.empty(0))
    counts = _triangle_sums(np.ones((1, *n.shape), dtype=np.complex128), unit)[0]
    return replace(unit, triangles=np.rint(counts))


def _sums(transform: Modes, annuli: _Annuli) -> tuple[Array, Array]:
    """Return Σ δ₁δ₂δ₃ over the triangles of each kind and Σ |δ|² over the modes of each bin, given the modes of δ."""
    squares = np.square(np.abs(transform), dtype=np.float64)
    squares[:, :, 1:] *= 2  # the modes of the other half plane; no bin reaches the Nyquist column
    inside = annuli.inside.reshape(-1, squares[0].size).T.astype(np.float64)
    totals = squares.reshape(-1, squares[0].size) @ inside
    return _triangle_sums(transform, annuli), totals


def _triangle_sums(transform: Modes, annuli: _Annuli) -> Array:
    """Return Σ δ₁δ₂δ₃ over the closed triangles of each kind (n, n_triangles), for transforms (n, H, W // 2 + 1)."""
    long: Field | None = None
    equilateral, squeezed = [], []
    for place, inside in enumerate(annuli.inside):
        field = fft.irfft2(transform * inside, s=annuli.shape)
        long = field if long is None else long
        square = field * field
        equilateral.append((square * field).sum(axis=(1, 2), dtype=np.float64))
        if place >= annuli.first_short:
            squeezed.append((square * long).sum(axis=(1, 2), dtype=np.float64))
    pixels = annuli.shape[0] * annuli.shape[1]
    sums = np.array(equilateral + squeezed).reshape(-1, len(transform)).T
    return np.asarray(sums * float(pixels) ** 2, dtype=np.float64)
