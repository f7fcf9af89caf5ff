"""Bands of wavenumbers: large, middle and small scales."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BANDS = ("large_scales", "middle_scales", "small_scales")
"""Names of the bands, in the order of increasing k: thirds of the scored range in log k."""


def band_weights(k_edges: Array, k_highest: float) -> tuple[Array, tuple[str, ...]]:
    """Return the weight of each bin of k in each band (3, n_bins), and the range of each band in words.

    The range from `k_edges[0]` to `k_highest` is divided in three equal parts of log k. A bin belongs to the band that
    holds its middle, with a weight of its width in log k; the weights of a band sum to 1. Bins that reach beyond
    `k_highest` have no weight. A band without bins has weights of NaN.

    Args:
        k_edges: (n_bins + 1,) h/Mpc.
        k_highest: upper end of the scored range [h/Mpc].
    """
    lower, upper = k_edges[:-1], k_edges[1:]
    middle, width = np.log(np.sqrt(lower * upper)), np.log(upper / lower)
    limits = np.linspace(np.log(k_edges[0]), np.log(k_highest), len(BANDS) + 1)
    weights, words = [], []
    for low, high in pairwise(limits):
        held = (middle >= low) & (middle < high) & (upper <= k_highest * (1 + 1e-9))
        total = width[held].sum()
        weights.append(np.where(held, width, 0) / total if total > 0 else np.full(width.shape, np.nan))
        ends = (lower[held][0], upper[held][-1]) if total > 0 else (np.exp(low), np.exp(high))
        words.append(range_words(ends))
    return np.array(weights), tuple(words)


def range_words(ends: Sequence[float]) -> str:
    """Return a range of wavenumbers as text."""
    return f"{float(ends[0]):.2g}–{float(ends[1]):.2g} h/Mpc"
