"""The logarithm of maps as the statistics of shapes read it: log10 of a density, or a normalised field as it is.

Heights are standardised map by map: ν = (field − its mean) / its standard deviation. The mean and the variance of the
log density have scores of their own (PDF, slab mean, P(k) of log density); without them the shapes of structures are
measured with less scatter, and real and generated maps are treated alike. A reference from the real maps of a
parameter point would not do so: where a point has one real map, it would standardise that map by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.map_stack import MapStack, chunks, log_floor, physical_chunks

Array = NDArray[np.float64]

CONSTANT = 1e-9  # dex: the logarithm of a map whose pixels differ by less has no structure but rounding


def floor_of(real: MapStack) -> float | None:
    """Return the floor of the densities of both kinds of maps; None for normalised fields, which have no logarithm.

    Raises:
        InputError: a real map is not finite, has negative pixels or is zero everywhere.
    """
    return log_floor(real) if real.physical else None


def log_chunks(maps: MapStack, floor: float | None) -> Iterator[tuple[int, Array]]:
    """Yield (first, chunk (n, H, W)) of log10 of maps raised to `floor`, or of a normalised field as it is.

    Raises:
        InputError: a map is not finite, or is a density with negative pixels or zero everywhere.
    """
    if floor is not None:
        for first, chunk, _ in physical_chunks(maps.values, maps.what):
            np.maximum(chunk, floor, out=chunk)
            yield first, np.log10(chunk, out=chunk)
        return
    for first, chunk in chunks(maps.values):
        finite = np.isfinite(chunk).all(axis=(1, 2))
        if not finite.all():
            raise InputError(f"{maps.what} {first + int(np.argmin(finite))} holds NaN or infinite pixels")
        yield first, chunk


def standardised_chunks(maps: MapStack, floor: float | None) -> Iterator[tuple[int, Array]]:
    """Yield (first, chunk (n, H, W)) of ν, of mean 0 and variance 1 in each map; a constant map is 0.

    Raises:
        InputError: as `log_chunks`.
    """
    for first, field in log_chunks(maps, floor):
        yield first, _standardised(field)


def _standardised(field: Array) -> Array:
    gap = field - field.mean(axis=(1, 2), keepdims=True)
    sigma = np.sqrt(np.mean(gap**2, axis=(1, 2), keepdims=True))
    return np.asarray(np.divide(gap, sigma, out=np.zeros_like(gap), where=sigma > CONSTANT), dtype=np.float64)
