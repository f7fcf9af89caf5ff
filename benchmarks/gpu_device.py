"""Device measurements of benchmarks/gpu_training.py: matrix rate, FLOP count and peak memory."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from gpu_variants import Size, model_of
from torch.utils.flop_counter import FlopCounterMode

from focus_engine.models.build import build_network


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def flop_per_map(size: Size) -> float:
    """Return the FLOP of one map's training step (forward and backward), counted per operation."""
    with torch.device("meta"):
        network = build_network(model_of(size))
        x, time_, cond = torch.empty(1, 1, size.map_size, size.map_size), torch.empty(1), torch.empty(1, 6)
        with FlopCounterMode(display=False) as counter:
            network(x, time_, cond).sum().backward()
    return float(counter.get_total_flops())


def matrix_rates(size: Size, device: torch.device) -> dict[str, float]:
    """Return the rate of a large product of random matrices in each precision [FLOP/s], best of four."""
    rates = {}
    for name, dtype, tf32 in (
        ("bf16", torch.bfloat16, False),
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(size.matrix, size.matrix, device=device, dtype=dtype) for _ in range(2))
        best = float("inf")
        for _ in range(4):
            synchronize(device)
            began = time.perf_counter()
            for _ in range(5):
                a @ b
            synchronize(device)
            best = min(best, (time.perf_counter() - began) / 5)
        rates[name] = 2 * size.matrix**3 / best
    torch.backends.cuda.matmul.allow_tf32 = False
    return rates


@contextmanager
def memory_peak(device: torch.device) -> Iterator[Callable[[], float | None]]:
    """Yield a function that returns the peak device memory since entry [bytes]; None without CUDA."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    yield lambda: float(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None


def release(device: torch.device) -> None:
    """Release memory and compiled code before the next variant."""
    gc.collect()
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
