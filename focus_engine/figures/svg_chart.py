"""Charts as SVG for the HTML report: text stays text, and colours follow the page's light or dark scheme.

matplotlib's SVG fixes its colours and is some 40 times larger. Classes of the page's style sheet colour the parts:
`real`, `generated`, `band`, `reference`, `limit`, `frame` and `grid`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

from focus_engine.config.statistic_spec import CurveSpec, StatisticCurve

WIDTH, HEIGHT, RATIO_HEIGHT = 360.0, 236.0, 92.0
"""Size of a chart in its own units: at a width of 360 px, letters are 11 px high."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 10.0, 8.0, 34.0
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
Numbers = Sequence[float | None]


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis from `low` to `high`, drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float | None) -> float | None:
        """Return where a value lies; None where it is unknown or has no logarithm."""
        if value is None or not math.isfinite(value) or (self.log and value <= 0):
            return None
        low, high, at = (
            (math.log10(v) for v in (self.low, self.high, value))
            if self.log
            else (
                self.low,
                self.high,
                value,
            )
        )
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def ticks(self, most: int = 6) -> list[float]:
        """Return at most about `most` round values inside the axis."""
        return _log_ticks(self.low, self.high, most) if self.log else _linear_ticks(self.low, self.high, most)


def axis_of(values: Iterable[float | None], start: float, end: float, *, log: bool, margin: float = 0.04) -> Axis:
    """Return an axis that holds `values` with a margin; those without a logarithm do not count on a logarithmic one."""
    known = [value for value in values if value is not None and math.isfinite(value) and (value > 0 or not log)]
    low, high = (min(known), max(known)) if known else (1.0, 10.0)
    if log:
        reach = max(math.log10(high / low), 0.1) * margin
        return Axis(low / 10**reach, high * 10**reach, start, end, log=True)
    reach = (high - low) * margin or abs(high) * 0.1 or 1.0
    return Axis(low - reach, high + reach, start, end)


def curve_chart(
    spec: CurveSpec, curve: StatisticCurve, title: str, *, physical: bool = True, reference: Numbers | None = None
) -> str:
    """Return the SVG of real and generated maps along an axis, with their ratio below where it means something.

    `reference` is a scatter at each x that is drawn as two lines about the real curve.
    """
    kept = _resolved(curve)
    right = WIDTH - _RIGHT
    x = axis_of([*kept.x, curve.limit], _LEFT, right, log=spec.x_scale == "log", margin=0.02)
    log = spec.y_scale == "log"
    low, high = _band(kept, log=log)
    y = axis_of([*kept.real, *kept.generated, *high], HEIGHT - _BOTTOM, _TOP, log=log)
    x_label = f"log10 of {spec.x_label}" if spec.x_scale == "exponent" else spec.x_label
    parts = [_frame(x, y, x_label if not spec.ratio else "", spec.y_label(physical=physical))]
    parts += [_limit(x, y, curve.limit), _area(x, y, kept.x, low, high)]
    if reference is not None:
        around = replace(kept, real_std=tuple(reference)[: len(kept.x)])
        parts += [_line(x, y, kept.x, _above(edge, y.low), "reference") for edge in _band(around, log=log)]
    parts += [_line(x, y, kept.x, kept.real, "real"), _line(x, y, kept.x, kept.generated, "generated")]
    total = HEIGHT
    if spec.ratio:
        total = HEIGHT + RATIO_HEIGHT
        parts.append(_ratio(x, kept, curve.limit, x_label))
    name = escape(f"{title}: real and generated maps", quote=True)
    return f'<svg role="img" aria-label="{name}" viewBox="0 0 {WIDTH:g} {total:g}">{"".join(parts)}</svg>'


def _resolved(curve: StatisticCurve) -> StatisticCurve:
    """Return the part of a curve up to its limit."""
    limit = math.inf if curve.limit is None else curve.limit
    kept = [place for place, x in enumerate(curve.x) if (x or 0) <= limit]
    x, real, std, generated = (
        tuple(values[place] for place in kept) for values in (curve.x, curve.real, curve.real_std, curve.generated)
    )
    return StatisticCurve(x, real, std, generated, limit=curve.limit)


def _band(curve: StatisticCurve, *, log: bool) -> tuple[list[float | None], list[float | None]]:
    """Return mean ± 1σ; on a logarithmic axis the lower end is as far below the mean as the upper one is above it."""
    low: list[float | None] = []
    high: list[float | None] = []
    for mean, std in zip(curve.real, curve.real_std, strict=True):
        if mean is None or std is None:
            low.append(None)
            high.append(None)
            continue
        high.append(mean + std)
        low.append((mean * mean / (mean + std) if mean + std > 0 else None) if log else mean - std)
    return low, high


