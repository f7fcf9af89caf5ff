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
