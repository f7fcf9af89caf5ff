import numpy as np
import pytest

from focus_engine.errors import InputError
from focus_engine.statistics.maps_file import load_maps_file

MAPS = np.arange(1, 129, dtype=np.float32).reshape(2, 8, 8)


def test_npy_is_memory_mapped(tmp_path):
    np.save(tmp_path / "maps.npy", MAPS)
    held = load_maps_file(tmp_path / "maps.npy")
    np.testing.assert_array_equal(held.maps[:, 0], MAPS)
    assert (held.box_size, held.fields) == (None, ())
    assert isinstance(held.maps.base.base, np.memmap)


def test_npz_says_its_box(tmp_path):
    np.savez(tmp_path / "a.npz", maps=MAPS[:, None], box_size=np.float64(50.0))
    held = load_maps_file(str(tmp_path / "a.npz"))
    assert held.maps.shape == (2, 1, 8, 8)
    assert held.box_size == 50.0
    np.savez_compressed(tmp_path / "b.npz", maps=MAPS[0])
    held = load_maps_file(tmp_path / "b.npz")
    assert held.maps.shape == (1, 1, 8, 8)
    assert held.box_size is None


def test_npz_names_its_fields(tmp_path):
    two = np.stack([MAPS, MAPS], axis=1)
    np.savez(tmp_path / "a.npz", maps=two, fields=np.array(["HI", "T"]))
    assert load_maps_file(tmp_path / "a.npz").fields == ("HI", "T")
    np.savez(tmp_path / "b.npz", maps=two, fields=np.array(["HI"]))
    assert load_maps_file(tmp_path / "b.npz").fields == ()
    assert load_maps_file(tmp_path / "b.npz").maps.shape == (2, 2, 8, 8)


def test_missing_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_maps_file(tmp_path / "no.npy")
    with pytest.raises(InputError, match="can't be read"):
        load_maps_file(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not numpy at all", b"PK\x03\x04 torn", b"\x93NUMPY\x01\x00"])
def test_other_formats_are_refused(tmp_path, content):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a whole"):
        load_maps_file(path)


@pytest.mark.parametrize("name", ["t.npy", "t.npz"])
def test_truncated_files_are_refused(tmp_path, name):
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, MAPS)
    else:
        np.savez(path, maps=MAPS, box_size=25.0)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="not a whole"):
        load_maps_file(path)


def test_pickles_are_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    np.save(tmp_path / "p.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "p.npz", allow_pickle=True, maps=np.array([Bomb()], dtype=object))
    for name in ("p.npy", "p.npz"):
        with pytest.raises(InputError, match="pickled"):
            load_maps_file(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("box_size", [0.0, -1.0, np.nan, "25", [25.0, 25.0]])
def test_a_box_size_that_is_no_length(tmp_path, box_size):
    np.savez(tmp_path / "b.npz", maps=MAPS, box_size=box_size)
    with pytest.raises(InputError, match="box_size"):
        load_maps_file(tmp_path / "b.npz")


def test_a_file_without_maps_names_what_it_holds(tmp_path):
    np.savez(tmp_path / "c.npz", fields=MAPS)
    with pytest.raises(InputError, match="holds fields"):
        load_maps_file(tmp_path / "c.npz")
    np.save(tmp_path / "d.npy", np.ones(5))
    with pytest.raises(InputError, match="shape"):
        load_maps_file(tmp_path / "d.npy")