def _above(values: Numbers, low: float) -> list[float | None]:
    return [None if value is None else max(value, low) for value in values]


def _ratio(x: Axis, curve: StatisticCurve, limit: float | None, x_label: str) -> str:
    """Return the panel of generated / real below a chart."""
    ratio = curve.ratio
    reach = max((abs(value - 1) for value in ratio if value is not None), default=0.1)
    reach = min(1.0, max(0.15, 1.15 * reach))
    y = Axis(1 - reach, 1 + reach, HEIGHT + RATIO_HEIGHT - _BOTTOM, HEIGHT - _BOTTOM + 12)
    inside = [None if value is None else min(max(value, y.low), y.high) for value in ratio]
    one = y.place(1.0) or 0.0
    parts = [_frame(x, y, x_label, "ratio", most=4), _limit(x, y, limit)]
    parts.append(f'<path class="unity" d="M{x.start:.1f} {one:.1f}H{x.end:.1f}"/>')
    return "".join([*parts, _line(x, y, curve.x, inside, "generated")])


def _frame(x: Axis, y: Axis, x_label: str, y_label: str, most: int = 6) -> str:
    """Return grid, frame, ticks and labels; without `x_label` the ticks of x have no text."""
    parts = []
    for value in x.ticks():
        at = x.place(value)
        parts.append(f'<path class="grid" d="M{at:.1f} {y.start:.1f}V{y.end:.1f}"/>')
        if x_label:
            parts.append(f'<text x="{at:.1f}" y="{y.start + 13:.1f}" text-anchor="middle">{tick_text(value)}</text>')
    for value in y.ticks(most):
        at = y.place(value)
        parts.append(f'<path class="grid" d="M{x.start:.1f} {at:.1f}H{x.end:.1f}"/>')
        parts.append(
            f'<text x="{x.start - 5:.1f}" y="{(at or 0) + 3.5:.1f}" text-anchor="end">{tick_text(value)}</text>'
        )
    parts.append(f'<path class="frame" d="M{x.start:.1f} {y.end:.1f}V{y.start:.1f}H{x.end:.1f}"/>')
    middle, half = (x.start + x.end) / 2, (y.start + y.end) / 2
    if x_label:
        parts.append(f'<text x="{middle:.1f}" y="{y.start + 29:.1f}" text-anchor="middle">{escape(x_label)}</text>')
    turn = f'transform="rotate(-90 11 {half:.1f})" text-anchor="middle"'
    return "".join([*parts, f'<text x="11" y="{half:.1f}" {turn}>{escape(y_label)}</text>'])


def _limit(x: Axis, y: Axis, limit: float | None) -> str:
    at = x.place(limit)
    return "" if at is None else f'<path class="limit" d="M{at:.1f} {y.start:.1f}V{y.end:.1f}"/>'


def _points(x: Axis, y: Axis, xs: Numbers, ys: Numbers) -> list[list[str]]:
    """Return the places of a curve as runs of `x y`, broken where a value is unknown."""
    runs: list[list[str]] = [[]]
    for one, other in zip(xs, ys, strict=True):
        across, up = x.place(one), y.place(other)
        if across is None or up is None:
            runs.append([])
        else:
            runs[-1].append(f"{across:.1f} {up:.1f}")
    return [run for run in runs if run]


def _line(x: Axis, y: Axis, xs: Numbers, ys: Numbers, kind: str) -> str:
    path = "".join("M" + "L".join(run) for run in _points(x, y, xs, ys))
    return f'<path class="{kind}" d="{path}"/>' if path else ""


def _area(x: Axis, y: Axis, xs: Numbers, low: Numbers, high: Numbers) -> str:
    both = [(a, b, c) for a, b, c in zip(xs, _above(low, y.low), high, strict=True) if None not in {a, b, c}]
    if len(both) < 2:
        return ""
    xs, below, above = zip(*both, strict=True)
    upper, lower = _points(x, y, xs, above), _points(x, y, xs[::-1], below[::-1])
    outline = [place for run in (*upper, *lower) for place in run]
    return f'<path class="band" d="M{"L".join(outline)}Z"/>'


def tick_text(value: float) -> str:
    """Return the label of a tick: 0.3, 20, or 10⁵ and 3·10⁵."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:g}".replace("-", "−")
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    factor = value / 10.0**exponent
    power = "10" + str(exponent).translate(_SUPERSCRIPT)
    return power if abs(factor - 1) < 1e-6 else f"{factor:g}·{power}".replace("-", "−")


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**e for e in range(first, last + 1) for f in factors if low <= f * 10.0**e <= high]
        if len(found) <= most:
            return found if len(found) > 1 else _linear_ticks(low, high, 3)
    step = math.ceil((last - first) / most)
    return [10.0**e for e in range(first, last + 1) if e % step == 0 and low <= 10.0**e <= high]


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]
