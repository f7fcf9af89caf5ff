"""Digests of single maps, by which maps are recognised in another file.

A checkpoint holds the digests of its training maps and `focus sample` writes them into its files, so that `focus judge`
can tell whether a set of real maps holds some of them: in any order, file format or floating-point type, and among any
other maps. Rotated or shifted copies are not recognised; the distance to the nearest training map finds those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.data.channels import FieldFiles
from focus_engine.data.maps import MapSet

Digests = NDArray[np.uint64]


def map_digest(values: NDArray[np.generic]) -> int:
    """Return a 64-bit digest of a map (C, H, W): BLAKE2b of the first row of its first channel, as float32.

    One row of a continuous field is unique; more of it would make reading a large set from a cold disk slow. The
    digest of a constant row, such as one of an empty region, is 0, which means unknown.
    """
    with np.errstate(over="ignore"):
        row = np.asarray(values[0, 0], dtype="<f4") + np.float32(0)  # -0 becomes 0
    if np.all(row == row[0]):
        return 0
    return int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "little")


def digests_of(maps: Iterable[NDArray[np.generic]]) -> Digests:
    """Return the digests (N,) of maps (C, H, W)."""
    return np.array([map_digest(one) for one in maps], dtype=np.uint64)


def set_digests(map_set: MapSet, ids: ArrayLike) -> Digests:
    """Return the digests of the maps `ids` of a set in physical units; of each, only what is hashed is converted."""

    def first_row(index: int) -> NDArray[Any]:
        values = np.asarray(first[index]).reshape(-1, *map_set.shape[1:])[:1, :1]
        return map_set.stored.physical(values)

    first = map_set.maps.files[0] if isinstance(map_set.maps, FieldFiles) else map_set.maps

    return digests_of(first_row(int(index)) for index in np.asarray(ids))


def known(digests: Digests, among: Digests) -> NDArray[np.bool_]:
    """Return whether each of `digests` (N,) is one of `among`."""
    found: NDArray[np.bool_] = np.isin(digests, among) & (digests != 0)
    return found


def to_text(digests: Digests) -> str:
    """Return digests as one string of hexadecimal digits, which a checkpoint can hold."""
    return digests.astype("<u8").tobytes().hex()


def from_text(text: str) -> Digests:
    """Return the digests in a string of `to_text`."""
    return np.frombuffer(bytes.fromhex(text), dtype="<u8").astype(np.uint64)
