"""The memory allocator of the C library, set to keep what a process frees."""

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of `mallopt` (glibc's malloc.h)."""
_LARGEST = (2**30, 2**25)
"""Sizes of blocks from which memory is mapped anew [bytes]; some versions of glibc accept only the second."""
LARGE = 8 * 2**20
"""Bytes of tensors that want one heap: heaps of threads grow in parts of 64 MiB, of which they fill much."""
_COMPLEX = 8


def large_transforms(grid: int) -> bool:
    """Return whether the Fourier transforms of grid^3 cells in single precision are `LARGE`."""
    return _COMPLEX * grid**3 > LARGE


@cache
def share_one_heap() -> None:
    """Let all threads of this process take memory from one heap; glibc only. Call it before any other thread works.

    A thread that has a heap of its own keeps it, and there blocks of more than 64 MiB are mapped each time that they
    are needed, whatever `keep_freed_memory` says. Gradients of 96 maps of 128 x 128 then took 0.19 instead of 0.10 s
    a map. Threads with small tensors are faster with heaps of their own, because they do not wait for each other:
    `focus_engine/config/heap.py` tells which a training needs.
    """
    _set_options((_ARENA_MAX, 1))


@cache
def keep_freed_memory(*, one_heap: bool = True) -> None:
    """Let this process reuse the memory of large tensors instead of returning it to the system; glibc only.

    With `one_heap`, threads that work later share it (see `share_one_heap`).

    By default each tensor of more than 32 MiB is mapped for its own lifetime, and the system fills it with zeros page
    by page: of a training step of 4 maps of 256 x 256 in float32 that takes 0.8 of 4.3 s. At most 2 GiB at the end of
    the heap stay unused.
    """
    if one_heap:
        share_one_heap()
    _set_options((_TRIM_THRESHOLD, 2**31 - 1))
    _set_options(*((_MMAP_THRESHOLD, size) for size in _LARGEST))


def _set_options(*choices: tuple[int, int]) -> None:
    """Set the first of `choices` that the C library accepts, if it is glibc and not musl or that of macOS."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        any(set_option(option, value) for option, value in choices)
