"""Batches of standardised maps and parameters, ready on the device.

A set that fits is held on the device, and batches then cost the training loop nothing. A larger set is read from
the memory map by threads that read ahead, or window by window from a file in chunks. Threads suffice because reading,
checking and copying release the GIL; loader processes would cost memory, start-up time and shared memory. Order is
keyed by (seed, epoch), symmetries by (seed, epoch, batch): all ways of reading give the same batches, from any
starting batch.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from focus_engine.data.maps import MapSet
from focus_engine.data.memory import free_memory
from focus_engine.data.normalise import Normaliser
from focus_engine.data.order import epoch_order
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.data.randomness import keyed_generator
from focus_engine.data.symmetries import Augmentation, apply_symmetries, draw_symmetries
from focus_engine.data.windows import read_windows

RESIDENT_FRACTION = 0.25
"""Fraction of the device's free memory that a set may fill; weights, moments and activations need the rest."""

WINDOW_BYTES = 2**30
"""Size of the windows within which the maps of a file in chunks are mixed [bytes of float32]; two are in memory."""

Standard = Callable[[Tensor, Tensor], Tensor]
"""Returns normalised maps (n, C, H, W) at standardised parameters (n, P) in units of their own."""

_READ_AHEAD = 2  # batches per thread that may wait for the device


@dataclass(frozen=True, eq=False)
class Batch:
    """The maps and parameters of one training batch, or one rank's part of it."""

    maps: Tensor  # (B, C, H, W) float32 standardised, on the device
    cond: Tensor  # (B, P) float32 standardised parameters, on the device
    ids: Tensor  # (B,) int64 map ids, on the CPU
    whole: int  # number of maps in the whole batch
    part: slice  # the part of the whole batch held here
    weight: float = 1.0  # 0 if the batch has fewer maps than parts, so that this part must not count

    def __len__(self) -> int:
        return int(self.maps.shape[0])


@dataclass(frozen=True)
class Share:
    """The part of each batch that a rank (`training/ranks.py`) reads: part `rank` of `size`; by default all of it."""

    rank: int = 0
    size: int = 1

    def of(self, count: int) -> tuple[slice, float]:
        """Return the part of `count` maps and its weight. An empty part is replaced by the first map with weight 0."""
        part = slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)
        return (part, 1.0) if part.stop > part.start else (slice(0, 1), 0.0)


def fits(maps: int, shape: tuple[int, int, int], device: torch.device) -> bool:
    """Return whether `maps` maps of `shape` (C, H, W) are held on the device."""
    return held_bytes(maps, shape) <= RESIDENT_FRACTION * free_memory(device)


def held_bytes(maps: int, shape: tuple[int, int, int]) -> int:
    """Return the memory of maps of `shape` (C, H, W) that are held on the device [bytes]."""
    return 4 * maps * math.prod(shape)


