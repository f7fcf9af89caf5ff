"""Out-of-memory errors: settings that need less memory."""

import gc

import torch

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.errors import FocusError


class NotEnoughMemoryError(FocusError):
    """Training ran out of memory; the message gives settings that need less."""


def release_memory() -> None:
    """Return unreferenced memory to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def smaller_batches(settings: TrainingBlock) -> tuple[int, int] | None:
    """Return (batch_size, accumulate) for half the memory and as many maps per step; None if a batch is one map."""
    if settings.batch_size == 1:
        return None
    return (settings.batch_size + 1) // 2, 2 * settings.accumulate


def memory_advice(settings: TrainingBlock) -> str:
    """Return advice on an out-of-memory error, with this run's settings."""
    smaller = smaller_batches(settings)
    less = "" if settings.activation_checkpointing else ", or training.activation_checkpointing: true"
    if smaller is None:
        words = "use a smaller model.base_channels, or precision: bf16 on a GPU"
        return f"out of memory with one map per batch: {words}{less}"
    batch_size, accumulate = smaller
    return (
        f"out of memory: training.batch_size {settings.batch_size} -> {batch_size}, "
        f"training.accumulate {settings.accumulate} -> {accumulate} (the same number of maps per step){less}"
    )
