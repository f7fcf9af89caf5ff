r"""Noise schedules of discrete diffusion: the scales of map and noise at step t = 0 ... T-1.

x_t = α_t map + σ_t noise with α_t = √ᾱ_t, σ_t = √(1 - ᾱ_t), ᾱ_t = Π (1 - β_s) (Ho et al., 2006.11239).
Separate from `diffusion` because a schedule is arithmetic only: float64, on the CPU, without a network.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from focus_engine.errors import InputError

SCHEDULES = ("linear", "cosine", "quadratic", "sigmoid")


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Cumulative signal fractions ᾱ_t of T steps, noisiest last; all tables are (T,) float64."""

    alpha_bar: Tensor

    @property
    def timesteps(self) -> int:
        """Number of steps T."""
        return len(self.alpha_bar)

    @property
    def alpha(self) -> Tensor:
        """Scale of the map at each step, √ᾱ."""
        return self.alpha_bar.sqrt()

    @property
    def sigma(self) -> Tensor:
        """Scale of the noise at each step, √(1 - ᾱ)."""
        return (1 - self.alpha_bar).sqrt()

    @cached_property
    def angle(self) -> NDArray[np.float64]:
        """atan(σ/α) at each step, (T,): finite at zero signal and at zero noise, and increasing."""
        angle: NDArray[np.float64] = torch.atan2(self.sigma, self.alpha).numpy()
        return angle

    @property
    def beta(self) -> Tensor:
        """Variance added at each step, 1 - ᾱ_t / ᾱ_(t-1)."""
        before = torch.cat((torch.ones(1, dtype=torch.float64), self.alpha_bar[:-1]))
        return 1 - self.alpha_bar / before

    @property
    def snr(self) -> Tensor:
        """Signal-to-noise ratio of a unit-variance pixel at each step, ᾱ / (1 - ᾱ)."""
        return self.alpha_bar / (1 - self.alpha_bar)

    @property
    def terminal_snr(self) -> float:
        """Signal-to-noise ratio of a unit-variance pixel at t = T-1, where samplers assume pure noise."""
        return float(self.snr[-1])

    def shifted(self, shift: float) -> "NoiseSchedule":
        """Return the schedule with σ/α multiplied by `shift` at each step, so SNR / shift².

        Averaging pixels removes noise that is white and keeps the large waves, so maps of N² pixels need more noise
        than those of 64²: `shift` = N/64 keeps the noise on large scales of 64² (2301.11093, section 3.1: the log SNR
        moves by 2 ln(64/N)). No signal stays no signal.

        Raises:
            InputError: `shift` is not a positive number.
        """
        if not 0 < shift < math.inf:
            raise InputError(f"diffusion.shift: {shift:g}; use a number above 0 (1 changes nothing)")
        if shift == 1:
            return self
        signal = self.alpha_bar
        return NoiseSchedule(signal / (signal + shift**2 * (1 - signal)))

    def with_zero_terminal_snr(self) -> "NoiseSchedule":
        """Return the schedule with √ᾱ rescaled to 0 at t = T-1 and unchanged at t = 0 (2305.08891, alg. 1).

        Raises:
            InputError: there is only one step.
        """
        if self.timesteps < 2:
            raise InputError("diffusion.timesteps: 1 has no first and last step; zero_terminal_snr needs 2 or more")
        root = self.alpha_bar.sqrt()
        first, last = root[0], root[-1]
        return NoiseSchedule(((root - last) * (first / (first - last))).square())


def linear_schedule(timesteps: int, beta_start: float, beta_end: float) -> NoiseSchedule:
    """Return the schedule whose β grows linearly from `beta_start` to `beta_end` (2006.11239)."""
    return _from_betas(torch.linspace(beta_start, beta_end, timesteps, dtype=torch.float64))


def quadratic_schedule(timesteps: int, beta_start: float, beta_end: float) -> NoiseSchedule:
    """Return the schedule whose √β grows linearly from √`beta_start` to √`beta_end`."""
    roots = torch.linspace(math.sqrt(beta_start), math.sqrt(beta_end), timesteps, dtype=torch.float64)
    return _from_betas(roots.square())


def cosine_schedule(timesteps: int, offset: float = 0.008, largest_beta: float = 0.999) -> NoiseSchedule:
    """Return the schedule ᾱ_t ∝ cos²(π/2 · ((t+1)/T + s)/(1 + s)), β ≤ `largest_beta` (2102.09672, eq. 17)."""
    edges = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    curve = torch.cos((edges + offset) / (1 + offset) * (math.pi / 2)).square()
    return _from_betas((1 - curve[1:] / curve[:-1]).clamp(max=largest_beta))


def sigmoid_schedule(timesteps: int, edge: float = 3.0, least: float = 1e-9) -> NoiseSchedule:
    """Return the schedule ᾱ_t = (S(e) - S(e (2u - 1))) / (S(e) - S(-e)) ≥ `least`, with S the logistic function.

    u = (t+1)/T and e = `edge`: start -3, end 3, τ 1 and the bound 1e-9 of 2212.11972, algorithm 1.
    """
    u = torch.arange(1, timesteps + 1, dtype=torch.float64) / timesteps
    high, low = torch.sigmoid(torch.tensor([edge, -edge], dtype=torch.float64))
    return NoiseSchedule(((high - torch.sigmoid(edge * (2 * u - 1))) / (high - low)).clamp(min=least))


def build_schedule(
    name: str = "linear",
    timesteps: int = 1000,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    *,
    zero_terminal_snr: bool = False,
    shift: float = 1.0,
) -> NoiseSchedule:
    """Return the schedule of the `diffusion` block; `cosine` and `sigmoid` ignore `beta_start` and `beta_end`.

    The rescaling to zero terminal SNR comes first and the shift second, so that `shift` divides the SNR of every step
    by shift², with and without the rescaling.

    Raises:
        InputError: the name is unknown, there are no steps, β is outside (0, 1) or decreasing, or the shift is not
            positive.
    """
    if timesteps < 1:
        raise InputError(f"diffusion.timesteps: {timesteps}; use 1 or more")
    if not 0 < beta_start <= beta_end < 1:
        raise InputError(
            f"diffusion.beta_start {beta_start:g} and beta_end {beta_end:g}: use 0 < beta_start <= beta_end < 1"
        )
    match name:
        case "linear":
            schedule = linear_schedule(timesteps, beta_start, beta_end)
        case "quadratic":
            schedule = quadratic_schedule(timesteps, beta_start, beta_end)
        case "cosine":
            schedule = cosine_schedule(timesteps)
        case "sigmoid":
            schedule = sigmoid_schedule(timesteps)
        case _:
            raise InputError(f"diffusion.schedule: {name!r} is unknown; allowed: {', '.join(SCHEDULES)}")
    return (schedule.with_zero_terminal_snr() if zero_terminal_snr else schedule).shifted(shift)


def _from_betas(betas: Tensor) -> NoiseSchedule:
    return NoiseSchedule(torch.cumprod(1 - betas, dim=0))
