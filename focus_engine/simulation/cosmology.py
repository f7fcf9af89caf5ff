"""Flat ΛCDM: expansion, linear growth and the linear matter power spectrum.

The cosmology that a particle-mesh simulation needs, in closed form or as one short quadrature, with numpy only.
Defaults are those of CAMELS, where only Omega_m and sigma_8 vary. Radiation and neutrinos are neglected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import InputError

CRITICAL_DENSITY = 2.775e11
"""ρ_c today in (M☉/h)/(Mpc/h)³: 3 (100 km/s/Mpc)² / 8πG."""

CMB_TEMPERATURE = 2.7255
"""Kelvin (Fixsen 2009)."""

_QUADRATURE_NODES, _QUADRATURE_WEIGHTS = np.polynomial.legendre.leggauss(64)


@dataclass(frozen=True)
class Cosmology:
    """A flat ΛCDM universe; `sigma_8` is the linear rms density contrast in spheres of 8 Mpc/h today.

    Raises:
        InputError: a parameter is outside its possible range.
    """

    Omega_m: float
    sigma_8: float
    h: float = 0.6711
    n_s: float = 0.9624
    Omega_b: float = 0.049

    def __post_init__(self) -> None:
        if not 0 <= self.Omega_b < self.Omega_m <= 1:
            raise InputError(
                f"Omega_m = {self.Omega_m:g} with Omega_b = {self.Omega_b:g}: a flat universe needs "
                "0 ≤ Omega_b < Omega_m ≤ 1"
            )
        for name in ("sigma_8", "h"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} = {value:g}: it must be a positive number")
        if not math.isfinite(self.n_s):
            raise InputError(f"n_s = {self.n_s:g}: it must be a finite number")

    @property
    def mean_density(self) -> float:
        """Comoving mean matter density Omega_m ρ_c in (M☉/h)/(Mpc/h)³."""
        return self.Omega_m * CRITICAL_DENSITY

    def expansion(self, a: float) -> float:
        """E(a) = H(a)/H_0 = √(Ω_m a⁻³ + 1 − Ω_m)."""
        return math.sqrt(self.Omega_m * a**-3 + 1 - self.Omega_m)

    def matter_fraction(self, a: float) -> float:
        """Ω_m(a), the share of matter in the energy density at scale factor a."""
        return self.Omega_m * a**-3 / self.expansion(a) ** 2

    def _growth_integral(self, a: float) -> float:
        """∫_0^a da' / (a' E(a'))³; substituting a' = a u² leaves a smooth integrand."""
        u = 0.5 * (_QUADRATURE_NODES + 1)
        scale = a * u**2
        a_times_expansion = np.sqrt(self.Omega_m / scale + (1 - self.Omega_m) * scale**2)
        return float(0.5 * np.sum(_QUADRATURE_WEIGHTS * 2 * a * u * a_times_expansion**-3))

    @cached_property
    def _growth_today(self) -> float:
        return self._growth_integral(1.0)

    def growth(self, a: float) -> float:
        """Linear growth factor D(a) ∝ E(a) ∫ da'/(a' E)³ (Heath 1977), with D(1) = 1."""
        return self.expansion(a) * self._growth_integral(a) / self._growth_today

    def growth_rate(self, a: float) -> float:
        """f(a) = d ln D / d ln a, the exact derivative of `growth`."""
        expansion = self.expansion(a)
        return -1.5 * self.matter_fraction(a) + a / ((a * expansion) ** 3 * self._growth_integral(a))

    def transfer(self, k: ArrayLike) -> NDArray[np.float64]:
        """T(k) without acoustic wiggles, k in h/Mpc: Eisenstein & Hu 1998 (ApJ 496, 605), eqs 26 and 28–31."""
        wavenumber = np.asarray(k, dtype=np.float64)
        matter, baryon = self.Omega_m * self.h**2, self.Omega_b * self.h**2
        baryon_share = self.Omega_b / self.Omega_m
        theta = CMB_TEMPERATURE / 2.7
        sound_horizon = 44.5 * math.log(9.83 / matter) / math.sqrt(1 + 10 * baryon**0.75)  # Mpc, eq. 26
        alpha = (
            1 - 0.328 * math.log(431 * matter) * baryon_share + 0.38 * math.log(22.3 * matter) * baryon_share**2
        )  # eq. 31
        suppression = alpha + (1 - alpha) / (1 + (0.43 * wavenumber * self.h * sound_horizon) ** 4)
        q = wavenumber * theta**2 / (self.Omega_m * self.h * suppression)  # eqs 28 and 30
        logarithm = np.log(2 * math.e + 1.8 * q)
        transfer: NDArray[np.float64] = logarithm / (logarithm + (14.2 + 731 / (1 + 62.5 * q)) * q**2)  # eq. 29
        return transfer

    @cached_property
    def _amplitude(self) -> float:
        """Amplitude A of P = A kⁿ T² that gives an rms of sigma_8 in spheres of 8 Mpc/h."""
        k = np.geomspace(1e-5, 1e2, 4096)
        power = k**self.n_s * self.transfer(k) ** 2
        return self.sigma_8**2 / top_hat_variance(k, power, 8.0)

    def linear_power(self, k: ArrayLike) -> NDArray[np.float64]:
        """Linear matter P(k) today in (Mpc/h)³, for k in h/Mpc; P(0) = 0."""
        wavenumber = np.asarray(k, dtype=np.float64)
        power: NDArray[np.float64] = self._amplitude * wavenumber**self.n_s * self.transfer(wavenumber) ** 2
        return power


def top_hat_variance(k: NDArray[np.float64], power: NDArray[np.float64], radius: float) -> float:
    """Variance of the density in spheres of `radius` Mpc/h: ∫ k³P/2π² W²(kR) d ln k, W = 3 (sin x − x cos x)/x³.

    Args:
        k: ascending wavenumbers in h/Mpc, dense enough for the trapezoid rule in ln k.
        power: P(k) in (Mpc/h)³ at `k`.
        radius: in Mpc/h.
    """
    x = k * radius
    # Below x = 0.01 the two terms cancel to rounding error; the series is exact there.
    window = np.where(x < 1e-2, 1 - x**2 / 10, 3 * (np.sin(x) - x * np.cos(x)) / x**3)
    integrand = k**3 * power / (2 * np.pi**2) * window**2
    return float(np.sum(0.5 * (integrand[1:] + integrand[:-1]) * np.diff(np.log(k))))
