"""The processes that train one network together: what they share out, add up and agree on.

A batch is cut into parts, one a rank, and everything random is drawn for the whole batch, so that the number of
ranks changes the speed and not the training. Decisions (to stop, the time limit) are rank 0's. Gradients are
averaged by DistributedDataParallel; small numbers and objects go over a gloo group on the CPU, which does not wait
for the device.
"""

import datetime as dt
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

Value = TypeVar("Value")
TIMEOUT = dt.timedelta(minutes=60)
"""How long a rank waits for another: rank 0 may be writing a checkpoint to a slow disk."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """This process among those that train together; the defaults are a process that trains alone.

    Attributes:
        rank: 0 leads: it alone writes.
        size: how many there are.
        control: gloo group for numbers and objects; None when alone.
    """

    rank: int = 0
    size: int = 1
    control: Any = None

    @classmethod
    def join(cls, device: torch.device) -> "Ranks":
        """Meet the other ranks that torch.distributed.run has started. Raises RuntimeError when they do not come."""
        backend = "nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
        store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
        # After a restart the store may still hold the addresses of the dead.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        own = PrefixStore(f"attempt {attempt}", store)
        distributed.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=TIMEOUT)
        return cls(rank, size, distributed.new_group(backend="gloo", timeout=TIMEOUT))

    @staticmethod
    def leave() -> None:
        """End the meeting."""
        if distributed.is_initialized():
            distributed.destroy_process_group()

    @property
    def lead(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def sum(self, value: float) -> float:
        """Return the sum over all ranks, the same on each."""
        if self.size == 1:
            return value
        total = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(total, group=self.control)
        return float(total)

    def agree(self, choice: int) -> int:
        """Return what rank 0 chose."""
        if self.size == 1:
            return choice
        chosen = torch.tensor([choice])
        distributed.broadcast(chosen, src=0, group=self.control)
        return int(chosen)

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all ranks in their order on rank 0, nothing on the others."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size if self.lead else []
        distributed.gather_object(value, values if self.lead else None, dst=0, group=self.control)
        return values

    def replica(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return `network` as it is called in training: its gradients are averaged over all ranks."""
        if self.size == 1:
            return network
        return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)

    @staticmethod
    def holding_back(network: nn.Module, *, hold: bool) -> AbstractContextManager[object]:
        """Return the context of a backward pass whose gradients are summed up here and averaged by a later one."""
        return network.no_sync() if hold and isinstance(network, DistributedDataParallel) else nullcontext()


ALONE = Ranks()
