"""The memory allocator keeps what a process frees."""

import resource
import subprocess
import sys

import pytest
import torch

from focus_engine import allocator
from focus_engine.allocator import keep_freed_memory

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


ROUNDS = """
import resource
import threading
from focus_engine.allocator import keep_freed_memory, share_one_heap
FIRST
import torch

def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

def rounds():
    for _ in range(16):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        tensors = [torch.ones(25 * 2**20) for _ in range(2)]
        del tensors
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

in_thread(lambda: bytearray(2**16))
keep_freed_memory()
torch.set_num_threads(1)
in_thread(rounds)
"""
"""Sixteen times two tensors of 100 MiB in a thread, after another has worked; prints the page faults of the last."""


@pytest.mark.parametrize(("first", "shared"), [("share_one_heap()", True), ("", False)])
def test_threads_reuse_memory_only_where_the_heap_was_shared_before_they_worked(first: str, *, shared: bool):
    if not hasattr(allocator.ctypes.CDLL(None), "mallopt"):
        pytest.skip("this C library has no mallopt")
    pages = 2 * 100 * 2**20 / resource.getpagesize()

    def few() -> bool:
        command = [sys.executable, "-c", ROUNDS.replace("FIRST", first)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) < pages / 4

    # A thread of its own heap may get the shared one by chance, on a busy machine.
    assert few() if shared else not all(few() for _ in range(3))
