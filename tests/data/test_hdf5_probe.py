"""HDF5 files at which the library loops for ever or crashes are refused; others are read as ever."""

import os
import signal
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from focus_engine.data import hdf5_probe
from focus_engine.data.containers import open_container
from focus_engine.data.hdf5_probe import probe_hdf5
from focus_engine.errors import InputError


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    path = tmp_path / "maps.h5"
    with h5py.File(path, "w") as file:
        file["maps"] = np.ones((4, 8, 8), "f4")
        file["names"] = ["a", "b"]
        file.attrs["param_names"] = ["a", "b"]
    return path


def loop(path: Path) -> None:
    """Set the size of the first text in the heap to 0, at which the library looks for the next one for ever."""
    content = bytearray(path.read_bytes())
    heap = content.find(b"GCOL")
    content[heap + 24 : heap + 32] = struct.pack("<Q", 0)
    path.write_bytes(content)


def test_a_whole_file_is_read(maps: Path):
    assert set(open_container(maps).names) == {"maps", "names", "param_names"}


def test_a_file_whose_texts_have_no_end_is_refused(maps: Path, monkeypatch: pytest.MonkeyPatch):
    loop(maps)
    monkeypatch.setattr(hdf5_probe, "CPU_SECONDS", 0.2)
    with pytest.raises(InputError, match="reading its attributes takes for ever"):
        open_container(maps)


def test_a_file_that_crashes_the_library_is_refused(maps: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hdf5_probe, "_small_text", lambda _: os.kill(os.getpid(), signal.SIGSEGV))
    with pytest.raises(InputError, match="crashes the HDF5 library"):
        open_container(maps)


def test_other_damage_is_left_to_who_reads(maps: Path):
    maps.write_bytes(b"no HDF5")
    probe_hdf5(maps)
    with pytest.raises(InputError, match="not a whole file"):
        open_container(maps)


def test_without_a_process_it_is_read_nevertheless(maps: Path, monkeypatch: pytest.MonkeyPatch):
    def full() -> int:
        raise BlockingIOError

    monkeypatch.setattr(hdf5_probe.os, "fork", full)
    assert "maps" in open_container(maps).names
