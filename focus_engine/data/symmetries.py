"""Symmetries of a periodic map: quarter turns, mirror images and shifts on the torus.

A statistically isotropic field is equally likely after any of them, so each map of a training batch gets a random
one. They permute pixels, which leaves P(k) and PDF unchanged, and run as one gather on the device of the batch. The
draws come from a CPU generator and are the same for every device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """Probabilities of the symmetries in training batches."""

    rotation_p: float = 1.0  # probability of a turn by a random multiple of 90° (180° where H ≠ W)
    flip_p: float = 0.5  # probability of a mirror image
    shift: bool = True  # a random periodic shift of whole pixels


@dataclass(frozen=True, eq=False)
class Symmetries:
    """One symmetry per map: transposed, then mirrored along H and W, then shifted."""

    transpose: Tensor  # (B,) bool
    mirror: Tensor  # (B, 2) bool: along H, along W
    shift: Tensor  # (B, 2) int64: pixels along H, along W

    def of(self, part: slice) -> Symmetries:
        """Return the symmetries of the maps `part`."""
        return Symmetries(self.transpose[part], self.mirror[part], self.shift[part])


def draw_symmetries(
    count: int, height: int, width: int, augmentation: Augmentation, generator: torch.Generator
) -> Symmetries:
    """Draw a symmetry for each of `count` maps of height × width pixels.

    A quarter turn is a transposition followed by a mirror image. With rotation_p = 1 and flip_p = 0.5 the
    eight symmetries of the square are equally likely; for maps that are not square, four of them.
    """
    turned = torch.rand(count, generator=generator) < augmentation.rotation_p
    quarters = torch.randint(4, (count,), generator=generator)
    flipped = torch.rand(count, generator=generator) < augmentation.flip_p
    fractions = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    if height != width:
        quarters = 2 * (quarters // 2)
    quarters = torch.where(turned, quarters, torch.zeros_like(quarters))
    # np.rot90 by 1 is transpose, mirror H; by 2 mirror both; by 3 transpose, mirror W; a flip mirrors W after.
    along_height = (quarters == 1) | (quarters == 2)
    along_width = ((quarters == 2) | (quarters == 3)) ^ flipped
    shift = (fractions * torch.tensor([height, width])).long()
    return Symmetries(
        transpose=quarters % 2 == 1,
        mirror=torch.stack([along_height, along_width], dim=1),
        shift=shift if augmentation.shift else torch.zeros_like(shift),
    )


def apply_symmetries(maps: Tensor, symmetries: Symmetries) -> Tensor:
    """Return maps (B, C, H, W), each under its own symmetry, in a new tensor; channels are transformed alike."""
    batch, channels, height, width = maps.shape
    device = maps.device
    transpose = symmetries.transpose.to(device, non_blocking=True)
    mirror = symmetries.mirror.to(device, non_blocking=True)
    shift = symmetries.shift.to(device, non_blocking=True)
    rows = (torch.arange(height, device=device) - shift[:, :1]) % height  # (B, H): undo the shift
    columns = (torch.arange(width, device=device) - shift[:, 1:]) % width  # (B, W)
    rows = torch.where(mirror[:, :1], height - 1 - rows, rows)  # undo the mirrors
    columns = torch.where(mirror[:, 1:], width - 1 - columns, columns)
    straight = rows[:, :, None] * width + columns[:, None, :]  # (B, H, W): source index of each pixel
    crossed = columns[:, None, :] * width + rows[:, :, None]
    source = torch.where(transpose[:, None, None], crossed, straight).reshape(batch, 1, -1)
    flat = maps.reshape(batch, channels, -1)
    return torch.gather(flat, 2, source.expand(-1, channels, -1)).reshape(maps.shape)
