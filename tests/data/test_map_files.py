"""Every kind of map file gives the same maps, and a bad file gives a one-sentence error."""

import h5py
import numpy as np
import pytest

from focus_engine.data.bring_in import import_maps
from focus_engine.data.map_files import open_maps_file
from focus_engine.data.maps import StoredValues, open_map_set
from focus_engine.errors import InputError
from focus_engine.progress import drain

PER = 4


@pytest.fixture
def maps():
    """Return twenty-four lognormal maps."""
    return (10 ** np.random.default_rng(0).normal(11, 0.4, (24, 8, 8))).astype(np.float32)


@pytest.fixture
def params(tmp_path):
    """Return the path of a table of six simulations."""
    ranges = ((0.1, 0.6, 0.25, 0.25, 0.5, 0.5), (0.5, 1.0, 4, 4, 2, 2))
    path = tmp_path / "params.txt"
    np.savetxt(path, np.random.default_rng(1).uniform(*ranges, (6, 6)), fmt="%.5f")
    return path


def as_npy(path, maps):
    np.save(path / "maps.npy", maps)
    return path / "maps.npy"


def as_npz(path, maps):
    np.savez(path / "maps.npz", maps=maps, other=np.ones((3, 8, 8), np.float32), note="x")
    return path / "maps.npz"


def as_compressed_npz(path, maps):
    np.savez_compressed(path / "small.npz", density=maps)
    return path / "small.npz"


def as_hdf5(path, maps):
    with h5py.File(path / "maps.h5", "w") as file:
        file.create_dataset("run/density", data=maps, chunks=True, compression="gzip")
        file["run/params"] = np.ones((6, 6))
    return path / "maps.h5"


def as_folder(path, maps):
    (path / "single").mkdir()
    for number, one in enumerate(maps):
        np.save(path / "single" / f"map_{number}.npy", one)
    (path / "single" / "notes.txt").write_text("not a map")
    return path / "single"


def as_folder_of_npz(path, maps):
    (path / "zipped").mkdir()
    for number, one in enumerate(maps):
        np.savez(path / "zipped" / f"{number}.npz", one)
    return path / "zipped"


FORMATS = [as_npy, as_npz, as_compressed_npz, as_hdf5, as_folder, as_folder_of_npz]


def opened(path, params, **more):
    return open_map_set(path, params, box_size=25.0, maps_per_simulation=PER, **more)


@pytest.mark.parametrize("write", FORMATS)
def test_every_format_holds_the_same_maps_and_is_the_same_data(write, maps, params, tmp_path):
    map_set = opened(write(tmp_path, maps), params)
    assert map_set.shape == (1, 8, 8)
    assert np.array_equal(map_set.read(np.arange(24))[:, 0], maps)
    assert map_set.fingerprint == opened(as_npy(tmp_path, maps), params).fingerprint
    changed = maps.copy()
    changed[23, 7, 7] *= 2
    (tmp_path / "changed").mkdir()
    assert opened(write(tmp_path / "changed", changed), params).fingerprint != map_set.fingerprint


@pytest.mark.parametrize("write", FORMATS)
def test_every_format_is_imported_as_one_file(write, maps, params, tmp_path):
    imported = drain(import_maps(write(tmp_path, maps), params, "mine", tmp_path / "data", maps_per_simulation=PER))
    assert np.array_equal(imported.map_set.read(np.arange(24))[:, 0], maps)
    assert imported.map_set.maps_path.suffix == ".npy"


