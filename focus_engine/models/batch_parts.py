"""Batches divided among threads on a CPU: each thread evaluates the network on its part of the maps.

The operations on small maps are so short that OpenMP's threads mostly wait for each other, hundreds of times a step:
with another program on one of two cores, training in bf16 fell from 134 maps/s on one thread to 21 on two. Threads that
take their part of a batch through the whole network wait once a step: 140 maps/s there.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

Result = TypeVar("Result")

MOST_GRADIENTS = 2**28
"""Parameters in the gradients of all parts together, 1 GiB of float32; larger networks have fewer parts."""


@dataclass(frozen=True, slots=True)
class BatchParts:
    """How many threads share the maps of a batch.

    Attributes:
        threads: threads in all; what is not used by parts, OpenMP uses within each.
        most: largest number of parts.
    """

    threads: int = 1
    most: int = 1

    @classmethod
    def of(cls, network: nn.Module, device: torch.device, *, trains: bool = True) -> "BatchParts":
        """Return the division for `network` on `device`, by torch's number of threads; one part off the CPU.

        Each part of a network that `trains` has gradients of its own, whose memory limits their number.
        """
        if device.type != "cpu":
            return WHOLE
        threads, weights = torch.get_num_threads(), sum(p.numel() for p in network.parameters())
        return cls(threads, max(1, MOST_GRADIENTS // max(weights, 1)) if trains else threads)

    def count(self, maps: int) -> int:
        """Return the number of parts of a batch of `maps`: the largest divisor of `threads` that is allowed."""
        limit = max(1, min(self.most, maps))
        return max(n for n in range(1, self.threads + 1) if self.threads % n == 0 and n <= limit)

    def map(self, work: Callable[[slice], Result], maps: int) -> list[Result]:
        """Return the results of `work` on each part of a batch of `maps`, in order.

        `work` sees the caller's modes of gradients, inference and autocast. The calling thread does a single part.
        """
        count = self.count(maps)
        if count == 1:
            return [work(slice(0, maps))]
        bounds = [maps * part // count for part in range(count + 1)]
        inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
        each = self.threads // count

        def one(part: slice) -> Result:
            if torch.get_num_threads() != each:
                torch.set_num_threads(each)  # of this thread: each has its own number
            cast = torch.autocast("cpu", dtype, enabled=autocast)
            with torch.inference_mode(inference), torch.set_grad_enabled(gradients), cast:
                return work(part)

        pool = _pool(os.getpid(), count)
        done = [pool.submit(one, slice(*pair)) for pair in pairwise(bounds)]
        wait(done)  # all of them, even if one fails
        return [part.result() for part in done]


WHOLE = BatchParts()
"""One part: the batch as it is."""


@lru_cache(maxsize=4)
def _pool(process: int, count: int) -> ThreadPoolExecutor:  # noqa: ARG001  (a forked process has no threads of its parent)
    return ThreadPoolExecutor(count, thread_name_prefix="focus-part")


class PartedNetwork(nn.Module):
    """A network whose batches are evaluated in parts; for sampling."""

    def __init__(self, network: nn.Module, parts: BatchParts) -> None:
        super().__init__()
        self.network, self.parts = network, parts

    def forward(self, x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        """Return what the network returns, (B, C, H, W); see `Network`."""
        flags = (lambda _: None) if unconditional is None else unconditional.__getitem__

        def one(part: slice) -> Tensor:
            predicted: Tensor = self.network(x[part], time[part], cond[part], flags(part))
            return predicted

        return torch.cat(self.parts.map(one, len(x)))
