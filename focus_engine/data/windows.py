"""Reading of maps window by window: each chunk of a file is decoded once a window, whatever the order of the maps.

The maps of a window are read in the order of the file and held until they are used, while threads read the next window.
Two windows are thus in memory at once, whatever the size of the set.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

Read = Callable[[Tensor], Tensor]
"""Returns the maps (n, C, H, W) with the ids (n,), which lie in one chunk."""


@dataclass(frozen=True, eq=False)
class _Window:
    """The maps of one window: `maps` in the order of the file, `place` (n,) of each in the order of use."""

    maps: Tensor
    place: Tensor
    tasks: list[Future[None]]

    def take(self, first: int, last: int) -> Tensor:
        """Return maps `first` ... `last - 1` in the order of use, when they are read."""
        for task in self.tasks:
            task.result()
        return self.maps[self.place[first:last]]


def read_windows(
    parts: Sequence[Tensor], windows: Sequence[int], *, read: Read, shape: tuple[int, ...], chunk: int, threads: int
) -> Generator[Tensor, None, None]:
    """Yield the maps of each of `parts`, which hold the ids (n,) of batches in the order of use.

    Args:
        parts: ids of the maps of each batch.
        windows: number of the window of each of these maps, ascending, over all parts.
        read: reads maps.
        shape: (C, H, W) of a map.
        chunk: maps per chunk of the file.
        threads: number of threads that read; 0: the caller reads, without reading ahead.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="focus-maps") if threads else None
    _, counts = torch.unique_consecutive(torch.tensor(windows, dtype=torch.int64), return_counts=True)
    groups = iter(torch.split(torch.cat([*parts]), counts.tolist()) if parts else ())

    def following() -> _Window | None:
        ids = next(groups, None)
        return None if ids is None else _started(ids, read, shape, chunk, pool)

    try:
        current, ahead, used = following(), following() if pool else None, 0
        for part in parts:
            pieces, missing = [], len(part)
            while missing:
                assert current is not None  # noqa: S101  (the windows hold all parts)
                taken = current.take(used, used + missing)
                pieces.append(taken)
                missing, used = missing - len(taken), used + len(taken)
                if used == len(current.place):
                    current, used = ahead if pool else following(), 0
                    ahead = following() if pool else None
            yield torch.cat(pieces)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def _started(ids: Tensor, read: Read, shape: tuple[int, ...], chunk: int, pool: ThreadPoolExecutor | None) -> _Window:
    """Return the window of `ids` (n,) in the order of use, read now, or chunk by chunk by the threads of `pool`."""
    by_file = torch.argsort(ids, stable=True)
    place = torch.empty_like(by_file)
    place[by_file] = torch.arange(len(ids))
    window = _Window(torch.empty(len(ids), *shape), place, [])
    _, counts = torch.unique_consecutive(ids[by_file] // chunk, return_counts=True)
    places = torch.split(torch.arange(len(ids)), counts.tolist())
    for some in places:

        def fill(target: Tensor, chosen: Tensor) -> None:
            target.copy_(read(chosen))

        target, chosen = window.maps[some[0] : some[-1] + 1], ids[by_file[some]]
        if pool:
            window.tasks.append(pool.submit(fill, target, chosen))
        else:
            fill(target, chosen)
    return window
