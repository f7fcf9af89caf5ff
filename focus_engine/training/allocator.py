"""The memory allocator of the C library, set to keep what a process frees."""

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of `mallopt` (glibc's malloc.h)."""
_LARGEST = (2**30, 2**25)
"""Sizes of blocks from which memory is mapped anew [bytes]; some versions of glibc accept only the second."""


@cache
def keep_freed_memory() -> None:
    """Let this process reuse the memory of large tensors instead of returning it to the system; glibc only.

    By default each tensor of more than 32 MiB is mapped for its own lifetime, and the system fills it with zeros page
    by page: of a training step of 4 maps of 256 x 256 in float32 that takes 0.8 of 4.3 s. Threads share one arena,
    because the others hold blocks of at most 64 MiB. At most 2 GiB at the end of the arena stay unused.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:  # macOS, musl
        return
    set_option(_ARENA_MAX, 1)
    set_option(_TRIM_THRESHOLD, 2**31 - 1)
    for size in _LARGEST:
        if set_option(_MMAP_THRESHOLD, size):
            break
