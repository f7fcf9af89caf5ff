"""A two-sample test by classifier (C2ST): how well real and generated maps are told apart one by one.

The classifier is a linear discriminant in closed form on principal components of scattering coefficients and their
squares, so that it sees shifts and widths in all of them together (Lopez-Paz & Oquab 2017, arXiv:1610.06545). It is
cross-validated, split by simulation: maps of a simulation resemble each other, and a classifier that has seen some of
them would recognise the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.protocol import Result, known
from focus_engine.statistics.sample import Rows, Sample, Scaled, View
from focus_engine.statistics.scattering import Scattering, scaled_coefficients, whitened

Array = NDArray[np.float64]

FOLDS = 5
FEWEST_UNITS = 10
"""Simulations, or independent maps, of either kind without which the accuracy is unknown."""

RIDGE = 1e-3
"""Added to the variance of each feature, relative to it: it keeps the covariance of few maps invertible."""


@dataclass(frozen=True)
class ClassifierComparison(Result):
    """How well a classifier tells generated from real maps."""

    accuracy: float  # share of maps that are classified rightly, both classes with equal weight; 0.5 is chance


def bins(real: MapStack, generated: MapStack) -> None:
    """Return None: the measurement is that of the scattering coefficients."""


def compare(real: Scattering, generated: Scattering, design: Design) -> ClassifierComparison:
    """Return the accuracy of the classifier, less 1/2."""
    scaled = scaled_coefficients(real, generated, design)
    if scaled is None:
        return ClassifierComparison(accuracy=np.nan)
    features = whitened(scaled).transformed(lambda x: np.hstack([x, x**2]))
    (excess,) = design.estimate(_excess, with_folds(features, design), ["upper"])
    return ClassifierComparison(accuracy=float(known([excess.value])[0]) + 0.5, scores={"excess": excess})


def with_folds(scaled: Scaled, design: Design) -> Scaled:
    """Return the vectors with the fold of their simulation in a further column.

    A resampled row keeps the fold of its source, so that copies of a map never stand on both sides of a split.
    """
    rng = np.random.default_rng([design.seed, 21])
    real, generated = (_folds(rows, rng)[:, None] for rows in scaled.rows)
    return replace(
        scaled,
        real=np.hstack([scaled.real, real]),
        generated=np.hstack([scaled.generated, generated]),
        pool=np.hstack([scaled.pool, real]),
    )


def _folds(rows: Rows, rng: np.random.Generator) -> Array:
    return (rng.permutation(rows.units) % FOLDS).astype(np.float64)[rows.unit]


def _excess(sample: Sample) -> Array:
    """Return the accuracy less 1/2; NaN with too few simulations."""
    if min(sample.real.rows.units, sample.generated.rows.units) < FEWEST_UNITS:
        return np.array([np.nan])
    return np.array([accuracy(*_split(sample.real), *_split(sample.generated)) - 0.5])


def _split(view: View) -> tuple[Array, NDArray[np.intp]]:
    values = view.values
    return values[:, :-1], values[:, -1].astype(np.intp)


def accuracy(real: Array, real_folds: NDArray[np.intp], generated: Array, generated_folds: NDArray[np.intp]) -> float:
    """Return the cross-validated accuracy of a linear discriminant, as the mean over both classes.

    Args:
        real: features (N_r, V) of the real maps.
        real_folds: (N_r,) 0 … FOLDS − 1; each fold is classified by what the others teach.
        generated: features (N_g, V) of the generated maps.
        generated_folds: (N_g,).
    """
    classes = [_by_fold(real, real_folds), _by_fold(generated, generated_folds)]
    totals = [[sum(part) for part in zip(*of_class, strict=True)] for of_class in classes]
    right = np.zeros(2)
    for fold in range(FOLDS):
        taught = [
            _moments(*(whole - part for whole, part in zip(total, of_class[fold], strict=True)))
            for total, of_class in zip(totals, classes, strict=True)
        ]
        (one, covariance), (other, other_covariance) = taught
        spread = (covariance + other_covariance) / 2
        spread[np.diag_indices_from(spread)] *= 1 + RIDGE
        direction = np.linalg.solve(spread, other - one)
        threshold = direction @ (one + other) / 2
        right[0] += (real[real_folds == fold] @ direction < threshold).sum()
        right[1] += (generated[generated_folds == fold] @ direction > threshold).sum()
    return float((right / (len(real), len(generated))).mean())


def _by_fold(values: Array, folds: NDArray[np.intp]) -> list[tuple[float, Array, Array]]:
    """Return the number, the sum and the sum of products of the vectors in each fold."""
    parts = [values[folds == fold] for fold in range(FOLDS)]
    return [(float(len(part)), part.sum(axis=0), part.T @ part) for part in parts]


def _moments(count: float, total: Array, products: Array) -> tuple[Array, Array]:
    mean = total / count
    return mean, products / count - np.outer(mean, mean)
