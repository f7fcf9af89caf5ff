"""Estimates of scores: value, uncertainty, what a perfect generator scores, and how unlikely the value is for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
Tail = Literal["both", "upper"]

FEWEST_DRAWS = 20
"""Finite draws without which an error or a null is unknown."""

SMALLEST_P = 1e-12
"""Lower bound of a p-value: the tails of the fitted distributions mean nothing beyond."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score with its uncertainty and its null; unknown numbers are None.

    Attributes:
        value: the score.
        error: half the width of the interval that holds it in 68 % of cases, from a bootstrap by simulation.
        null: the mean score of a perfect generator with as many maps.
        null_spread: the standard deviation of that.
        p_value: the probability that a perfect generator scores at least as far from `null`.
        band: the scales that it is about, in words.
    """

    value: float | None
    error: float | None = None
    null: float | None = None
    null_spread: float | None = None
    p_value: float | None = None
    band: str | None = None

    def to_dict(self) -> dict[str, float | str | None]:
        """Return the object of the JSON."""
        return {name: getattr(self, name) for name in ("value", "error", "null", "null_spread", "p_value", "band")}


def small_sample_factor(groups: int, freedom: int) -> float:
    """Return by how much an error must exceed the spread of bootstrap samples to hold 68 % of the deviations.

    A resampling of few groups leaves (n − 1) / n of the variance, and what is left is known to few degrees of freedom:
    √(n / (n − 1)) times the quantile of Student's t at one standard deviation (Efron & Tibshirani 1993, §12.5). It is
    1.28 for 5 groups, 1.11 for 10, 1.04 for 25. 1 for a single group, whose spread is not known at all.
    """
    if groups < 2 or freedom < 1:
        return 1.0
    return float(np.sqrt(groups / (groups - 1)) * special.stdtrit(freedom, special.ndtr(1.0)))


def estimate_of(value: float, resampled: Array | None, null: Array | None, freedom: int, tail: Tail) -> Estimate:
    """Return the estimate of a score from its value and from its draws.

    Args:
        value: the score; unknown if not finite.
        resampled: its values in bootstrap samples, None if there are none.
        null: its values for perfect generators, None if unknown.
        freedom: degrees of freedom of the null's spread: simulations less fitted terms.
        tail: `both`, or `upper` if a fault only raises the score.
    """
    if not np.isfinite(value):
        return Estimate(None)
    error = _spread(resampled)
    draws = _finite(null)
    if draws is None or freedom < 1:
        return Estimate(value, error)
    centre, spread = float(draws.mean()), float(draws.std(ddof=1))
    return Estimate(value, error, centre, spread, p_value(value, draws, freedom, tail))


def p_value(value: float, draws: Array, freedom: int, tail: Tail) -> float:
    """Return the probability that a perfect generator scores at least as far from the mean of `draws` as `value`.

    The draws give mean, spread and skewness, to which a Pearson type III distribution is fitted; its quantile is read
    as one of Student's t with `freedom` degrees of freedom, since the spread itself is estimated. On the side where
    that distribution ends, the normal tail is the least probability: its end is known too badly to call a value
    slightly beyond it impossible. Draws without spread tell no more than their number: one more may be as far.
    """
    centre, spread = float(draws.mean()), float(draws.std(ddof=1))
    if spread <= 1e-12 * max(abs(centre), 1e-300):
        apart = abs(value - centre) if tail == "both" else value - centre
        return 1.0 if apart <= 1e-9 * abs(centre) else 1 / (draws.size + 1)
    z = (value - centre) / spread
    skew = float(np.clip(((draws - centre) ** 3).mean() / spread**3, -2, 2))
    upper, lower = _pearson_tail(z, skew), _pearson_tail(-z, -skew)
    one_sided = upper if tail == "upper" else min(upper, lower)
    normal = float(-special.ndtri(np.clip(one_sided, 1e-300, 1 - 1e-16)))
    probability = float(special.stdtr(freedom, -normal))
    return float(np.clip(probability * (2 if tail == "both" else 1), SMALLEST_P, 1))


def _pearson_tail(z: float, skew: float) -> float:
    """Return P(Z > z) of the Pearson type III distribution of mean 0, variance 1 and this skewness.

    For negative skewness it ends at z = −2 / skew; the probability is at least that of a normal distribution.
    """
    normal = float(special.ndtr(-z))
    if abs(skew) < 1e-4:
        return normal
    shape = 4 / skew**2
    place = max(shape + z * np.sqrt(shape) * np.sign(skew), 0)
    if skew > 0:
        return float(special.gammaincc(shape, place))
    return max(float(special.gammainc(shape, place)), normal)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p-values corrected for having looked at all of them (Holm 1979)."""
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    corrected, highest = {}, 0.0
    for place, (name, probability) in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - place) * probability))
        corrected[name] = highest
    return corrected


def _finite(draws: Array | None) -> Array | None:
    if draws is None:
        return None
    finite = draws[np.isfinite(draws)]
    return finite if finite.size >= FEWEST_DRAWS else None


def _spread(draws: Array | None) -> float | None:
    finite = _finite(draws)
    return None if finite is None else float(finite.std(ddof=1))
