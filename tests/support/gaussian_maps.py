"""Gaussian random fields on the torus with known spectral moments, for tests of statistics of shapes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GaussianMaps:
    """Gaussian fields whose modes fall off as exp(−(n / scale)²), n in fundamental wavenumbers."""

    values: np.ndarray  # (n_maps, side, side), mean 0, variance 1 on average
    sigma0: float
    sigma1: float  # rms gradient, per pixel
    sigma2: float  # rms Laplacian, per pixel²


def gaussian_maps(rng, n_maps, side, scale):
    """Return smooth periodic Gaussian fields without their mean mode; the moments are sums over the modes."""
    n = np.fft.fftfreq(side, 1 / side)
    square = n[:, None] ** 2 + n[None, :] ** 2
    amplitude = np.exp(-square / scale**2 / 2)
    amplitude[0, 0] = 0
    amplitude /= np.sqrt((amplitude**2).sum()) / side
    k2 = square * (2 * np.pi / side) ** 2
    white = np.fft.fft2(rng.normal(size=(n_maps, side, side)))
    moments = [np.sqrt((amplitude**2 * k2**j).sum()) / side for j in range(3)]
    return GaussianMaps(np.fft.ifft2(white * amplitude).real, *(float(one) for one in moments))


def skewed_universes(rng, params, maps_each, side=24):
    """Return densities whose log is a skewed function of a Gaussian field, (len(params) · maps_each, side, side).

    Args:
        rng: generator of the draws.
        params: (S, 2) mean density and amplitude of each universe.
        maps_each: independent maps of each universe.
        side: pixels.
    """
    mean, amplitude = (np.repeat(one, maps_each)[:, None, None] for one in np.asarray(params).T)
    field = 0.5 * amplitude * gaussian_maps(rng, mean.size, side, 6).values
    return 10 ** (10.5 + np.log10(mean) + field + 0.25 * field**2)


def without_phases(rng, maps):
    """Return maps whose log density has the amplitudes of theirs and random phases."""
    modes = np.fft.rfft2(np.log10(maps))
    noise = np.fft.rfft2(rng.normal(size=maps.shape))
    turned = np.abs(modes) * noise / np.abs(noise)
    turned[:, 0, 0] = modes[:, 0, 0]
    return 10 ** np.fft.irfft2(turned, s=maps.shape[1:])
