r"""Mean and spectrum of normalised maps at given parameters: the noise that sampling starts from (`sampling.prior`).

At the noisiest time x_T = a data + s ε. A sampler that starts from s ε alone misses the signal a data, which at the
largest waves and in the mean of a map can be of the size of the noise (2305.08891). Here x_T has the mean a m(θ) and
the variance a² P(k, θ) + s² in each Fourier mode: the exact distribution if the maps at parameters θ are a Gaussian
field, and trained networks need no change. For other fields mean and spectrum at t = T are right, and the higher
moments that are missing are smaller by powers of a.

What white noise costs follows from the linear flow of a Gaussian field. A deterministic sampler lowers the power of a
mode by 1 / (1 + a² P / s²) and shifts the mean by - a m √(P / (a² P + s²)), with P of k = 0; a sampler with η = 1
forgets part of its start and shifts it by - a² P m / (a² P + s²). So the mean is wrong by the root of the
signal-to-noise ratio where P(k) is wrong by the ratio itself: simulated 32² maps on the seed's linear schedule
(a = 0.0064, P = 73) lose 0.3 % of P(k) but 5 % of the response of the mean to the parameters.

m and ln P are polynomials of the standardised parameters, at most quadratic, fitted to training maps. The mode k = 0
has a mean and a variance of its own. Channels are treated as independent: their cross spectra are not in the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from focus_engine.errors import InputError

Array = NDArray[np.float64]

SIMULATIONS_PER_TERM = 5
"""Simulations needed for each term of a polynomial; with fewer, its degree is lower."""
RIDGE = 0.01
"""Added to the normal equations, so that parameters that are constant or equal do no harm."""
LARGEST_SHELLS = 4.0
"""Below this |k| (in fundamental wavenumbers) every |k| is a bin of its own; above, bins grow by BIN_GROWTH."""
BIN_GROWTH = 1.25


@dataclass(frozen=True)
class SpectralPrior:
    """Mean and power of each mode of normalised maps as functions of the standardised parameters.

    Power is that of the unitary Fourier transform: unit white noise has 1 in every mode.

    Attributes:
        size: height and width of the maps.
        bins: |k| of each bin in fundamental wavenumbers of the longest side, (B,); the first is k = 0.
        low, high: trained range of the standardised parameters, (P,); outside it the nearest point inside is used.
        degree: of the polynomials, 0 to 2.
        mean: coefficients of the pixel mean, (C, F).
        log_power: coefficients of ln power, (C, B, F); in the first bin, of the scatter of the mean mode.
        all_mean: pixel mean over all parameters, (C,): the start of unconditional maps.
        all_power: power over all parameters, (C, B).
    """

    size: tuple[int, int]
    bins: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    degree: int
    mean: tuple[tuple[float, ...], ...]
    log_power: tuple[tuple[tuple[float, ...], ...], ...]
    all_mean: tuple[float, ...]
    all_power: tuple[tuple[float, ...], ...]

    def check_size(self, map_shape: tuple[int, int, int]) -> None:
        """Raise InputError unless maps of `map_shape` (C, H, W) are those of the prior."""
        own = (len(self.mean), *self.size)
        if own != map_shape:
            ours, theirs = (" x ".join(map(str, shape)) for shape in (own, map_shape))
            raise InputError(
                f"sampling.prior: spectrum: the checkpoint's spectrum is of maps of {ours} (fields x pixels), the maps "
                f"to draw are of {theirs}; use white"
            )

    def moments(self, cond: Tensor | None, count: int = 1) -> tuple[Array, Array]:
        """Return pixel mean (n, C) and power in the bins (n, C, B) at `cond` (n, P).

        Without `cond` they are those over all parameters, `count` times.
        """
        if cond is None:
            return np.tile(self.all_mean, (count, 1)), np.tile(self.all_power, (count, 1, 1))
        inside = np.clip(cond.detach().cpu().double().numpy(), self.low, self.high)
        terms = _terms(inside, self.degree)
        return terms @ np.array(self.mean).T, np.exp(np.einsum("nf,cbf->ncb", terms, np.array(self.log_power)))

    def start(self, noise: Tensor, cond: Tensor | None, data_scale: float, noise_scale: float) -> Tensor:
        """Return `data_scale` maps + `noise_scale` noise, made from unit `noise` (n, C, H, W), on its device.

        The maps are a Gaussian field at `cond` (n, P), or over all parameters where it is None. Sum and noise are of
        one draw: each mode of the noise is scaled, so that the same noise gives the same phases as a white start.
        """
        mean, power = self.moments(cond, len(noise))
        variance = data_scale**2 * self._of_modes(power) + noise_scale**2
        scale = torch.from_numpy(np.sqrt(variance)).to(noise.device, noise.dtype)
        shift = torch.from_numpy(data_scale * mean).to(noise.device, noise.dtype)
        waves: Tensor = torch.fft.irfft2(torch.fft.rfft2(noise) * scale, s=self.size)
        return waves + shift[:, :, None, None]

    def _of_modes(self, power: Array) -> Array:
        """Return power (n, C, B) in the bins at each mode of the half plane, ln P interpolated in ln k."""
        return np.asarray(np.exp(self.at_modes(np.log(power))))

    def at_modes(self, values: Array) -> Array:
        """Return `values` in the bins (…, B) at each mode of the half plane (…, H, W // 2 + 1), linear in ln k."""
        lower, weight = self._places
        return np.asarray((1 - weight) * values[..., lower] + weight * values[..., lower + 1])

    def pixel_variance(self, power: Array) -> Array:
        """Return the variance between the pixels of a map (…,) whose modes have `power` (…, H, W // 2 + 1)."""
        _, times = half_plane(self.size)
        times[0, 0] = 0.0
        return np.asarray((power * times).sum(axis=(-2, -1)) / (self.size[0] * self.size[1]))

    @cached_property
    def _places(self) -> tuple[NDArray[np.intp], Array]:
        """The bin below each mode of the half plane (H, W // 2 + 1), and the weight of the next."""
        wavenumbers, _ = half_plane(self.size)
        bins = np.array(self.bins)
        place = np.clip(np.searchsorted(bins, wavenumbers + 1e-9, side="right") - 1, 1, len(bins) - 2)
        with np.errstate(divide="ignore"):
            weight = np.log(wavenumbers / bins[place]) / np.log(bins[place + 1] / bins[place])
        weight = weight.clip(0, 2)  # the corners of the plane lie beyond the last mean
        place[0, 0], weight[0, 0] = 0, 0.0
        return place, weight

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists for a checkpoint."""
        return {name: _listed(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SpectralPrior:
        """Rebuild the object that `to_dict` described."""
        return cls(**{name: _tupled(values[name]) for name in cls.__dataclass_fields__})


def fit_prior(batches: Iterable[tuple[Tensor, Tensor]], n_simulations: int) -> SpectralPrior:
    """Fit to batches of normalised maps (n, C, H, W) and their standardised parameters (n, P).

    `n_simulations` is the number of simulations that the maps are of, which limits the degree of the polynomials.
    """
    measured = [(*mode_moments(maps), cond.double().numpy(), maps.shape[-2:]) for maps, cond in batches]
    mean, power, cond = (np.concatenate([one[part] for one in measured]) for part in range(3))
    height, width = measured[0][3]
    degree = _degree(cond.shape[1], n_simulations)
    terms = _terms(cond, degree)
    mean_fit = np.stack([_least_squares(terms, one) for one in mean.T])
    spare = len(terms) / max(len(terms) - terms.shape[1], 1)
    scatter = height * width * spare * (mean - terms @ mean_fit.T) ** 2
    log_power = [_log_powers(terms, cond.shape[1], *one) for one in zip(scatter.T, power.swapaxes(0, 1), strict=True)]
    everywhere = np.concatenate((height * width * mean.var(axis=0)[:, None], power.mean(axis=0)), axis=1)
    return SpectralPrior(
        size=(height, width),
        bins=(0.0, *mode_bins((height, width))[1].tolist()),
        low=tuple(cond.min(axis=0).tolist()),
        high=tuple(cond.max(axis=0).tolist()),
        degree=degree,
        mean=_tupled(mean_fit.tolist()),
        log_power=_tupled([one.tolist() for one in log_power]),
        all_mean=tuple(mean.mean(axis=0).tolist()),
        all_power=_tupled(np.maximum(everywhere, _LEAST).tolist()),
    )


_LEAST = 1e-12  # power of maps without structure, whose logarithm is needed


def _degree(n_params: int, n_simulations: int) -> int:
    """Return the highest degree for which there are SIMULATIONS_PER_TERM simulations for each term."""
    if n_params == 0:
        return 0
    n_terms = (1, 1 + n_params, (n_params + 1) * (n_params + 2) // 2)
    return max(degree for degree in range(3) if degree == 0 or n_simulations >= SIMULATIONS_PER_TERM * n_terms[degree])


def products(n_params: int, degree: int) -> list[list[int]]:
    """Return the columns whose product is each term of a polynomial; of the first, which is 1, none."""
    return [list(one) for power in range(degree + 1) for one in combinations_with_replacement(range(n_params), power)]


def _terms(cond: Array, degree: int) -> Array:
    """Return 1, the parameters and their products up to `degree`, (n, F), from `cond` (n, P)."""
    return np.stack([cond[:, which].prod(axis=1) for which in products(cond.shape[1], degree)], axis=1)


def _log_powers(terms: Array, n_params: int, scatter: Array, power: Array) -> Array:
    """Return the coefficients of ln power of a channel, (B, F), from the scatter of its mean and `power` (n, B - 1).

    That of the mean is linear at most: a single mode tells less of its variance.
    """
    own = _log_mean(terms[:, : 1 + n_params], scatter)
    first = np.pad(own, (0, terms.shape[1] - len(own)))
    return np.stack([first, *(_log_mean(terms, one) for one in power.T)])


def _least_squares(terms: Array, values: Array) -> Array:
    """Return the coefficients (F,) of the least-squares fit to `values` (n,)."""
    return np.asarray(np.linalg.solve(terms.T @ terms + _ridge(terms), terms.T @ values))


def _log_mean(terms: Array, values: Array) -> Array:
    """Return coefficients (F,) of ln E[value], by the likelihood of a Gamma distribution with that mean.

    A fit to ln value would be low by the mean of ln χ², 13 % for 4 modes. Fisher scoring, in steps of at most 1 in ln.
    """
    values = np.maximum(values, _LEAST)
    ridge = _ridge(terms)
    fit = np.zeros(terms.shape[1])
    fit[0] = np.log(values.mean())
    for _ in range(50):
        excess = values / np.exp(terms @ fit) - 1
        step = np.linalg.solve(terms.T @ terms + ridge, terms.T @ excess - ridge @ fit)
        fit += step / max(1.0, float(np.abs(terms @ step).max()))
        if np.abs(step).max() < 1e-10:
            break
    return fit


def _ridge(terms: Array) -> Array:
    penalty = RIDGE * np.eye(terms.shape[1])
    penalty[0, 0] = 0.0
    return penalty


def half_plane(size: tuple[int, int]) -> tuple[Array, Array]:
    """Return |k| of each mode of the half plane, in fundamental wavenumbers of the longest side, and its weight."""
    height, width = size
    longest = max(size)
    rows, columns = np.fft.fftfreq(height, 1 / longest), np.fft.rfftfreq(width, 1 / longest)
    times = np.full((height, len(columns)), 2.0)
    times[:, 0] = 1
    if width % 2 == 0:
        times[:, -1] = 1
    return np.hypot(rows[:, None], columns[None, :]), times


def mode_bins(size: tuple[int, int]) -> tuple[NDArray[np.intp], Array]:
    """Return the bin of each mode of the half plane, k = 0 in the last, and the mean |k| of the others, (B - 1,)."""
    wavenumbers, times = half_plane(size)
    flat = wavenumbers.ravel()
    with np.errstate(divide="ignore"):
        coarse = LARGEST_SHELLS * BIN_GROWTH ** np.floor(np.log(flat / LARGEST_SHELLS) / np.log(BIN_GROWTH) + 1e-9)
    label = np.where(flat < LARGEST_SHELLS, np.round(flat, 6), coarse)
    label[0] = np.inf
    _, bins = np.unique(label, return_inverse=True)
    weight = times.ravel()
    return bins, (np.bincount(bins, weight * flat) / np.bincount(bins, weight))[:-1]


def mode_moments(maps: Tensor) -> tuple[Array, Array]:
    """Return pixel means (n, C) and the mean power of the modes in each bin but k = 0, (n, C, B - 1)."""
    size = (maps.shape[-2], maps.shape[-1])
    bins, _ = mode_bins(size)
    weight = half_plane(size)[1].ravel()
    power = torch.fft.rfft2(maps.double(), norm="ortho").abs().square().numpy()
    sums = np.stack([np.bincount(bins, weight * row) for row in power.reshape(-1, len(bins))])
    power = (sums / np.bincount(bins, weight))[:, :-1].reshape(*maps.shape[:2], -1)
    return maps.double().mean(dim=(-2, -1)).numpy(), power


def _listed(value: Any) -> Any:  # noqa: ANN401  (nested tuples of numbers)
    return [_listed(one) for one in value] if isinstance(value, list | tuple) else value


def _tupled(value: Any) -> Any:  # noqa: ANN401  (the same as lists)
    return tuple(_tupled(one) for one in value) if isinstance(value, list | tuple) else value
