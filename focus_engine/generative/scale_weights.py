r"""The mean squared error of maps, with a weight for each scale.

A loss per pixel gives each Fourier mode the same weight. A two-dimensional map has few modes on large scales, so they
count little; a red spectrum has little power in its many modes on small scales. Schanz, List & Hahn (2310.06929)
filter the error to move weight between scales; here the filter is a power of k.
"""

import torch
from torch import Tensor


def mean_square(error: Tensor, power: float = 0.0) -> Tensor:
    """Return the mean of w(k) |error_k|² over the modes of each map, (B,), of an `error` (B, C, H, W).

    error_k is the unitary Fourier transform and w(k) ∝ k^`power` with mean 1 over the modes, so white errors keep their
    mean squared error in expectation. The mode k = 0 has the weight of the longest wave. `power` 0 is the mean squared
    error over pixels (Parseval), computed without the transform.
    """
    if power == 0:
        return error.square().flatten(1).mean(dim=1)
    with torch.autocast(error.device.type, enabled=False):  # no half precision: cuFFT has it for powers of two only
        modes: Tensor = torch.fft.fft2(error, norm="ortho")
        squares = modes.real.square() + modes.imag.square()
        return (mode_weights(error.shape[-2], error.shape[-1], power, like=error) * squares).flatten(1).mean(dim=1)


def mode_weights(height: int, width: int, power: float, *, like: Tensor) -> Tensor:
    """Return w(k) of `mean_square` in the order of fft2, (H, W), on the device and in the dtype of `like`."""
    ky = torch.fft.fftfreq(height, dtype=like.dtype, device=like.device)
    kx = torch.fft.fftfreq(width, dtype=like.dtype, device=like.device)
    k = torch.hypot(ky[:, None], kx[None, :]).clamp(min=1 / max(height, width))  # cycles per pixel
    weights = k**power
    return weights / weights.mean()
