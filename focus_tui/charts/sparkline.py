"""A curve in one line of text."""

import math
from collections.abc import Sequence
from itertools import pairwise

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Return the series as at most `width` bars on a log scale, each the mean of an equal share.

    A share without positive values is a space.
    """
    logs = [math.log(v) if v is not None and v > 0 and math.isfinite(v) else None for v in values]
    n = min(width, len(logs))
    edges = [len(logs) * i // n for i in range(n + 1)] if n > 0 else []
    bars = [_mean(logs[start:end]) for start, end in pairwise(edges)]
    known = [bar for bar in bars if bar is not None]
    if not known:
        return ""
    low, span = min(known), (max(known) - min(known)) or 1.0
    return "".join(" " if bar is None else BARS[int((bar - low) / span * 7.999)] for bar in bars)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
