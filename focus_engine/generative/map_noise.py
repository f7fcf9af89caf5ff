"""The noise of sampled maps: each value is a function of seed, map, draw and pixel.

The key of the generator is the seed; its counter holds the place in the map, the number of the draw and the map. The
noise of a map therefore depends neither on the number of maps nor on the batch size, and is drawn where it is used.
"""

import math

import torch
from torch import Tensor

from focus_engine.generative.philox import philox, unit_normals

LARGEST_SEED = 2**64 - 1
"""The seed is the key of the generator, two words of 32 bits."""

_BLOCKS = {"cpu": 1 << 15, "cuda": 1 << 21}
"""Counters at a time. On a CPU their words then stay in its cache: 26 ns a pixel, as numpy's generator, instead of 50.

Other devices lack double precision, and get what the CPU draws.
"""


class MapNoise:
    """Unit Gaussian noise of maps `first` ... `first + count - 1`, independent of the batch size.

    With `paired`, maps 2i and 2i + 1 have the noise of map i and its opposite.
    """

    def __init__(
        self, seed: int, first: int, count: int, shape: tuple[int, ...], device: torch.device, *, paired: bool = False
    ) -> None:
        self._key = (seed & 0xFFFFFFFF, seed >> 32)
        self._device = device
        drawn_on = device if device.type in _BLOCKS else torch.device("cpu")
        self._maps = torch.arange(first, first + count, device=drawn_on)
        self._sign: Tensor | None = None
        if paired:
            self._sign = (1.0 - 2.0 * (self._maps % 2)).float().view(-1, *(1 for _ in shape)).to(device)
            self._maps //= 2
        self._shape = shape
        self._draws = 0

    def __call__(self) -> Tensor:
        """Return the next noise of each map, float32 (count, *shape), on the device."""
        pixels = math.prod(self._shape)
        per_map = math.ceil(pixels / 4)  # a counter gives four numbers
        counters = torch.arange(len(self._maps) * per_map, device=self._maps.device)
        blocks = torch.split(counters, _BLOCKS[counters.device.type])
        noise = torch.cat([self._draw(some // per_map, some % per_map) for some in blocks])
        self._draws += 1
        made = noise.view(-1, 4 * per_map)[:, :pixels].reshape(-1, *self._shape).to(self._device)
        return made if self._sign is None else self._sign * made

    def _draw(self, rows: Tensor, places: Tensor) -> Tensor:
        """Return the four numbers at each of the `places` (n,) in the maps of `rows` (n,), (n, 4)."""
        maps, draw = self._maps[rows], torch.full_like(places, self._draws)
        return unit_normals(philox((places, draw, maps & 0xFFFFFFFF, maps >> 32), self._key))
