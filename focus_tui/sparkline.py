"""Curves and counts in one line of text."""

import math
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Return the last `width` values as bars on a log scale."""
    shown = list(values)[-width:]
    logs = [math.log(v) if v is not None and v > 0 and math.isfinite(v) else None for v in shown]
    known = [v for v in logs if v is not None]
    if not known:
        return ""
    low, span = min(known), (max(known) - min(known)) or 1.0
    return "".join(" " if v is None else BARS[int((v - low) / span * 7.999)] for v in logs)
