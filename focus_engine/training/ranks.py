"""Communication between the ranks (OS processes) that train one network together.

A batch is divided among the ranks, and random numbers are drawn for the whole batch, so that the number of ranks
changes only the speed. Rank 0 makes decisions, such as stopping at the time limit. Gradients are averaged by
DistributedDataParallel; small numbers and objects go over a gloo group on the CPU, which does not wait for the
device. `launch/torchrun.py` launches the ranks, `worker/rank.py` is the process of one, and `data/batches.Share` is its
part of a batch.
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
"""Maximum wait of one rank for another: rank 0 may be writing a checkpoint to a slow disk."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """This process's rank and its communication with the others; by default there is one rank.

    Attributes:
        rank: index of this rank; only rank 0 writes files.
        size: number of ranks.
        control: gloo group for numbers and objects; None for a single rank.
    """

    rank: int = 0
    size: int = 1
    control: Any = None

    @classmethod
    def join(cls, device: torch.device) -> "Ranks":
        """Join the ranks started by torch.distributed.run. Raises RuntimeError if the others do not join in time."""
        backend = "nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
        store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
        # After a restart the store may still hold addresses of dead processes.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        own = PrefixStore(f"attempt {attempt}", store)
        distributed.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=TIMEOUT)
        return cls(rank, size, distributed.new_group(backend="gloo", timeout=TIMEOUT))

    @staticmethod
    def leave() -> None:
        """Destroy the process group, if any."""
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

    def sums(self, values: list[float]) -> list[float]:
        """Return the sums over all ranks of each of `values`, added in rank order and the same on each."""
        if self.size == 1:
            return values
        mine = torch.tensor(values, dtype=torch.float64)
        each = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(each, mine, group=self.control)
        total = each[0]
        for one in each[1:]:
            total += one
        return total.tolist()

    def agree(self, choice: int) -> int:
        """Return the `choice` of rank 0."""
        if self.size == 1:
            return choice
        chosen = torch.tensor([choice])
        distributed.broadcast(chosen, src=0, group=self.control)
        return int(chosen)

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all ranks in rank order on rank 0, an empty list on the others."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size if self.lead else []
        distributed.gather_object(value, values if self.lead else None, dst=0, group=self.control)
        return values

    def replica(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return the module to evaluate in training, which averages its gradients over all ranks."""
        if self.size == 1:
            return network
        return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)

    @staticmethod
    def accumulating(network: nn.Module, *, hold: bool) -> AbstractContextManager[object]:
        """Return the context of a backward pass; with `hold`, gradients accumulate locally without averaging."""
        return network.no_sync() if hold and isinstance(network, DistributedDataParallel) else nullcontext()


ALONE = Ranks()
