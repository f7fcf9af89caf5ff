"""P(k) of few samples during training against what real maps are expected to have at the same parameters.

The reference is a smooth function of the parameters, fitted to the training maps. Each sample is divided by the
reference at its parameters and the ratios are averaged, so that neither the scatter of single real maps nor that
between parameters enters. Vectors are positive and have one value per bin, such as P(k); nothing here reads maps.

The leading score is the median over bins of |mean ratio − 1|. For a perfect generator it is not 0: few maps scatter,
and the reference has an error. The null is its distribution for a perfect generator: residuals of real maps about the
reference, drawn independently from different simulations, with the error of the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.statistics.reference import Trend, fit_trend
from focus_engine.statistics.significance import Estimate, estimate_of

Array = NDArray[np.float64]

DRAWS = 200
"""Bootstrap samples, and draws of the null: an error is then known to 5 %."""
FEWEST_GROUPS = 8
"""Parameter points from which the bootstrap draws points; with fewer, it draws single maps."""


@dataclass(frozen=True, eq=False)
class LiveBins:
    """What the scores use of each bin.

    Attributes:
        scored: (V,) whether the median error uses the bin.
        weights: (B, V) weight of the bin in each band; 0 outside, NaN for a band without bins.
        bands: the range of each band in words.
    """

    scored: NDArray[np.bool_]
    weights: Array
    bands: tuple[str, ...] = ()

    def scores(self, ratio: Array) -> Array:
        """Return the median of |ratio − 1| over the scored bins, then the mean of ratio − 1 in each band, (1 + B,)."""
        off = ratio - 1
        known = np.abs(off[self.scored & np.isfinite(off)])
        means = [off[row > 0] @ row[row > 0] if (row > 0).any() else np.nan for row in self.weights]
        return np.array([np.median(known) if known.size else np.nan, *means])

    def estimates(self, ratio: Array, drawn: Array | None, perfect: Array | None, freedom: int) -> tuple[Estimate, ...]:
        """Return each score of a ratio (V,), from its bootstrap samples and those of perfect generators (n, V)."""
        value = self.scores(ratio)
        again, null = (None if many is None else np.array(list(map(self.scores, many))) for many in (drawn, perfect))
        return tuple(
            replace(
                estimate_of(
                    float(value[place]),
                    None if again is None else again[:, place],
                    None if null is None else null[:, place],
                    freedom,
                    "both" if place else "upper",
                ),
                band=self.bands[place - 1] if place else None,
            )
            for place in range(len(value))
        )


@dataclass(frozen=True, eq=False)
class LiveComparison:
    """Samples compared with the expectation at their parameters; unknown values are NaN."""

    reference: Array  # (V,) mean expected of real maps at the parameters of the samples
    scatter: Array  # (V,) standard deviation of one real map about it
    generated: Array  # (V,) mean of the samples
    ratio: Array  # (V,) mean of the samples relative to the reference
    ratio_error: Array  # (V,) standard error of the ratio, that of the reference included
    scores: tuple[Estimate, ...]  # the median error, then one score per band
    reference_error: float  # relative standard error of the reference: median over the scored bins

    def without_errors(self) -> LiveComparison:
        """Return the values alone: simulations of one initial field don't tell how far the reference is off by it."""
        scores = tuple(Estimate(score.value, band=score.band) for score in self.scores)
        return replace(self, ratio_error=np.full(self.ratio.shape, np.nan), scores=scores, reference_error=np.nan)


