"""Thins the lines of a log of hundreds of MB with numpy, three times as fast as splitting it.

Separate from `focus_engine.events.log`, which does the same without numpy for commands that must start fast.
"""

import numpy as np

_TYPE = 9
"""Offset of the event type in a line, after `{"type":"`."""


def thinned_lines(chunk: bytes, end: int, stride: int) -> list[bytes]:
    """Return the lines of `chunk[:end]`, but only about one in `stride` of the step events."""
    letters = np.frombuffer(chunk, dtype=np.uint8, count=end)
    ends = np.flatnonzero(letters == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    at = np.minimum(starts[:, None] + np.arange(_TYPE, _TYPE + 3), max(0, end - 1))
    step = (letters[at] == np.frombuffer(b"ste", dtype=np.uint8)).all(axis=1)
    kept = ~step | (np.arange(starts.size) % stride == 0)
    return [chunk[first:last] for first, last in zip(starts[kept].tolist(), ends[kept].tolist(), strict=True)]
