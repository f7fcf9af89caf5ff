"""Files in chunks: each chunk is decoded about once an epoch, and order, resume and ranks are as for other files."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from focus_engine.data.batches import Batch, Batches, Share
from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.normalise import fit_normaliser
from focus_engine.data.order import epoch_order
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.data.symmetries import Augmentation

SIMULATIONS, PER, CHUNK, SIDE = 20, 3, 4, 8
N = SIMULATIONS * PER
IDS = [number for number in range(N) if number % 7]
WINDOW = 12


def as_zarr(path: Path, maps: np.ndarray) -> Path:
    import zarr

    array = zarr.create_array(path / "m.zarr", shape=maps.shape, chunks=(CHUNK, *maps.shape[1:]), dtype="float32")
    array[:] = maps
    return path / "m.zarr"


def as_hdf5(path: Path, maps: np.ndarray) -> Path:
    with h5py.File(path / "m.h5", "w") as file:
        file.create_dataset("maps", data=maps, chunks=(CHUNK, *maps.shape[1:]), compression="gzip")
    return path / "m.h5"


def as_npy(path: Path, maps: np.ndarray) -> Path:
    np.save(path / "m.npy", maps)
    return path / "m.npy"


@dataclass(eq=False)
class Watched:
    """Maps of a file that count how often each chunk is decoded."""

    maps: Any
    decoded: Counter[int] = field(default_factory=Counter)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.maps, name)

    def __getitem__(self, index: int) -> Any:
        return self.rows(index, index + 1)[0]

    def rows(self, first: int, last: int) -> Any:
        self.decoded.update(range(first // CHUNK, (last - 1) // CHUNK + 1))
        return self.maps.rows(first, last)


@pytest.fixture
def values(lognormal_maps) -> np.ndarray:
    return lognormal_maps(N, SIDE, SIDE)


def opened(path: Path, tmp_path: Path) -> MapSet:
    np.savetxt(tmp_path / "params.txt", np.random.default_rng(0).uniform(0.1, 0.5, (SIMULATIONS, 2)))
    return open_map_set(path, tmp_path / "params.txt", box_size=25.0, maps_per_simulation=PER)


def batches_of(maps: MapSet, **keys: Any) -> Batches:
    settings = {"batch_size": 5, "seed": 7, "shuffle": True, "augmentation": Augmentation(), "resident": False, **keys}
    scaler, normaliser = ParameterScaler.fit(maps, range(SIMULATIONS)), fit_normaliser(maps, IDS, "log10")
    return Batches(maps, IDS, normaliser, scaler, window_bytes=WINDOW * 4 * SIDE**2, **settings)


def shown(epoch: Iterable[Batch]) -> list[int]:
    """Return the ids of the maps that count, in order."""
    return [index for batch in epoch if batch.weight for index in batch.ids.tolist()]


@pytest.mark.parametrize("write", [as_zarr, as_hdf5])
def test_every_way_of_reading_gives_the_same_batches(write, values: np.ndarray, tmp_path: Path):
    maps = opened(write(tmp_path, values), tmp_path)
    assert maps.chunk == CHUNK
    assert np.array_equal(maps.read([9, 3, 2, 2, 40])[:, 0], values[[9, 3, 2, 2, 40]])
    assert np.array_equal(np.concatenate([some for _, some in maps.chunks(range(N))])[:, 0], values)
    expected = list(batches_of(maps, resident=True).epoch(1))
    assert sorted(shown(expected)) == IDS
    for keys in ({"num_workers": 0}, {"num_workers": 3}):
        batches = batches_of(maps, **keys)
        for start in (0, 4, len(expected)):
            found = list(batches.epoch(1, start))
            for one, other in zip(found, expected[start:], strict=True):
                assert torch.equal(one.maps, other.maps)
                assert torch.equal(one.cond, other.cond)
                assert torch.equal(one.ids, other.ids)


def test_a_chunk_is_decoded_once_a_window(values: np.ndarray, tmp_path: Path):
    maps = opened(as_zarr(tmp_path, values), tmp_path)
    watched = Watched(maps.maps)
    batches = batches_of(replace(maps, maps=watched), num_workers=2)
    chunks, windows = N // CHUNK, -(-len(IDS) // WINDOW)
    for share in (Share(), Share(1, 2)):
        batches._share = share
        watched.decoded.clear()
        list(batches.epoch(3))
        # A chunk is decoded a second time where the order divides it between two windows.
        assert chunks <= watched.decoded.total() <= chunks + windows - 1
        assert max(watched.decoded.values()) <= 2
    list(replace(maps, maps=watched).chunks(range(N)))
    assert watched.decoded.total() <= 2 * chunks + windows - 1


def test_validation_in_order_decodes_each_chunk_once(values: np.ndarray, tmp_path: Path):
    maps = opened(as_zarr(tmp_path, values), tmp_path)
    watched = Watched(maps.maps)
    batches = batches_of(replace(maps, maps=watched), shuffle=False, augmentation=None)
    watched.decoded.clear()
    assert shown(batches.epoch(1)) == IDS
    assert watched.decoded.total() <= N // CHUNK + len(IDS) // WINDOW


def test_the_order_depends_on_neither_batches_nor_ranks(values: np.ndarray, tmp_path: Path):
    maps = opened(as_zarr(tmp_path, values), tmp_path)
    whole = shown(batches_of(maps).epoch(2))
    assert shown(batches_of(maps, batch_size=16).epoch(2)) == whole
    assert shown(batches_of(maps, num_workers=2).epoch(3)) != whole
    assert shown(batches_of(maps, seed=8).epoch(2)) != whole
    for ranks in (2, 3):
        parts = [batches_of(maps, share=Share(rank, ranks), num_workers=2).epoch(2) for rank in range(ranks)]
        assert shown(batch for together in zip(*parts, strict=True) for batch in together) == whole


def test_a_damaged_chunk_ends_the_epoch_with_its_file(values: np.ndarray, tmp_path: Path):
    values[13, 0, 0] = np.nan
    maps = opened(as_hdf5(tmp_path, values), tmp_path)
    with pytest.raises(Exception, match=r"m\.h5: map 13 .* 1 NaN"):
        list(batches_of(maps, num_workers=2).epoch(0))


def test_windows_mix_few_chunks_and_chunks_are_in_random_order():
    ids = torch.arange(1000)
    order = epoch_order(ids, seed=0, epoch=0, chunk=10, window=100)
    assert torch.equal(order.sort().values, ids)
    for window in order.split(100):
        assert len(torch.unique(window // 10)) == 10
        assert (window.diff().abs() == 1).sum() < 10  # maps of a chunk do not follow each other
    first = torch.stack([one.float().mean() for one in order.split(100)])
    assert (first - 499.5).abs().max() < 300  # ten random chunks: 499.5 ± 91
    plain = epoch_order(ids, seed=0, epoch=0, chunk=1, window=100)
    assert torch.equal(epoch_order(ids, seed=0, epoch=0, chunk=10, window=1000), plain)


def test_fields_in_files_with_other_chunks_are_read_together(values: np.ndarray, tmp_path: Path):
    (tmp_path / "b").mkdir()
    files = [as_zarr(tmp_path, values), as_npy(tmp_path / "b", 2 * values)]
    np.savetxt(tmp_path / "params.txt", np.ones((SIMULATIONS, 2)))
    maps = open_map_set(files, tmp_path / "params.txt", box_size=25.0, maps_per_simulation=PER)
    assert maps.chunk == CHUNK
    assert np.array_equal(maps.read([5, 6, 1]), np.stack((values, 2 * values), axis=1)[[5, 6, 1]])
