"""Arrays of .npz, HDF5 and Zarr files: equal to what was written, mapped where plain, refused where damaged."""

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from focus_engine import spooling
from focus_engine.data.containers import open_container
from focus_engine.errors import InputError

MAPS = np.random.default_rng(0).lognormal(size=(6, 8, 8)).astype(np.float32)


def npz(path, **how):
    how.get("save", np.savez)(path, box_size=25.0, maps=how.get("maps", MAPS), param_names=np.array(["Omega_m"]))
    return path


def hdf5(path, **how):
    with h5py.File(path, "w") as file:
        file.create_dataset("maps", data=MAPS, **how)
        file["param_names"] = np.array([b"Omega_m"])
        file.attrs["box_size"] = 25.0
        file.attrs["units"] = "a unit"
    return path


def test_a_plain_npz_is_mapped_in_place(tmp_path):
    opened = open_container(npz(tmp_path / "a.npz"))
    maps = opened.large("maps")
    assert isinstance(maps, np.memmap)
    assert Path(maps.filename) == tmp_path / "a.npz"
    np.testing.assert_array_equal(maps, MAPS)
    assert opened.small("box_size") == 25.0
    assert opened.names == ("box_size", "maps", "param_names")


@pytest.mark.parametrize("maps", [MAPS.astype(">f8"), np.asfortranarray(MAPS)])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_byte_order_layout_and_compression_do_not_matter(tmp_path, maps, save):
    found = open_container(npz(tmp_path / "a.npz", maps=maps, save=save)).large("maps")
    np.testing.assert_array_equal(found, MAPS)


@pytest.mark.parametrize("how", [{}, {"chunks": (2, 8, 8)}, {"compression": "gzip"}])
def test_hdf5(tmp_path, how):
    opened = open_container(hdf5(tmp_path / "a.h5", **how))
    maps = opened.large("maps")
    assert isinstance(maps, np.memmap) == (not how)
    np.testing.assert_array_equal(maps, MAPS)
    assert opened.small("param_names").tolist() == ["Omega_m"]
    assert float(opened.small("box_size")) == 25.0
    assert str(opened.small("units")) == "a unit"


def test_zarr(tmp_path):
    import zarr

    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("maps", data=MAPS, chunks=(2, 8, 8))
    group.attrs["box_size"] = 25.0
    opened = open_container(tmp_path / "a.zarr")
    np.testing.assert_array_equal(opened.large("maps"), MAPS)
    assert float(opened.small("box_size")) == 25.0


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_large_compressed_arrays_go_to_a_file_block_by_block(tmp_path, monkeypatch, name):
    path = npz(tmp_path / name, save=np.savez_compressed) if name == "a.npz" else hdf5(tmp_path / name, chunks=True)
    monkeypatch.setattr(spooling, "IN_MEMORY", 100)
    monkeypatch.setattr(spooling, "_BLOCK", 4 * MAPS[0].nbytes)
    maps = open_container(path).large("maps")
    assert isinstance(maps, np.memmap)
    np.testing.assert_array_equal(maps, MAPS)


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_truncated_files_are_refused(tmp_path, name):
    path = npz(tmp_path / name) if name == "a.npz" else hdf5(tmp_path / name)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match="not a whole file"):
        open_container(path)


def test_a_damaged_member_is_refused(tmp_path):
    path = npz(tmp_path / "a.npz", save=np.savez_compressed)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("maps.npy").header_offset
    content = bytearray(path.read_bytes())
    content[start + 200 : start + 260] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a whole file"):
        open_container(path).large("maps")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_pickles_are_refused_and_not_run(tmp_path, save):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    save(tmp_path / "a.npz", maps=np.array([Bomb()], dtype=object))
    opened = open_container(tmp_path / "a.npz")
    for read in (opened.large, opened.small):
        with pytest.raises(InputError, match="pickled"):
            read("maps")
    assert not (tmp_path / "exploded").exists()
