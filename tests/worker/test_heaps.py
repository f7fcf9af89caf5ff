"""A worker decides how many heaps its threads have before it starts one."""

import ctypes
import subprocess
import sys

import pytest
from workers import Make

TRAIN = """
import ctypes, sys
from pathlib import Path
from focus_engine.runs.folder import RunFolder
from focus_engine.config import heap
from focus_engine.worker.foreground import run_in_foreground

heap.LARGE = int(sys.argv[2])
run_in_foreground(RunFolder(Path(sys.argv[1])), on_event=lambda event: None)
libc, report = ctypes.CDLL(None), Path(sys.argv[1]) / "heaps.xml"
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(bytes(report), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(report.read_text().count("<heap nr="))
"""
"""Trains a run, with a limit of large tensors, and prints the number of heaps that glibc made."""


@pytest.mark.parametrize(("large", "shared"), [(0, True), (2**40, False)])
def test_threads_have_heaps_of_their_own_unless_tensors_are_large(make: Make, large: int, *, shared: bool):
    if not hasattr(ctypes.CDLL(None), "malloc_info"):
        pytest.skip("this C library is not glibc")
    command = [sys.executable, "-c", TRAIN, str(make().path), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (int(done.stdout.split()[-1]) == 1) == shared
