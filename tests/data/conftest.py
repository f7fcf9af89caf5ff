"""Small map sets on disk in CMD layout, shared by the tests of focus_engine/data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

CAMELS = Path(__file__).parent / "camels"  # parameter tables of github.com/franciscovillaescusa/CAMELS


@pytest.fixture
def camels() -> Path:
    return CAMELS


@pytest.fixture
def lognormal_maps() -> Callable[..., np.ndarray]:
    """Return a function that makes positive maps of about 10^(11 ± 0.5), the same for the same seed."""

    def make(*shape: int, seed: int = 0) -> np.ndarray:
        return (10 ** np.random.default_rng(seed).normal(10.97, 0.5, shape)).astype(np.float32)

    return make


@pytest.fixture
def write_set(tmp_path: Path, lognormal_maps: Callable[..., np.ndarray]) -> Callable[..., tuple[Path, Path]]:
    """Return a function that writes a CMD pair: `simulations` × `per_simulation` maps of `shape`, 6 LH parameters."""

    def write(
        simulations: int = 6,
        per_simulation: int = 3,
        shape: tuple[int, ...] = (8, 8),
        *,
        maps: np.ndarray | None = None,
        columns: int = 6,
        folder: Path = tmp_path,
    ) -> tuple[Path, Path]:
        folder.mkdir(parents=True, exist_ok=True)
        values = lognormal_maps(simulations * per_simulation, *shape) if maps is None else maps
        table = np.loadtxt(CAMELS / "CosmoAstroSeed_IllustrisTNG_L25n256_LH.txt", usecols=range(1, 7))
        maps_path, params_path = folder / "Maps_Mcdm_Test_LH_z=0.00.npy", folder / "params_LH_Test.txt"
        np.save(maps_path, values)
        np.savetxt(params_path, table[:simulations, :columns], fmt="%.5f")
        return maps_path, params_path

    return write
