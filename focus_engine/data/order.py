"""The order in which an epoch shows the maps of a set, a function of seed and epoch alone.

Maps that can be read one at a time are permuted as a whole. A file in compressed chunks of many maps would decode each
chunk once a map; there the chunks are permuted, and maps are mixed within windows of the resulting sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor

from focus_engine.data.randomness import keyed_generator


def epoch_order(ids: Tensor, *, seed: int, epoch: int, chunk: int, window: int) -> Tensor:
    """Return a permutation of the places of `ids` (N,), int64 (N,).

    With more than one map in a `chunk` of the file, and more maps than a `window`, the maps at places
    i × window … (i + 1) × window of the order are those of a few chunks. Neither depends on batches or ranks, so that a
    run can be resumed with others.
    """
    generator = keyed_generator("order", seed, epoch)
    if chunk == 1 or len(ids) <= window:
        return torch.randperm(len(ids), generator=generator)
    _, chunks = torch.unique(ids // chunk, return_inverse=True)
    rank = torch.randperm(int(chunks.max()) + 1, generator=generator)
    order = torch.argsort(rank[chunks], stable=True)
    mixed = torch.arange(len(ids)) // window + torch.rand(len(ids), generator=generator, dtype=torch.float64)
    return order[torch.argsort(mixed, stable=True)]
