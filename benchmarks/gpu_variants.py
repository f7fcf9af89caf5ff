"""Sizes, variants and random maps of benchmarks/gpu_training.py."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from focus_engine.config.blocks.model import ModelBlock
from focus_engine.config.schema import Config


@dataclass(frozen=True)
class Size:
    """Size of a training."""

    map_size: int = 256
    batch_size: int = 64
    base_channels: int = 128
    channel_mults: tuple[int, ...] = (1, 2, 4, 8)
    matrix: int = 8192
    """Side of the matrices whose product measures the matrix rate."""


SIZES = {
    "seed": Size(),
    "template": Size(map_size=32, batch_size=32, base_channels=32, channel_mults=(1, 2, 2)),
    "tiny": Size(map_size=32, batch_size=8, base_channels=8, matrix=512),
}
"""The seed experiment's, that of the template `small`, whose steps are shorter than launching them, and a test's."""


@dataclass(frozen=True)
class Variant:
    """One way to run the same training."""

    precision: Literal["float32", "bf16"]
    layers: Literal["graph", "fused", "separate", "compiled"] = "fused"

    @property
    def name(self) -> str:
        """Name in the table."""
        return f"{self.precision} {self.layers}"


SHORT_VARIANTS = (Variant("bf16", "graph"), Variant("float32", "graph"), Variant("bf16", "separate"))
VARIANTS = (
    Variant("bf16"),
    Variant("float32"),
    Variant("bf16", "separate"),
    Variant("float32", "separate"),
    Variant("bf16", "compiled"),
    Variant("float32", "compiled"),
)


def chosen(words: list[str], size: Size) -> list[Variant]:
    """Return the variants of a size whose names hold all `words`."""
    variants = SHORT_VARIANTS if size == SIZES["template"] else VARIANTS
    return [variant for variant in variants if all(word in variant.name.split() for word in words)]


def model_of(size: Size) -> ModelBlock:
    """Return the model block of a size."""
    model = {"base_channels": size.base_channels, "channel_mults": size.channel_mults}
    return Config.model_validate({"model": model}).model


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
            "model": {"base_channels": size.base_channels, "channel_mults": size.channel_mults},
            "training": {
                "batch_size": batch_size,
                "accumulate": size.batch_size // batch_size,
                "precision": variant.precision,
                "compile": {"graph": "auto", "compiled": True}.get(variant.layers, False),
                "sample_every": 0,
            },
        }
    )
