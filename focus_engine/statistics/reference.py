"""Smooth references: the mean of a statistic as a function of the parameters, fitted to real maps.

A reference makes maps of different parameters comparable: each map is measured relative to the mean expected at its
parameters. It is a low-order polynomial in the logarithms of the parameters, fitted by least squares to the means of
the parameter points, or those means themselves where each point has several simulations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Kind = Literal["ratio", "difference"]

SATURATED = 3
"""Simulations that every parameter point needs for the points' own means to be the reference.

With fewer, and one at some of the points, a ratio to the noisy mean of a point exceeds 1 for a perfect generator, and
the residuals of the real maps are too small there: of perfect generators, 44 % were beyond 5 %.
"""

SPARE_POINTS = 3
"""Parameter points needed beyond the number of terms of a linear fit."""

POINTS_PER_TERM = 3
"""Parameter points needed per term of a fit of higher order."""


@dataclass(frozen=True, eq=False)
class Trend:
    """A polynomial of the parameters, fitted to values at parameter points.

    Attributes:
        features: function from parameters (n, P) to the terms of the polynomial (n, T).
        coefficients: (T, V).
        logarithmic: for each column of values, whether its logarithm was fitted, (V,).
    """

    features: Callable[[Array], Array]
    coefficients: Array
    logarithmic: NDArray[np.bool_]

    @property
    def terms(self) -> int:
        """Number of terms of the polynomial."""
        return int(self.coefficients.shape[0])

    def at(self, params: ArrayLike) -> Array:
        """Return the fitted values at parameters (n, P), as (n, V)."""
        fitted = self.features(np.asarray(params, dtype=np.float64)) @ self.coefficients
        return np.where(self.logarithmic, np.exp(np.where(self.logarithmic, fitted, 0)), fitted)


def fit_trend(params: ArrayLike, values: ArrayLike, kind: Kind) -> Trend | None:
    """Return the highest polynomial that the number of points supports; None if not even a linear one.

    The orders are: linear; linear with squares; full quadratic. If all parameters are constant, the mean is returned.

    Args:
        params: (n, P) parameters.
        values: (n, V) finite values at them.
        kind: `ratio` fits the logarithm of each column that is positive everywhere; `difference` fits the values.
    """
    points, given = np.asarray(params, dtype=np.float64), np.asarray(values, dtype=np.float64)
    standardise, varying = _standardiser(points)
    candidates = [_features(standardise, varying, order) for order in ("quadratic", "squares", "linear")]
    for features, spare in zip(candidates, (None, None, SPARE_POINTS), strict=True):
        terms = features(points[:1]).shape[1]
        needed = POINTS_PER_TERM * terms if spare is None else terms + spare
        if len(points) >= needed or terms == 1:
            return _fitted(features, points, given, kind)
    return None


def _fitted(features: Callable[[Array], Array], points: Array, values: Array, kind: Kind) -> Trend:
    logarithmic = np.asarray((values > 0).all(axis=0) & (kind == "ratio"), dtype=np.bool_)
    targets = np.where(logarithmic, np.log(np.where(logarithmic, values, 1)), values)
    coefficients = np.linalg.lstsq(features(points), targets, rcond=None)[0]
    return Trend(features, np.asarray(coefficients, dtype=np.float64), logarithmic)


def _standardiser(points: Array) -> tuple[Callable[[Array], Array], NDArray[np.intp]]:
    """Return the map from parameters to standardised logarithms (values where not positive), and what varies."""
    positive = (points > 0).all(axis=0) if points.size else np.zeros(points.shape[1], dtype=bool)

    def raw(params: Array) -> Array:
        return np.where(positive, np.log(np.where(positive & (params > 0), params, 1)), params)

    mean, spread = raw(points).mean(axis=0), raw(points).std(axis=0)
    varying = np.flatnonzero(spread > 1e-9 * np.maximum(np.abs(mean), 1))
    scale = np.where(spread > 0, spread, 1)
    return lambda params: (raw(params) - mean) / scale, varying.astype(np.intp)


def standardised(params: ArrayLike) -> Array:
    """Return the logarithms of the parameters that vary, each with mean 0 and standard deviation 1, (n, varying)."""
    points = np.asarray(params, dtype=np.float64)
    standardise, varying = _standardiser(points)
    return np.asarray(standardise(points)[:, varying], dtype=np.float64)


def _features(
    standardise: Callable[[Array], Array], varying: NDArray[np.intp], order: Literal["linear", "squares", "quadratic"]
) -> Callable[[Array], Array]:
    def features(params: Array) -> Array:
        x = standardise(params)[:, varying]
        columns = [np.ones((len(x), 1)), x]
        if order != "linear":
            columns.append(x**2)
        if order == "quadratic":
            columns += [x[:, [i]] * x[:, [j]] for i in range(x.shape[1]) for j in range(i)]
        return np.hstack(columns)

    return features


@dataclass(frozen=True, eq=False)
class Reference:
    """The mean of a statistic at each parameter point.

    Attributes:
        centre: (G, V) the mean at each point.
        terms: number of fitted terms, by which the freedom of the residuals of the simulations is reduced.
        known: whether residuals about it show the scatter at fixed parameters; False if the points were too few to
            fit, so that `centre` is the mean over all points, or if simulations share their initial field.
        features: (G, terms) the terms of the fit at each point; None if `centre` holds the points' own means.
    """

    centre: Array
    terms: int
    known: bool
    features: Array | None = None

    def refitted(self, ratios: Array, points: NDArray[np.intp] | None = None) -> Array:
        """Return the fit to other real means, relative to this reference (G, V), as this reference was fitted.

        The means that the reference was fitted to give ones. Means of simulations drawn for a null do not: their fit
        has an error of its own, which belongs to the score of a perfect generator.

        Args:
            ratios: (G, V) positive means relative to this reference.
            points: (G,) the points that they belong to, all in order if left out.
        """
        if self.features is None:
            return ratios
        projection = self._projection if points is None else _projection(self.features[points])
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(ratios)
        known = np.isfinite(logs).all(axis=0)
        fit = np.ones_like(ratios)
        fit[:, known] = np.exp(projection @ logs[:, known])
        return fit

    @cached_property
    def _projection(self) -> Array:
        """The matrix (G, G) from values at the points to their fit."""
        return _projection(self.features)


def _projection(features: Array | None) -> Array:
    if features is None:
        raise ValueError("the means of points have no fit")
    return np.asarray(features @ np.linalg.pinv(features), dtype=np.float64)


def reference_of(points: Array, means: Array, simulations: NDArray[np.intp], kind: Kind) -> Reference:
    """Return the reference for real means (G, V) at parameter points (G, P), of `simulations` (G,) at each."""
    if simulations.min() >= SATURATED:
        return Reference(means, len(points), known=True)
    trend = fit_trend(points, means, kind) if points.shape[1] else None
    if trend is None:
        ones = np.ones((len(points), 1))
        return Reference(np.broadcast_to(means.mean(axis=0), means.shape), 1, known=False, features=ones)
    known = int(simulations.sum()) - trend.terms >= SPARE_POINTS
    return Reference(trend.at(points), trend.terms, known, trend.features(points))
