"""Copies of a training state in host memory, from which a checkpoint is written while training goes on."""

from typing import Any

import torch
from torch import Tensor


class HostCopy:
    """Host memory for one copy of nested tensors, kept from one copy to the next.

    Fresh memory costs a third of the copy again on a CPU, and pinned memory more than the copy. Memory that tensors
    share is copied once and shared by the copies, with their strides, so that a file of the copy is the file of the
    original.
    """

    def __init__(self) -> None:
        self._memory: list[Tensor] = []
        self._copied: torch.cuda.Event | None = None

    def take(self, value: Any) -> Any:  # noqa: ANN401  (a state is nested containers of anything)
        """Return `value` with each tensor in dicts, lists and tuples copied; overwrites the copy before.

        On CUDA the copy may still be under way: it is ordered before what the current stream does next, and `wait`
        waits for it.
        """
        self._copied = None
        copier = _Copier(self._memory)
        copy = copier.copy(value)
        self._memory = copier.memory
        if copier.on_cuda:
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()
        return copy

    def wait(self) -> None:
        """Wait until the copy is complete."""
        if self._copied is not None:
            self._copied.synchronize()


class _Copier:
    """One copy of nested tensors into memory that an earlier copy left."""

    def __init__(self, memory: list[Tensor]) -> None:
        self.memory: list[Tensor] = []
        self.on_cuda = False
        self._left = memory
        self._known: dict[tuple[torch.device, int], Tensor] = {}

    def copy(self, value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, Tensor):
            return self._tensor(value.detach())
        if isinstance(value, dict):
            made = type(value)((key, self.copy(item)) for key, item in value.items())
            if hasattr(value, "__dict__"):  # _metadata of a module's state
                vars(made).update(vars(value))
            return made
        if isinstance(value, list | tuple):
            return type(value)([self.copy(item) for item in value])
        return value

    def _tensor(self, tensor: Tensor) -> Tensor:
        if tensor.device.type not in {"cpu", "cuda"} or not tensor.numel():
            return tensor.to("cpu", copy=True)
        storage = tensor.untyped_storage()
        key = (tensor.device, storage.data_ptr())
        if key not in self._known:
            self._known[key] = self._bytes(torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage))
        made = torch.empty(0, dtype=tensor.dtype)
        memory = self._known[key].untyped_storage()
        return made.set_(memory, tensor.storage_offset(), tensor.size(), tensor.stride())

    def _bytes(self, source: Tensor) -> Tensor:
        """Copy all bytes of a storage, of which `source` is a view, into the memory at the same place as last time."""
        cuda, place = source.is_cuda, len(self.memory)
        known = self._left[place] if place < len(self._left) else None
        if known is None or known.numel() != source.numel():
            known = torch.empty(source.numel(), dtype=torch.uint8, pin_memory=cuda)
        self.memory.append(known)
        self.on_cuda |= cuda
        return known.copy_(source, non_blocking=cuda)
