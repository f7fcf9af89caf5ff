"""Free memory between objects that are kept goes back to the system."""

import ctypes
import threading
from pathlib import Path

import pytest

from focus_tui.dashboard import feed
from focus_tui.dashboard.free_memory import return_free_memory

BLOCK = 2_000
MB = 1 << 20


def resident() -> int:
    """Return the memory of this process in RAM [bytes]."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library has no malloc_trim")
def test_free_memory_between_kept_objects_is_returned():
    before = resident()
    blocks = [bytes([number % 256]) * BLOCK for number in range(20_000)]
    kept = blocks[::20]
    filled = resident() - before
    del blocks
    return_free_memory()
    assert len(kept) == 1000
    assert filled > 30 * MB or resident() - before < 10 * MB  # the blocks may have filled holes of other tests
    assert resident() - before < max(10 * MB, filled // 3)


def test_the_feed_returns_it_again_and_again(tmp_path, monkeypatch):
    calls, third = [], threading.Event()

    def count() -> None:
        calls.append(return_free_memory())
        if len(calls) == 3:
            third.set()

    monkeypatch.setattr(feed, "TRIM_SECONDS", 0.0)
    monkeypatch.setattr(feed, "return_free_memory", count)
    reader = feed.DiskFeed(tmp_path, refresh=0.001)
    reader.start(lambda _: None)
    try:
        assert third.wait(20.0)
    finally:
        reader.stop()
