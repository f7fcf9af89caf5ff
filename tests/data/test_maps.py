import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from focus_engine.data.maps import MapSet, check_values, open_map_set
from focus_engine.errors import InputError

MakeMaps = Callable[..., np.ndarray]
WriteSet = Callable[..., tuple[Path, Path]]


def opened(paths: tuple[Path, Path], per_simulation: int = 3, **keys: object) -> MapSet:
    return open_map_set(*paths, box_size=25.0, maps_per_simulation=per_simulation, **keys)


@pytest.mark.parametrize(("shape", "expected"), [((8, 8), (1, 8, 8)), ((2, 8, 6), (2, 8, 6)), ((8, 16), (1, 8, 16))])
def test_layouts(write_set: WriteSet, shape: tuple[int, ...], expected: tuple[int, ...]):
    maps = opened(write_set(shape=shape), cond_dim=2, in_channels=expected[0])
    assert (maps.n_maps, maps.n_simulations, maps.shape) == (18, 6, expected)
    assert maps.param_names == ("Omega_m", "sigma_8")
    assert maps.params.dtype == np.float32
    assert maps.table.shape == (6, 6)
    assert maps.read([3]).shape == (1, *expected)
    assert np.array_equal(maps.read([5, 2]).reshape(2, -1), np.load(maps.maps_path)[[5, 2]].reshape(2, -1))


def test_map_i_belongs_to_simulation_i_over_maps_per_simulation(write_set: WriteSet):
    maps = opened(write_set())
    assert maps.simulation_of([0, 2, 3, 17]).tolist() == [0, 0, 1, 5]
    assert np.array_equal(maps.params_of([4]), maps.params[[1]])
    assert maps.maps_of([1, 0]).tolist() == [3, 4, 5, 0, 1, 2]


def test_a_full_size_file_is_opened_and_not_read(tmp_path: Path, camels: Path):
    path = tmp_path / "Maps_Mcdm_IllustrisTNG_LH_z=0.00.npy"
    with path.open("wb") as file:  # sparse: 3.9 GB that take no space
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (15000, 256, 256)})
        file.truncate(file.tell() + 15000 * 256 * 256 * 4)
    tracemalloc.start()
    maps = opened((path, camels / "CosmoAstroSeed_IllustrisTNG_L25n256_LH.txt"), 15, cond_dim=6, in_channels=1)
    assert len(maps.fingerprint) == 64
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert (maps.n_maps, maps.n_simulations) == (15000, 1000)


@pytest.mark.parametrize("kind", ["<f8", ">f4", "fortran"])
def test_other_ways_to_store_floats_read_the_same(write_set: WriteSet, lognormal_maps: MakeMaps, kind: str):
    values = lognormal_maps(18, 8, 8)
    stored = np.asfortranarray(values) if kind == "fortran" else values.astype(kind)
    read = opened(write_set(maps=stored)).read(range(18))
    assert read.dtype == np.float32
    assert np.array_equal(read[:, 0], values)


class Bomb:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("bomb-went-off"),)


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    path.unlink()
    contents = {
        "empty": b"",
        "short": whole[:-1],
        "header only": whole[:100],
        "header": whole[:20] + b"\0" * 40 + whole[60:],
        "version": whole[:6] + b"\x09\x00" + whole[8:],
        "signs": b"\x93NUMPY\x01\x00\x00\x40" + b"-" * 0x4000,
        "pickle": pickle.dumps(Bomb()),
        "text": b"not a map",
    }
    if how in contents:
        path.write_bytes(contents[how])
    elif how == "objects":
        np.save(path, np.array([Bomb()], dtype=object), allow_pickle=True)
    elif how == "zip":
        with path.open("wb") as file:
            np.savez(file, maps=np.ones((18, 8, 8)))
    elif how == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", "no such file"),
        ("empty", "is empty"),
        ("short", r"truncated: shape .* needs 4,736 bytes, the file has 4,735"),
        ("header only", "header is damaged"),
        ("header", "header is damaged"),
        ("version", "header is damaged"),
        ("signs", "header is damaged"),
        ("pickle", "not a .npy file"),
        ("objects", "pickled Python objects"),
        ("zip", "can't be memory-mapped"),
        ("folder", "can't be read"),
        ("text", "not a .npy file"),
    ],
)
def test_a_damaged_file_is_refused(
    write_set: WriteSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, says: str
):
    monkeypatch.chdir(tmp_path)
    paths = write_set()
    damage(paths[0], how)
    with pytest.raises(InputError, match=says) as refusal:
        opened(paths)
    assert str(paths[0]) in str(refusal.value)
    assert not Path("bomb-went-off").exists()


