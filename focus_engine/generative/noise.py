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

SCHEDULES = ("linear", "cosine", "quadratic")


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

    def terminal_snr_by_mode(self, power: NDArray[np.float64], pixel_area: float) -> NDArray[np.float64]:
        """Return the signal-to-noise ratio at t = T-1 of each Fourier mode of the normalised maps.

        `power` is the P(k) of the normalised maps (not of an overdensity) in (Mpc/h)². `pixel_area` is in the same
        unit: unit white noise has P = pixel_area. Modes well above 0 are not noise at T-1, and samples that start
        from noise get them wrong; for red spectra these are the large scales (2305.08891).
        """
        return self.terminal_snr * np.asarray(power, dtype=np.float64) / pixel_area

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


def build_schedule(
    name: str = "linear",
    timesteps: int = 1000,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    *,
    zero_terminal_snr: bool = False,
) -> NoiseSchedule:
    """Return the schedule of the `diffusion` block; `cosine` ignores `beta_start` and `beta_end`.

    Raises:
        InputError: the name is unknown, there are no steps, or β is outside (0, 1) or decreasing.
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
        case _:
            raise InputError(f"diffusion.schedule: {name!r} is unknown; allowed: {', '.join(SCHEDULES)}")
    return schedule.with_zero_terminal_snr() if zero_terminal_snr else schedule


def _from_betas(betas: Tensor) -> NoiseSchedule:
    return NoiseSchedule(torch.cumprod(1 - betas, dim=0))
