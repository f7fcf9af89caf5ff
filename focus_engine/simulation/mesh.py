"""A periodic mesh: derivatives in Fourier space, cloud-in-cell deposit and force.

The gravitational force is expressed as a displacement, −∇∇⁻²δ in Mpc/h, which in linear theory is the displacement
of matter; cosmology enters in `nbody`. Mass is deposited in integer multiples of a quantum, whose sum does not
depend on the order of addition. The same particles thus give the same bits with any number of threads, on CPU and
GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

_MASS_QUANTUM = 2.0**-24
"""Cloud-in-cell weights are rounded to integer multiples of this, so that their sums in float64 are exact."""


def to_waves(field: Tensor) -> Tensor:
    """Return `rfftn` over the last three axes, the same bits with any number of threads."""
    with _one_thread_on_the_cpu(field):
        waves: Tensor = torch.fft.rfftn(field, dim=(-3, -2, -1))
    return waves


def to_space(spectrum: Tensor, cells: int) -> Tensor:
    """Return the field (…, cells, cells, cells) of a half-space spectrum, the same bits with any number of threads."""
    with _one_thread_on_the_cpu(spectrum):
        field: Tensor = torch.fft.irfftn(spectrum, s=(cells,) * 3, dim=(-3, -2, -1))
    return field


@contextmanager
def _one_thread_on_the_cpu(values: Tensor) -> Iterator[None]:
    """Limit torch to one thread on the CPU: MKL's rounding depends on the number of threads (seen with torch 2.13)."""
    threads = torch.get_num_threads()
    if values.device.type != "cpu" or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Mesh:
    """A cubic periodic mesh of `cells`³ over a box of side `box_size` (comoving Mpc/h) on one device."""

    cells: int
    box_size: float
    device: torch.device

    @cached_property
    def wavenumbers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Components of k in h/Mpc on the half-space of `rfftn`, each broadcastable to (N, N, N//2 + 1)."""
        spacing = self.box_size / self.cells / (2 * math.pi)
        full = torch.fft.fftfreq(self.cells, d=spacing, device=self.device)
        half = torch.fft.rfftfreq(self.cells, d=spacing, device=self.device)
        return full[:, None, None], full[None, :, None], half[None, None, :]

    @cached_property
    def k_squared(self) -> Tensor:
        """|k|² in (h/Mpc)², (N, N, N//2 + 1)."""
        kx, ky, kz = self.wavenumbers
        return kx**2 + ky**2 + kz**2

    @cached_property
    def _slopes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Components of k for first derivatives: zero at Nyquist, where the sign of k is undefined."""
        limit = math.pi * self.cells / self.box_size * (1 - 1e-6)
        kx, ky, kz = (torch.where(k.abs() < limit, k, 0.0) for k in self.wavenumbers)
        return kx, ky, kz

    @cached_property
    def _inverse_k_squared(self) -> Tensor:
        k_squared = self.k_squared.clone()
        k_squared[0, 0, 0] = math.inf
        return 1 / k_squared

    @cached_property
    def _displacement_kernel(self) -> Tensor:
        return torch.stack([k * self._inverse_k_squared for k in self._slopes])

    @cached_property
    def _force_kernel(self) -> Tensor:
        """The displacement kernel, deconvolved by the two clouds and cut off isotropically at Nyquist.

        Without deconvolution growth is too slow by (kh)²/6 for cells of side h: 20 % for five waves in 32 cells,
        with it 0.6 %.
        """
        angle = self.box_size / self.cells / (2 * math.pi)
        cloud = math.prod(torch.sinc(k * angle) ** 2 for k in self.wavenumbers)
        nyquist = math.pi * self.cells / self.box_size
        cut_off = torch.exp(-((self.k_squared / nyquist**2) ** 4))
        return self._displacement_kernel * (cut_off / cloud**2)

    def displacement(self, density_spectrum: Tensor) -> Tensor:
        """Return curl-free ψ with ∇·ψ = −δ, in Mpc/h, (3, N, N, N), from `rfftn` of δ: ψ(k) = i k δ(k)/k²."""
        gradient = 1j * density_spectrum
        return torch.stack([to_space(kernel * gradient, self.cells) for kernel in self._displacement_kernel])

    def second_order_source(self, density_spectrum: Tensor) -> Tensor:
        """Return Σ_{i<j} φ,ii φ,jj − φ,ij² of the potential ∇²φ = δ, (N, N, N), from `rfftn` of δ."""
        potential = -self._inverse_k_squared * density_spectrum
        (kx, ky, kz), (sx, sy, sz) = self.wavenumbers, self._slopes
        xx, yy, zz = (to_space(k**2 * potential, self.cells) for k in (kx, ky, kz))
        xy, yz, zx = (to_space(pair * potential, self.cells) for pair in (sx * sy, sy * sz, sz * sx))
        return xx * yy + yy * zz + zz * xx - xy**2 - yz**2 - zx**2

    def density(self, displacement: Tensor) -> Tensor:
        """Return 1 + δ, (M, M, M) float32 of mean 1, of a displaced lattice (3, N, N, N) in Mpc/h, by cloud-in-cell."""
        return self._deposit(*self._clouds(displacement))

    def force(self, displacement: Tensor) -> Tensor:
        """Return −∇∇⁻²δ at the particles of a displaced lattice, in Mpc/h and of the same shape, (3, N, N, N).

        The same cloud deposits the mass and interpolates the force, so that no particle acts on itself (Hockney &
        Eastwood 1988, Computer Simulation Using Particles, ch. 5).
        """
        sites, shares = self._clouds(displacement)
        gradient = 1j * to_waves(self._deposit(sites, shares))
        # One row per cell, filled column by column: avoids two large temporaries and a fifth of the time.
        table = torch.empty(self.cells**3, 3, device=self.device)
        for column, kernel in zip(table.unbind(1), self._force_kernel, strict=True):
            column.copy_(to_space(kernel * gradient, self.cells).flatten())
        force = functional.embedding_bag(sites, table, per_sample_weights=shares, mode="sum")
        return force.T.reshape(displacement.shape)

    def _deposit(self, sites: Tensor, shares: Tensor) -> Tensor:
        quanta = (shares * (1 / _MASS_QUANTUM)).round_().double()
        mass = torch.zeros(self.cells**3, dtype=torch.float64, device=self.device)
        mass.index_add_(0, sites.flatten(), quanta.flatten())
        per_cell = _MASS_QUANTUM * self.cells**3 / sites.shape[0]
        return (mass * per_cell).float().reshape(self.cells, self.cells, self.cells)

    def _clouds(self, displacement: Tensor) -> tuple[Tensor, Tensor]:
        """Return the 8 cells of each particle's cloud, (N³, 8) int32, and its weight in each, (N³, 8)."""
        grid = displacement.shape[-1]
        # Offset by half a cell: on a node the deposit is a one-sided derivative of the displacement, which loses 12 %
        # of linear growth at 32 cells per wavelength; between nodes it is a central one (0.6 %).
        lattice = torch.arange(grid, dtype=torch.float32, device=self.device) * (self.cells / grid) + 0.5
        lower_sites, upper_sites, upper_shares = [], [], []
        for axis, stride in enumerate((self.cells**2, self.cells, 1)):
            place = lattice.reshape([-1 if other == axis else 1 for other in range(3)])
            position = (displacement[axis] * (self.cells / self.box_size) + place).flatten()
            cell = position.floor()
            upper_shares.append(position - cell)
            lower = (cell - self.cells * (cell / self.cells).floor()).int()
            upper = torch.where(lower == self.cells - 1, 0, lower + 1)
            lower_sites.append(lower * stride)
            upper_sites.append(upper * stride)
        weights = [(1 - share, share) for share in upper_shares]
        # Filled row by row and transposed at once: twice as fast as filling the columns.
        sites = torch.empty(8, grid**3, dtype=torch.int32, device=self.device)
        shares = torch.empty(8, grid**3, device=self.device)
        for corner, (i, j, k) in enumerate(product((0, 1), repeat=3)):
            x, y, z = ((lower_sites, upper_sites)[up][axis] for axis, up in enumerate((i, j, k)))
            torch.add(x + y, z, out=sites[corner])
            torch.mul(weights[0][i] * weights[1][j], weights[2][k], out=shares[corner])
        return sites.T.contiguous(), shares.T.contiguous()
