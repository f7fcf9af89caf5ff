"""Running out of memory: recognising the error, and which batch would fit instead."""

import gc

import torch

from focus_engine.config.schema import TrainingBlock
from focus_engine.errors import FocusError

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


class RunOutOfMemoryError(FocusError):
    """The run needs more memory than there is; the message says which batch would fit."""


def release_memory() -> None:
    """Return unreferenced memory to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the device or the machine has no memory left, whichever way torch says it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def smaller_batches(settings: TrainingBlock) -> tuple[int, int] | None:
    """Return batch_size and accumulate with half the memory and as many maps a step; None when a batch is one map."""
    if settings.batch_size == 1:
        return None
    return (settings.batch_size + 1) // 2, 2 * settings.accumulate


def memory_advice(settings: TrainingBlock) -> str:
    """Return what to do when a run is out of memory, with this run's numbers."""
    smaller = smaller_batches(settings)
    if smaller is None:
        return "out of memory with one map a batch: use a smaller model.base_channels, or precision: bf16 on a GPU"
    batch_size, accumulate = smaller
    return (
        f"out of memory: training.batch_size {settings.batch_size} -> {batch_size}, "
        f"training.accumulate {settings.accumulate} -> {accumulate} (the same maps a step)"
    )
