"""The memory allocator keeps what a process frees."""

import resource

import pytest
import torch

from focus_engine.training import allocator
from focus_engine.training.allocator import keep_freed_memory

PIXELS = 10 * 2**20
"""A tensor of 40 MiB, which glibc maps for its own lifetime by default."""


def faults_of_ten_sums() -> int:
    before, x = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, torch.ones(PIXELS)
    for _ in range(10):
        x = x + 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_memory_that_was_freed_is_used_again_without_being_mapped_anew():
    if not hasattr(allocator.ctypes.CDLL(None), "mallopt"):
        pytest.skip("this C library has no mallopt")
    keep_freed_memory()
    faults_of_ten_sums()
    pages_of_a_tensor = 4 * PIXELS / resource.getpagesize()
    assert faults_of_ten_sums() < 4 * pages_of_a_tensor  # 11 of them otherwise


def test_a_library_without_the_option_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    keep_freed_memory.__wrapped__()
