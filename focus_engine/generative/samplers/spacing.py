r"""Times of the steps: where a sampler evaluates the network.

A Gaussian mode of variance P turns from noise to data where σ = s/a ≈ √P, so each decade of σ between the largest and
the smallest modes needs its steps. Even steps in t leave few to the small scales and, at zero terminal SNR, few to the
large ones. `logsnr` is even in a clock that is log(a/s) in between and bends at the ends, so that pure noise (a = 0)
and the data (s = 0) stand at finite times: log((a + s/σ_high) / (s + a σ_low)).
"""

import math
from itertools import pairwise

from focus_engine.errors import InputError
from focus_engine.generative.process import Process

HIGH_NOISE = 10.0
"""σ above which the clock of `logsnr` slows down: about the rms of the largest modes of normalised maps."""
LOW_NOISE = 0.05
"""σ below which it slows down: about the rms of the smallest modes."""


def log_snr(a: float, s: float) -> float:
    """Return log(a/s): -∞ for pure noise, ∞ for the data."""
    return math.inf if s == 0 else -math.inf if a == 0 else math.log(a / s)


def soft_log_snr(a: float, s: float) -> float:
    """Return the clock of `logsnr`: log(a/s), up to a constant, with finite ends at a = 0 and s = 0."""
    return math.log((a + s / HIGH_NOISE) / (s + a * LOW_NOISE))


def spaced_times(process: Process, steps: int, spacing: str) -> tuple[float, ...]:
    """Return the `steps + 1` times from noise to data.

    Args:
        process: its own times are the first and the last, and all of `time`.
        steps: number of steps.
        spacing: `time`, as the process spaces them, or `logsnr`, even in `soft_log_snr`.

    Raises:
        InputError: `steps` is not allowed for the process, or two steps fall together.
    """
    own = process.times(steps)
    if spacing == "time" or steps == 1:
        return own
    times = (own[0], *(process.time_at(noise) for noise in _even_in_clock(process, steps)[1:]), own[-1])
    if any(t == u for t, u in pairwise(times)):
        raise InputError(f"{steps} sampling steps: more than spacing {spacing} can tell apart; use fewer, or time")
    return times


def _even_in_clock(process: Process, steps: int) -> list[float]:
    """Return σ of each evaluation; the step to the data is as long as the others where the network reaches so far."""
    first, end = (soft_log_snr(*process.scales(t)) for t in (process.times(1)[0], process.times(1)[-1]))
    last = soft_log_snr(*process.scales(process.time_at(0.0)))
    stride = min((end - first) / steps, (last - first) / (steps - 1))
    ratios = [math.exp(first + stride * index) for index in range(steps)]
    return [(1 - ratio * LOW_NOISE) / max(ratio - 1 / HIGH_NOISE, 1e-300) for ratio in ratios]
