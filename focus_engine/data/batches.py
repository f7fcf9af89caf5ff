"""Batches of standardised maps and parameters, ready on the device.

A set that fits is held on the device whole and costs the training loop nothing; a larger one is read from the
memory map by threads that run ahead (reading, checking and copying release the GIL, so threads do what loader
processes would, without their memory, start-up or shared-memory limits). Order is keyed by (seed, epoch),
symmetries by (seed, epoch, batch): every way of reading gives the same batches, from any batch on.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from focus_engine.data.maps import MapSet
from focus_engine.data.memory import free_memory
from focus_engine.data.normalise import Normaliser, ParameterScaler
from focus_engine.data.randomness import keyed_generator
from focus_engine.data.symmetries import Augmentation, apply_symmetries, draw_symmetries

RESIDENT_FRACTION = 0.25
"""Share of the device's free memory that a set may fill; network, moments and activations need the rest."""

_READ_AHEAD = 2  # batches that wait for the device, for each thread


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step sees."""

    maps: Tensor  # (B, C, H, W) float32 standardised, on the device
    cond: Tensor  # (B, P) float32 standardised parameters, on the device
    ids: Tensor  # (B,) int64 map ids, on the CPU
    whole: int  # maps of the whole batch, of which these may be a part
    part: slice  # which part of it these are
    weight: float = 1.0  # 0 where the whole has fewer maps than it has parts, and this one must not count

    def __len__(self) -> int:
        return int(self.maps.shape[0])


@dataclass(frozen=True)
class Share:
    """Which part of each batch is read: part `rank` of `size`; all of it by default."""

    rank: int = 0
    size: int = 1

    def of(self, count: int) -> tuple[slice, float]:
        """Return the part of `count` maps and its weight: 0 where it would be empty and is the first map instead."""
        part = slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)
        return (part, 1.0) if part.stop > part.start else (slice(0, 1), 0.0)


class Batches:
    """The maps `ids` of a set, batch by batch; the last batch may be smaller, none is dropped."""

    def __init__(
        self,
        map_set: MapSet,
        ids: ArrayLike,
        normaliser: Normaliser,
        scaler: ParameterScaler,
        *,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        num_workers: int = 0,
        resident: bool | None = None,
        share: Share = Share(),
    ) -> None:
        """Prepare batches; reads the maps only when they are held on the device.

        `num_workers` threads read ahead when they are not. `resident` forces the choice that is left to
        RESIDENT_FRACTION when None. `share` says which part of each batch is wanted; `batch_size` is that of the
        whole.

        Raises:
            InputError: when a map holds unlawful values (here if resident, else in the batch that reads it).
        """
        self.ids = torch.from_numpy(np.array(ids, dtype=np.int64))
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.seconds_waited = 0.0  # time that callers have waited for batches, all epochs together
        self._map_set, self._normaliser = map_set, normaliser
        self._seed, self._shuffle, self._augmentation = seed, shuffle, augmentation
        self._num_workers, self._share = num_workers, share
        self._cond = scaler.standardise(torch.from_numpy(map_set.params_of(self.ids.numpy()))).to(self.device)
        self._held = self._hold(resident)

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return math.ceil(len(self.ids) / self.batch_size)

    @property
    def n_maps(self) -> int:
        """How many maps an epoch has."""
        return len(self.ids)

    @property
    def resident(self) -> bool:
        """Whether the maps are held on the device."""
        return self._held is not None

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch `start` on.

        The same seed, epoch and batch index give the same batch, whatever was drawn before.
        """
        order = torch.arange(len(self.ids))
        if self._shuffle:
            order = torch.randperm(len(self.ids), generator=keyed_generator("order", self._seed, epoch))
        size = self.batch_size
        places = [order[first : first + size] for first in range(start * size, len(order), size)]
        shares = [self._share.of(len(whole)) for whole in places]
        parts = [whole[part] for whole, (part, _) in zip(places, shares, strict=True)]
        raw = self._raw_maps(parts)
        try:
            for index, (whole, chosen, share) in enumerate(zip(places, parts, shares, strict=True), start):
                began = time.perf_counter()
                maps = self._normaliser.normalise(next(raw).to(self.device, non_blocking=True))
                maps = self._augment(maps, epoch, index, len(whole), share[0])
                batch = Batch(maps, self._cond[self._move(chosen)], self.ids[chosen], len(whole), *share)
                self.seconds_waited += time.perf_counter() - began
                yield batch
        finally:
            raw.close()

    def _augment(self, maps: Tensor, epoch: int, index: int, whole: int, part: slice) -> Tensor:
        if self._augmentation is None:
            return maps
        generator = keyed_generator("symmetries", self._seed, epoch, index)
        height, width = maps.shape[2:]
        symmetries = draw_symmetries(whole, height, width, self._augmentation, generator)
        return apply_symmetries(maps, symmetries.of(part))

    def _raw_maps(self, places: list[Tensor]) -> Generator[Tensor, None, None]:
        """Yield the physical maps of each batch, from the device or through threads that read ahead."""
        if self._held is not None:
            yield from (self._held.index_select(0, self._move(chosen)) for chosen in places)
        elif self._num_workers == 0:
            yield from map(self._read, places)
        else:
            yield from self._read_ahead(places)

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
        maps = torch.from_numpy(self._map_set.read(self.ids[chosen].numpy()))
        return maps.pin_memory() if self.device.type == "cuda" else maps

    def _move(self, chosen: Tensor) -> Tensor:
        return chosen.to(self.device, non_blocking=True)

    def _hold(self, resident: bool | None) -> Tensor | None:
        """Return all maps on the device (physical, float32) when they fit, else None."""
        size = 4 * len(self.ids) * int(np.prod(self._map_set.shape))
        if not (size <= RESIDENT_FRACTION * free_memory(self.device) if resident is None else resident):
            return None
        try:
            held = torch.empty((len(self.ids), *self._map_set.shape), device=self.device)
        except torch.OutOfMemoryError:  # somebody else took the memory meanwhile
            return None
        filled = 0
        for _, maps in self._map_set.chunks(self.ids.numpy()):
            held[filled : filled + len(maps)] = torch.from_numpy(maps)
            filled += len(maps)
        return held
