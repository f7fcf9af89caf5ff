"""Whether the threads of a training share one heap.

glibc gives each thread a heap of its own, in parts of 64 MiB. Tensors that fill much of a part are better in the one
heap that grows without end; small ones are better apart, because threads that share a batch wait for each other at the
lock of a shared heap, 500 times a step. Measured on two cores: `small_flow` trains 3 % slower in one heap; with 64 maps
of 64 x 64 in float32 10 % faster, with 32 of 128 x 128 5 % (bf16) and 12 % (float32).
"""

import os

from focus_engine.allocator import LARGE, large_transforms
from focus_engine.config.schema import Config

_FLOAT = 4


def needs_one_heap(config: Config, pixels: int | None = None) -> bool:
    """Return whether threads of a training on a CPU work on tensors larger than `LARGE`.

    These are the features of a thread's share of a batch at full resolution, and the transforms of a universe to be
    simulated. `pixels` are those of a map; by default those that will be simulated, and maps in files count as large.
    """
    data = config.data
    if data.source == "simulated":
        pixels = pixels or data.map_size**2
        if large_transforms(data.grid):
            return True
    if pixels is None:
        return True
    maps = -(-config.training.batch_size // usable_cores())
    return _FLOAT * maps * pixels * config.model.base_channels > LARGE


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