@pytest.mark.parametrize(
    ("maps", "says"),
    [
        (np.ones((18, 64)), r"shape \(18, 64\); maps are \(N, H, W\)"),
        (np.ones((18, 1, 8, 8, 1)), "maps are"),
        (np.ones((18, 8, 8, 1)), "channels second"),
        (np.ones((18, 8, 8, 8)), "3-D grids are not maps"),
        (np.ones((18, 8, 1)), "at least 2 × 2"),
        (np.ones((0, 8, 8)), "holds no map"),
        (np.ones((18, 8, 8), dtype=np.int64), "holds int64"),
        (np.ones((18, 8, 8), dtype=complex), "holds complex128"),
        (np.ones((18, 8, 8), dtype=np.float16), "holds float16"),
        (np.ones((18, 2, 8, 8)), r"2 channel\(s\), but model.in_channels is 1"),
        (np.ones((17, 8, 8)), "6 rows, .* means 18 maps, but .* holds 17"),
        (np.ones((30, 8, 8)), "is data.maps_per_simulation 5?"),
        (np.ones((6, 8, 8)), "not one per map"),
    ],
)
def test_a_wrong_layout_is_refused(write_set: WriteSet, maps: np.ndarray, says: str):
    with pytest.raises(InputError, match=says):
        opened(write_set(maps=maps), in_channels=1)


@pytest.mark.parametrize("box_size", [0.0, -1.0, np.nan, np.inf])
def test_a_wrong_box_is_refused(write_set: WriteSet, box_size: float):
    with pytest.raises(InputError, match="box_size"):
        open_map_set(*write_set(), box_size=box_size, maps_per_simulation=3)
    with pytest.raises(InputError, match="maps_per_simulation is 0"):
        opened(write_set(), 0)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.nan, "2 NaN of 64"),
        (np.inf, "2 infinite of 64"),
        (-np.inf, "2 infinite, 2 negative of 64"),
        (-1e-3, "2 negative of 64"),
    ],
)
def test_invalid_pixels_are_named_by_map_and_count(
    write_set: WriteSet, lognormal_maps: MakeMaps, value: float, says: str
):
    values = lognormal_maps(18, 8, 8)
    values[7, 0, :2] = value
    maps = opened(write_set(maps=values))
    with pytest.raises(InputError, match=rf"map 7 \(simulation 2\) holds {says}"):
        list(check_values(maps))
    assert list(check_values(maps, [0, 6, 8])) == [3]


def test_zeros_are_valid_but_an_empty_map_and_a_float32_overflow_are_not(write_set: WriteSet, lognormal_maps: MakeMaps):
    values = lognormal_maps(18, 8, 8).astype(np.float64)
    values[0, 0] = 0.0
    assert list(check_values(opened(write_set(maps=values)))) == [18]
    values[4] = 0.0
    with pytest.raises(InputError, match=r"map 4 .* holds only zero"):
        list(check_values(opened(write_set(maps=values))))
    values[4] = 1e39
    with pytest.raises(InputError, match=r"map 4 .* 64 infinite"):
        list(check_values(opened(write_set(maps=values))))


def test_the_fingerprint_follows_the_data_and_nothing_else(
    write_set: WriteSet, tmp_path: Path, lognormal_maps: MakeMaps
):
    values = lognormal_maps(18, 8, 8)
    first = opened(write_set(maps=values)).fingerprint
    assert opened(write_set(maps=values, folder=tmp_path / "elsewhere")).fingerprint == first
    other = values.copy()
    other[11, 3, 3] *= 1.001
    prints = {
        first,
        opened(write_set(maps=other)).fingerprint,
        opened(write_set(maps=values.astype(np.float64))).fingerprint,
        opened(write_set(maps=values[:, None])).fingerprint,
        opened(write_set(maps=values, columns=2)).fingerprint,
    }
    assert len(prints) == 5


def test_the_fingerprint_of_a_large_file_sees_every_simulation(tmp_path: Path, write_set: WriteSet):
    count = 1200  # of 128² float32: 79 MB, sparse
    _, params = write_set(simulations=600, per_simulation=2, shape=(2, 2))
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, 128, 128)).flush()
    empty = opened((path, params), 2).fingerprint
    seen = {empty}
    for simulation in (0, 299, 599):
        values = np.load(path, mmap_mode="r+")
        values[2 * simulation : 2 * simulation + 2] = 1.0
        values.flush()
        seen.add(opened((path, params), 2).fingerprint)
    assert len(seen) == 4