class Batches:
    """Batches of the maps `ids` of a set; the last batch may be smaller, and no map is dropped."""

    def __init__(
        self,
        map_set: MapSet,
        ids: ArrayLike,
        normaliser: Normaliser,
        scaler: ParameterScaler,
        *,
        standard: Standard | None = None,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        num_workers: int = 0,
        resident: bool | None = None,
        share: Share = Share(),
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        """Prepare batches; read the maps now only if they are held on the device.

        Otherwise `num_workers` threads read ahead. `resident` forces either choice; None decides by
        RESIDENT_FRACTION. `share` is the part of each batch to read; `batch_size` is the size of the whole batch.
        `window_bytes` is the size of the windows of a file in chunks, at least one chunk. `standard` is applied to
        normalised maps.

        Raises:
            InputError: a map holds invalid values (raised here if resident, else when its batch is read).
        """
        self.ids = torch.from_numpy(np.array(ids, dtype=np.int64))
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.seconds_waited = 0.0  # seconds that callers waited for batches, over all epochs
        self._map_set, self._normaliser, self._standard = map_set, normaliser, standard
        self._seed, self._shuffle, self._augmentation = seed, shuffle, augmentation
        self._num_workers, self._share = num_workers, share
        self._cond = scaler.standardise(torch.from_numpy(map_set.params_of(self.ids.numpy()))).to(self.device)
        self._window = max(map_set.chunk, window_bytes // (4 * math.prod(map_set.shape)))
        self._held = self._hold(resident)

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return math.ceil(len(self.ids) / self.batch_size)

    @property
    def n_maps(self) -> int:
        """Number of maps per epoch."""
        return len(self.ids)

    @property
    def resident(self) -> bool:
        """Whether the maps are held on the device."""
        return self._held is not None

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, starting at batch `start`.

        A batch depends on seed, epoch and batch index alone, not on what was drawn before.
        """
        order = torch.arange(len(self.ids))
        if self._shuffle:
            chunk, window = self._map_set.chunk, self._window
            order = epoch_order(self.ids, seed=self._seed, epoch=epoch, chunk=chunk, window=window)
        size = self.batch_size
        starts = range(start * size, len(order), size)
        places = [order[first : first + size] for first in starts]
        shares = [self._share.of(len(whole)) for whole in places]
        parts = [whole[part] for whole, (part, _) in zip(places, shares, strict=True)]
        ready = self._normalised(parts, [first + part.start for first, (part, _) in zip(starts, shares, strict=True)])
        try:
            for index, (whole, chosen, share) in enumerate(zip(places, parts, shares, strict=True), start):
                began = time.perf_counter()
                maps = self._augment(next(ready), epoch, index, len(whole), share[0])
                batch = Batch(maps, self._cond[self._move(chosen)], self.ids[chosen], len(whole), *share)
                self.seconds_waited += time.perf_counter() - began
                yield batch
        finally:
            ready.close()

    def _augment(self, maps: Tensor, epoch: int, index: int, whole: int, part: slice) -> Tensor:
        if self._augmentation is None:
            return maps
        generator = keyed_generator("symmetries", self._seed, epoch, index)
        height, width = maps.shape[2:]
        symmetries = draw_symmetries(whole, height, width, self._augmentation, generator)
        return apply_symmetries(maps, symmetries.of(part))

    def _normalised(self, places: list[Tensor], firsts: list[int]) -> Generator[Tensor, None, None]:
        """Yield the standardised maps of each batch, from the device or read from disk (see `_raw_maps`)."""
        if self._held is not None:
            yield from (self._held.index_select(0, self._move(chosen)) for chosen in places)
            return
        with closing(self._raw_maps(places, firsts)) as raw:  # its threads end with the epoch
            for maps, chosen in zip(raw, places, strict=True):
                yield self._standardised(maps.to(self.device, non_blocking=True), self._cond[self._move(chosen)])

    def _raw_maps(self, places: list[Tensor], firsts: list[int]) -> Generator[Tensor, None, None]:
        """Yield the physical maps of each batch from disk, by threads that read ahead where there are any.

        The maps `places` (n,) of a batch have the positions `firsts` ... in the order of the epoch.
        """
        if self._map_set.chunk > 1:
            yield from self._read_windows(places, firsts)
        elif self._num_workers == 0:
            yield from map(self._read, places)
        else:
            yield from self._read_ahead(places)

    def _read_windows(self, places: list[Tensor], firsts: list[int]) -> Generator[Tensor, None, None]:
        positions = (range(first, first + len(chosen)) for first, chosen in zip(firsts, places, strict=True))
        whole = read_windows(
            [self.ids[chosen] for chosen in places],
            [position // self._window for some in positions for position in some],
            read=self._read_ids,
            shape=self._map_set.shape,
            chunk=self._map_set.chunk,
            threads=self._num_workers,
        )
        with closing(whole):
            yield from map(self._pinned, whole)

    def _read_ahead(self, places: list[Tensor]) -> Generator[Tensor, None, None]:
        waiting: deque[Future[Tensor]] = deque()
        threads = ThreadPoolExecutor(self._num_workers, thread_name_prefix="focus-maps")
        try:
            for chosen in places:
                waiting.append(threads.submit(self._read, chosen))
                if len(waiting) > _READ_AHEAD * self._num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)

    def _read(self, chosen: Tensor) -> Tensor:
        return self._pinned(self._read_ids(self.ids[chosen]))

    def _read_ids(self, ids: Tensor) -> Tensor:
        return torch.from_numpy(self._map_set.read(ids.numpy()))

    def _pinned(self, maps: Tensor) -> Tensor:
        return maps.pin_memory() if self.device.type == "cuda" else maps

    def _move(self, chosen: Tensor) -> Tensor:
        return chosen.to(self.device, non_blocking=True)

    def _hold(self, resident: bool | None) -> Tensor | None:
        """Return all maps on the device (standardised, float32) if they fit, else None."""
        if not (fits(len(self.ids), self._map_set.shape, self.device) if resident is None else resident):
            return None
        try:
            held = torch.empty((len(self.ids), *self._map_set.shape), device=self.device)
        except torch.OutOfMemoryError:  # another process took the memory meanwhile
            return None
        filled = 0
        for _, maps in self._map_set.chunks(self.ids.numpy()):
            part = slice(filled, filled + len(maps))
            held[part] = self._standardised(torch.from_numpy(maps).to(self.device), self._cond[part])
            filled += len(maps)
        return held

    def _standardised(self, maps: Tensor, cond: Tensor) -> Tensor:
        """Return physical maps (n, C, H, W) at standardised parameters (n, P) as the network sees them."""
        normalised = self._normaliser.normalise(maps)
        return normalised if self._standard is None else self._standard(normalised, cond)
