"""Sizes, variants and random maps of benchmarks/gpu_training.py."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from focus_engine.config.schema import Config


@dataclass(frozen=True)
class Size:
    """Size of the training: the seed experiment's, or a small one to test the script."""

    map_size: int = 256
    batch_size: int = 64
    base_channels: int = 128
    matrix: int = 8192
    """Side of the matrices whose product measures the matrix rate."""


@dataclass(frozen=True)
class Variant:
    """One way to run the same training."""

    precision: Literal["float32", "bf16"]
    compiled: bool = False
    channels_last: bool = False

    @property
    def name(self) -> str:
        """Name in the table."""
        return " ".join(
            [self.precision, "compiled" if self.compiled else "eager", *["channels_last"] * self.channels_last]
        )


VARIANTS = (
    Variant("bf16"),
    Variant("bf16", compiled=True),
    Variant("float32"),
    Variant("float32", compiled=True),
    Variant("bf16", channels_last=True),
)
SLOW_VARIANTS = (Variant("bf16", compiled=True, channels_last=True),)
"""Run only if `--only` gives all their words: this one takes three minutes to compile, without speedup."""


def chosen(words: list[str]) -> list[Variant]:
    """Return the variants whose names hold all `words`."""
    every = (*VARIANTS, *SLOW_VARIANTS) if len(words) > 2 else VARIANTS
    return [variant for variant in every if all(word in variant.name.split() for word in words)]


def write_maps(size: Size, folder: Path, steps: int) -> None:
    """Write log-normal maps for `steps` batches of training, in CAMELS layout, one map per simulation."""
    random = np.random.default_rng(0)
    n_maps = size.batch_size * steps + 16
    maps = np.lib.format.open_memmap(folder / "maps.npy", "w+", np.float32, (n_maps, size.map_size, size.map_size))
    for one in maps:
        one[:] = 10 ** (10.97 + 0.5 * random.standard_normal(one.shape, dtype=np.float32))
    maps.flush()
    low, high = (0.1, 0.6, 0.25, 0.25, 0.5, 0.5), (0.5, 1.0, 4.0, 4.0, 2.0, 2.0)
    np.savetxt(folder / "params.txt", random.uniform(low, high, (n_maps, 6)))


def config_of(size: Size, variant: Variant, folder: Path, *, batch_size: int, n_maps: int) -> Config:
    """Return the seed's config for one variant, with micro-batches of `batch_size` maps."""
    return Config.model_validate(
        {
            "data": {
                "maps_path": str(folder / "maps.npy"),
                "params_path": str(folder / "params.txt"),
                "maps_per_simulation": 1,
                "train_split": 1 - 16 / n_maps,
            },
            "model": {"base_channels": size.base_channels},
            "training": {
                "batch_size": batch_size,
                "accumulate": size.batch_size // batch_size,
                "precision": variant.precision,
                "compile": variant.compiled,
                "sample_every": 0,
            },
        }
    )