@dataclass(frozen=True, eq=False)
class TrendReference:
    """The mean vector as a smooth function of the parameters, and the residuals of real maps about it.

    Attributes:
        trend: the fitted function, of the logarithm of the mean of each simulation.
        factor: (V,) correction of its mean: the exponential of a mean logarithm lies below the mean (Duan 1983).
        solver: (T, S) pseudo-inverse of the features of the S training simulations.
        residuals: (S, M, V) real maps relative to the reference, mean 1 over all simulations.
    """

    trend: Trend
    factor: Array
    solver: Array
    residuals: Array

    @classmethod
    def fit(cls, params: ArrayLike, vectors: ArrayLike) -> TrendReference | None:
        """Fit to the vectors (S, M, V) of M maps in each of S simulations with parameters (S, P).

        Returns None if there are too few simulations for a fit.
        """
        points, maps = np.asarray(params, dtype=np.float64), np.asarray(vectors, dtype=np.float64)
        means = maps.mean(axis=1)
        trend = fit_trend(points, means, "ratio") if points.shape[1] else None
        if trend is None:
            return None
        fitted = _positive(trend.at(points))
        factor = (means / fitted).mean(axis=0)
        features = trend.features(points)
        solver = np.linalg.pinv(features)
        residuals = maps / (fitted * factor)[:, None]
        # A fit takes up part of the scatter between simulations: give it back.
        between = residuals.mean(axis=1, keepdims=True) - 1
        freedom = len(points) - np.linalg.matrix_rank(features)
        inflated: Array = residuals + between * (np.sqrt(len(points) / max(1, freedom)) - 1)
        return cls(trend, factor, np.asarray(solver, dtype=np.float64), inflated)

    def expected(self, params: ArrayLike) -> Array:
        """Return the reference at parameters (N, P), as (N, V)."""
        return _positive(self.trend.at(params)) * self.factor

    def errors(self, params: ArrayLike, rng: np.random.Generator) -> Iterator[Array]:
        """Yield `DRAWS` relative errors (V,) of the mean reference at parameters (N, P).

        To first order, the error of a linear fit is a weighted sum of the residuals of the simulations.
        """
        features = self.trend.features(np.asarray(params, dtype=np.float64))
        weights = features.mean(axis=0) @ self.solver
        between = self.residuals.mean(axis=1) - 1
        for _ in range(DRAWS):
            yield weights @ between[rng.integers(len(between), size=len(between))]

    def perfect(self, count: int, rng: np.random.Generator) -> Iterator[Array]:
        """Yield `DRAWS` mean ratios (V,) of `count` real maps, each of a different simulation while there are any."""
        simulations, maps, _ = self.residuals.shape
        for _ in range(DRAWS):
            several = rng.permutation(simulations)[:count]
            if count > simulations:
                several = rng.integers(simulations, size=count)
            yield self.residuals[several, rng.integers(maps, size=len(several))].mean(axis=0)

    def compare(
        self, generated: ArrayLike, params: ArrayLike, points: ArrayLike, bins: LiveBins, seed: int = 0
    ) -> LiveComparison:
        """Compare the vectors of samples (N, V), drawn at parameters (N, P) of points numbered (N,)."""
        samples, expected = np.asarray(generated, dtype=np.float64), self.expected(params)
        relative = samples / expected
        ratio = relative.mean(axis=0)
        rng = np.random.default_rng([seed, 1])
        wrong = np.array(list(self.errors(params, rng)))
        drawn = np.array(list(_bootstrap(relative, np.asarray(points), rng))) * (1 - wrong)
        perfect = np.array(list(self.perfect(len(samples), rng))) * (1 - rng.permutation(wrong))
        return LiveComparison(
            reference=expected.mean(axis=0),
            scatter=expected.mean(axis=0) * self.residuals.reshape(-1, ratio.size).std(axis=0),
            generated=samples.mean(axis=0),
            ratio=ratio,
            ratio_error=drawn.std(axis=0),
            scores=bins.estimates(ratio, drawn, perfect, len(self.residuals) - self.trend.terms),
            reference_error=_median(wrong.std(axis=0)[bins.scored]),
        )


@dataclass(frozen=True, eq=False)
class PointMeans:
    """The mean vector of the real maps at each of a few parameter points, where no trend can be fitted.

    The score is then that of the ratio of two means; a perfect generator's is unknown.

    Attributes:
        vectors: (G, M, V) of M real maps of each of G simulations.
    """

    vectors: Array

    def compare(self, generated: ArrayLike, points: ArrayLike, bins: LiveBins, seed: int = 0) -> LiveComparison:
        """Compare the vectors of samples (N, V) with the means at their `points` (N,), which index the simulations."""
        samples, where = np.asarray(generated, dtype=np.float64), np.asarray(points)
        reference, rng = self.vectors.mean(axis=1)[where].mean(axis=0), np.random.default_rng([seed, 1])
        means = np.array([self._redrawn(where, rng) for _ in range(DRAWS)])
        with np.errstate(divide="ignore", invalid="ignore"):  # constant maps have no power: NaN
            ratio = samples.mean(axis=0) / reference
            drawn = np.array(list(_bootstrap(samples, np.arange(len(samples)), rng))) / means
            wrong = means.std(axis=0) / reference
        every = self.vectors.reshape(-1, reference.size)
        several = self.vectors.shape[1] > 1
        return LiveComparison(
            reference=reference,
            scatter=every.std(axis=0, ddof=1) if len(every) > 1 else np.full(reference.shape, np.nan),
            generated=samples.mean(axis=0),
            ratio=ratio,
            ratio_error=drawn.std(axis=0) if several else np.full(ratio.shape, np.nan),
            scores=bins.estimates(ratio, drawn if several else None, None, 0),
            reference_error=_median(wrong[bins.scored]) if several else float("nan"),
        )

    def _redrawn(self, points: NDArray[np.integer], rng: np.random.Generator) -> Array:
        """Return the reference with the maps of each simulation drawn anew, with replacement."""
        simulations, maps, _ = self.vectors.shape
        chosen = rng.integers(maps, size=(simulations, maps))
        means = self.vectors[np.arange(simulations)[:, None], chosen].mean(axis=1)
        return np.asarray(means[points].mean(axis=0), dtype=np.float64)


def _median(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _positive(values: Array) -> Array:
    """Return the values, NaN where not positive: a bin that is sometimes empty of power has no ratio."""
    return np.where(values > 0, values, np.nan)


def _bootstrap(values: Array, points: NDArray[np.integer], rng: np.random.Generator) -> Iterator[Array]:
    """Yield `DRAWS` means (V,) of values (N, V), redrawn by parameter point, or by map where points are few."""
    _, index, counts = np.unique(points, return_inverse=True, return_counts=True)
    totals = values
    if len(counts) >= FEWEST_GROUPS:
        totals = np.zeros((len(counts), values.shape[1]))
        np.add.at(totals, index, values)
    else:
        counts = np.ones(len(values), dtype=np.intp)
    mean, groups = totals.sum(axis=0) / counts.sum(), len(totals)
    for _ in range(DRAWS):
        draw = rng.integers(groups, size=groups)
        again = totals[draw].sum(axis=0) / counts[draw].sum()
        yield mean + (again - mean) * np.sqrt(groups / max(1, groups - 1))
