"""Positions and labels of axis ticks: 0.3, 1, 3, 10 or 10⁻⁴, never 348 696 1k.

Separate from the drawing, so that all charts in the terminal label their axes alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Ticks = tuple[list[float], list[str]]  # positions on the axis as drawn (log10 on a logarithmic one), labels

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def power_of_ten(exponent: int) -> str:
    """Return 10ⁿ with a superscript exponent."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def number(value: float) -> str:
    """Return a number as short text: 0.25, 120, 3.5×10¹⁰."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    exponent = math.floor(math.log10(abs(value)))
    mantissa = f"{value / 10**exponent:.1f}".removesuffix(".0")
    if mantissa.lstrip("-") == "10":
        mantissa, exponent = mantissa.replace("10", "1"), exponent + 1
    return power_of_ten(exponent) if mantissa == "1" else f"{mantissa}×{power_of_ten(exponent)}"


def linear_ticks(low: float, high: float, most: int) -> Ticks:
    """Return at most `most` ticks at round numbers between low and high."""
    span = (high - low) or abs(high) or 1.0
    raw = span / max(most, 1)
    decade = 10.0 ** math.floor(math.log10(raw))
    step = next(step * decade for step in (1, 2, 5, 10, 20) if step * decade >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    positions = [i * step for i in range(first, last + 1)][: max(most, 1) + 1]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    plain = step >= 1e-4 and abs(high) < 1e6
    return positions, [f"{p:.{digits}f}" if plain else number(p) for p in positions]


def integer_ticks(low: float, high: float, most: int) -> Ticks:
    """Return at most `most` ticks at whole numbers, as for epochs."""
    positions, _ = linear_ticks(low, high, most)
    if len(positions) > 1 and positions[1] - positions[0] < 1:
        positions = [float(i) for i in range(math.ceil(low), math.floor(high) + 1)]
    positions = [p for p in positions if p == int(p)]
    return positions, [str(int(p)) for p in positions]


def log_ticks(low: float, high: float, most: int) -> Ticks:
    """Return ticks between log10 limits: decades, with 3, or 2 and 5, between them where there is room."""
    for inside in ((1, 2, 5), (1, 3), (1,)):
        candidates = [(e + math.log10(m), e, m) for e in range(math.floor(low), math.ceil(high) + 1) for m in inside]
        shown = [c for c in candidates if low - 1e-9 <= c[0] <= high + 1e-9]
        if len(shown) <= most:
            break
    shown = shown[:: -(-len(shown) // max(most, 1))] if shown else shown
    if len(shown) < 2:
        return _mapped(linear_ticks(10**low, 10**high, max(most, 2)), math.log10)
    plain = shown[0][1] >= -3 and shown[-1][1] <= 4
    labels = [_decimal(e, m) if plain else _scientific(e, m) for _, e, m in shown]
    return [position for position, _, _ in shown], labels


def _mapped(ticks: Ticks, scale: Callable[[float], float]) -> Ticks:
    pairs = [(scale(p), label) for p, label in zip(*ticks, strict=True) if p > 0]
    return [p for p, _ in pairs], [label for _, label in pairs]


def _decimal(exponent: int, mantissa: int) -> str:
    return f"{mantissa * 10.0**exponent:.{max(0, -exponent)}f}"


def _scientific(exponent: int, mantissa: int) -> str:
    return power_of_ten(exponent) if mantissa == 1 else f"{mantissa}×{power_of_ten(exponent)}"
