"""Sums over annuli of k of products of modes, chunk by chunk of maps: the inner loop of every spectrum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.statistics.fourier import ROWS_APART, Annuli, Field, Precision, SingleTransforms, Transforms
from focus_engine.statistics.map_stack import chunk_rows

Array = NDArray[np.float64]
Transformer = Callable[[NDArray[np.generic], slice, Precision], Transforms]

_SAFE_EXPONENT = 20
"""Of means 2^±20, modes of float32 maps of up to 4096 x 4096 can be squared and added without overflow."""


def mode_sums(
    fields: Sequence[NDArray[np.generic]],
    pairs: Sequence[tuple[int, int]],
    bins_of: Annuli,
    transforms: Transformer,
    *,
    density: bool,
) -> Array:
    """Return the sums over each annulus of Re(F_a F_b*) of pairs (a, b) of fields, (n_pairs, n_maps, n_bins).

    Args:
        fields: stacks (N, H, W) of the same maps.
        pairs: places in `fields`; a = b for the power of one.
        bins_of: the annuli of these maps.
        transforms: the transforms of a chunk of a stack, which checks the maps.
        density: whether the fields are divided by their means. Large stacks of float32 densities are transformed in
            float32, and those that are not fit for it by `transforms` in float64.
    """
    n_maps = len(fields[0])
    precision = Precision.of(fields)
    measured = _Pairs(pairs, n_maps, bins_of, np.dtype(np.float64))
    means = [np.ones(n_maps) for _ in fields]
    good = np.zeros(n_maps, dtype=np.bool_)
    if precision.single and density:
        singles, good = _single_sums(fields, pairs, bins_of, precision)
        if good.all():
            return singles
        precision = replace(precision, dtype=np.dtype(np.float64))
    for rows in chunk_rows(fields[0]):
        if good[rows].all():
            continue
        found = [transforms(stack, rows, precision) for stack in fields]
        measured.add(rows, [bins_of.ordered(one.modes) for one in found])
        if density:
            for mean, one in zip(means, found, strict=True):
                mean[rows] = one.means
        del found  # the next chunk is measured in the same memory, which is in the cache
    exact = measured.relative(means)
    return np.where(good[:, None], singles, exact) if good.any() else exact


class _Pairs:
    """Sums over annuli of Re(F_a F_b*) of pairs (a, b) of fields, filled chunk by chunk of maps.

    Attributes:
        sums: (n_pairs, n_maps, n_bins), in the precision of the transforms.
    """

    def __init__(self, pairs: Sequence[tuple[int, int]], n_maps: int, bins_of: Annuli, dtype: np.dtype[Any]) -> None:
        """Make room for the sums."""
        self._pairs, self._bins_of = pairs, bins_of
        self.sums = np.empty((len(pairs), n_maps, bins_of.modes.size), dtype)

    def add(self, rows: slice, parts: Sequence[Field]) -> None:
        """Fill those of a chunk from the ordered parts of the modes of each field, which may be overwritten."""
        for sums, (a, b) in zip(self.sums, self._pairs, strict=True):
            products = np.multiply(parts[a], parts[b], out=parts[a] if len(self._pairs) == 1 else None)
            sums[rows] = self._bins_of.sums(products)

    def relative(self, means: Sequence[Array]) -> Array:
        """Return the sums over the means (n_maps,) of both fields of each pair, in float64."""
        divisors = np.array([means[a] * means[b] for a, b in self._pairs])
        return np.asarray(self.sums / divisors[:, :, None], dtype=np.float64)


def _single_sums(
    stacks: Sequence[NDArray[np.generic]], pairs: Sequence[tuple[int, int]], bins_of: Annuli, precision: Precision
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the sums of relative fluctuations (n_pairs, n_maps, n_bins), computed in float32, and which maps are good.

    Modes are multiplied by a power of 2 where their squares could overflow, which rounds nothing.
    """
    fields = [np.asarray(stack, dtype=np.float32) for stack in stacks]
    found = [SingleTransforms(field, precision) for field in fields]
    scales = [_scale(field[:1, ::ROWS_APART]) for field in fields]
    measured = _Pairs(pairs, len(fields[0]), bins_of, precision.dtype)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of maps that are measured anew
        for rows in chunk_rows(fields[0]):
            measured.add(
                rows, [bins_of.ordered(one.modes(rows), scale) for one, scale in zip(found, scales, strict=True)]
            )
        means = [one.means * (scale or 1) for one, scale in zip(found, scales, strict=True)]
        good = np.all([one.good() for one in found], axis=0) & np.all(np.abs(np.log2(means)) < _SAFE_EXPONENT, axis=0)
        return measured.relative(means), good


def _scale(values: Field) -> np.float32 | None:
    """Return the power of 2 that brings the mean of these values near 1; None where it is near enough."""
    exponent = int(np.frexp(values.mean(dtype=np.float64))[1])
    return None if abs(exponent) < _SAFE_EXPONENT - 4 else np.float32(np.ldexp(1.0, -exponent))