@pytest.mark.parametrize(
    ("stored", "write"),
    [
        (StoredValues("log10"), np.log10),
        (StoredValues("standardised", 1e11, 3e11), lambda f: (f - 1e11) / 3e11),
        (StoredValues("log10_standardised", 11.0, 0.4), lambda f: (np.log10(f) - 11.0) / 0.4),
    ],
)
def test_normalised_files_are_read_as_physical_maps(stored, write, maps, params, tmp_path):
    path = as_npy(tmp_path, write(maps.astype(np.float64)).astype(np.float64))
    map_set = opened(path, params, stored=stored)
    assert np.allclose(map_set.read(np.arange(24))[:, 0], maps, rtol=1e-5)
    assert map_set.fingerprint != opened(path, params).fingerprint
    last = drain(import_maps(path, params, "made", tmp_path / "data", maps_per_simulation=PER, stored=stored))
    assert np.allclose(last.map_set.read(np.arange(24))[:, 0], maps, rtol=1e-5)


def test_normalised_files_taken_for_physical_ones_are_refused_with_advice(maps, params, tmp_path):
    path = as_npy(tmp_path, ((np.log10(maps) - 11) / 0.4).astype(np.float32))
    with pytest.raises(InputError, match=r"data\.stored_as: log10_standardised"):
        opened(path, params).read([0])


def test_numbers_in_names_count_as_numbers(maps, tmp_path):
    folder = as_folder(tmp_path, maps)
    assert np.array_equal(open_maps_file(folder)[10], maps[10])


def test_channels_are_kept(params, tmp_path):
    maps = (10 ** np.random.default_rng(0).normal(11, 0.4, (24, 2, 8, 8))).astype(np.float32)
    for write in (as_hdf5, as_folder):
        assert opened(write(tmp_path, maps), params).shape == (2, 8, 8)


def hdf5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


BAD = [
    (lambda at, maps: hdf5(at / "a.h5", x=maps, y=maps), None, "2 datasets that could be maps"),
    (lambda at, maps: hdf5(at / "a.h5", x=maps), "y", "holds no dataset 'y'"),
    (lambda at, maps: hdf5(at / "a.h5", x=maps[0, 0]), None, "no dataset with the shape of maps"),
    (lambda at, maps: hdf5(at / "a.h5", x=maps.astype(int)), None, "maps are float32"),
    (lambda at, _: at / "none.h5", None, "no such file|not a whole HDF5"),
    (lambda at, _: at / "none.npz", None, "no such file"),
    (as_npy, "x", "leave it out for a .npy"),
]


@pytest.mark.parametrize(("write", "key", "words"), BAD)
def test_bad_files_are_refused(write, key, words, maps, tmp_path):
    with pytest.raises(InputError, match=words):
        open_maps_file(write(tmp_path, maps), key)


@pytest.mark.parametrize("name", ["cut.h5", "cut.npz"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x89HDF\r\n\x1a\n no"])
def test_damaged_files_are_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"not a whole|is no .npz"):
        open_maps_file(tmp_path / name)


def test_pickles_in_an_npz_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", maps=np.array([[[{}]]], dtype=object))
    with pytest.raises(InputError, match="pickled"):
        open_maps_file(tmp_path / "a.npz")


def test_folders_that_hold_no_maps(maps, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="files here; a folder of maps"):
        open_maps_file(tmp_path / "empty")
    mixed = as_folder(tmp_path, maps)
    np.save(mixed / "map_9.npy", np.ones((4, 4), np.float32))
    with pytest.raises(InputError, match="all maps of a folder must agree"):
        open_maps_file(mixed)
    np.save(mixed / "map_0.npy", np.ones(4, np.float32))
    with pytest.raises(InputError, match="each file is"):
        open_maps_file(mixed)


def test_power_and_info_read_them(maps, params, tmp_path, capfd):
    from focus_tui.__main__ import run as focus

    for path in (as_hdf5(tmp_path, maps), as_folder(tmp_path, maps)):
        assert focus(["power", str(path), "--box-size", "25", "--json"]) == 0
        assert focus(["data", "info", str(path), "--params", str(params), "--maps-per-simulation", "4"]) == 0
    assert "24 maps of 6 simulations" in capfd.readouterr().out
    assert focus(["data", "import", str(tmp_path / "maps.h5"), str(params), "--name", "x", "--stored-as", "ln"]) == 2
