"""The folder of a set of simulated universes: its paths, its lock and its finished universes.

One class owns every path. Files are written under a temporary name and renamed, so that a folder is always empty,
resumable or finished. `simulation.json` is written last and marks a finished set.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from focus_engine.config.blocks.data import PARAMETER_NAMES
from focus_engine.config.designs import DEFAULT_DESIGN
from focus_engine.errors import FocusError, InputError
from focus_engine.small_files import read_json
from focus_engine.version import __version__

_UNFINISHED = ".unfinished"
_LEFT_OUT = {"design": DEFAULT_DESIGN}  # records written before there were designs lack it


class UniverseFolder:
    """The folder of one set of universes, which may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.maps_path = path / "maps.npy"
        self.params_path = path / "params.txt"
        self.record_path = path / "simulation.json"
        self._unfinished = path / _UNFINISHED
        self._unfinished_record = self._unfinished / "simulation.json"

    def is_finished(self) -> bool:
        """Return whether maps, parameters and record all exist."""
        return self.record_path.is_file() and self.maps_path.is_file() and self.params_path.is_file()

    def check(self, arguments: Mapping[str, object]) -> None:
        """Check that the folder holds nothing but the set of these arguments, finished or not.

        Raises:
            InputError: the folder holds another set or other files; the message gives the differences.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file: give a folder for the universes")
        for record, state in ((self.record_path, "a finished"), (self._unfinished_record, "a half-made")):
            if record.is_file():
                _compare(arguments, record, f"{self.path} holds {state} set of other universes")
                return
        for path in (self.maps_path, self.params_path, self.record_path):
            if path.exists():
                raise InputError(f"{path} exists and FOCUS did not simulate it: give another folder")

    def begin(self, arguments: Mapping[str, object]) -> None:
        """Create the folder and record the arguments in it, unless they are recorded already."""
        with self._work():
            self._unfinished.mkdir(parents=True, exist_ok=True)
            if not self._unfinished_record.is_file():
                _write(self._unfinished_record, lambda file: file.write(_to_json({"arguments": dict(arguments)})))

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], bool]]:
        """Yield a function that tries to lock the folder for this process; the lock is held until the block ends.

        On a file system without locks every attempt succeeds. That costs only time, because files appear whole and
        two processes write the same bytes.
        """
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

        def try_lock() -> bool:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError:
                return True
            return True

        try:
            yield try_lock
        finally:
            os.close(handle)

    def holds(self, index: int) -> bool:
        """Return whether universe `index` is finished."""
        return self._universe_path(index).is_file()

    def count(self) -> int:
        """Return the number of finished universes in an unfinished set."""
        return sum(1 for _ in self._unfinished.glob("universe_*.npy"))

    def keep(self, index: int, maps: NDArray[np.float32]) -> None:
        """Write the maps of universe `index`.

        Raises:
            FocusError: the file can't be written.
        """
        with self._work():
            _write(self._universe_path(index), lambda file: np.save(file, maps))

    def finish(
        self, arguments: Mapping[str, object], params: NDArray[np.float64], provenance: Mapping[str, object]
    ) -> None:
        """Join all universes in maps.npy, then write params.txt and, last, simulation.json.

        Raises:
            FocusError: a file can't be written.
        """
        record = {"arguments": dict(arguments), "focus_version": __version__, **provenance}
        with self._work():
            self._join(len(params))
            _write(self.params_path, lambda file: file.write(parameter_table(params)))
            _write(self.record_path, lambda file: file.write(_to_json(record)))
            shutil.rmtree(self._unfinished, ignore_errors=True)

    def _join(self, simulations: int) -> None:
        first = np.load(self._universe_path(0), allow_pickle=False)
        temporary = self._unfinished / "maps.npy"
        shape = (simulations * len(first), *first.shape[1:])
        maps = open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        for index in range(simulations):
            universe = np.load(self._universe_path(index), allow_pickle=False)
            maps[index * len(first) : (index + 1) * len(first)] = universe
        maps.flush()
        del maps
        temporary.replace(self.maps_path)

    def _universe_path(self, index: int) -> Path:
        return self._unfinished / f"universe_{index:06d}.npy"

    @contextlib.contextmanager
    def _work(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FocusError(
                f"{self.path}: can't write there ({error.strerror or error}). Finished universes are kept: "
                "solve the problem and run the same command again"
            ) from error


def _compare(arguments: Mapping[str, object], record: Path, what: str) -> None:
    try:
        there = read_json(record)["arguments"]
        pairs = {name: (there.get(name, _LEFT_OUT.get(name)), value) for name, value in arguments.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{record} can't be read as the record of a simulation: give another folder") from error
    differences = [
        f"{name} is {_short(old)} there, {_short(new)} here" for name, (old, new) in pairs.items() if old != new
    ]
    if differences:
        raise InputError(f"{what}: {'; '.join(differences)}. Give the same arguments, or another folder")


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _to_json(record: Mapping[str, object]) -> bytes:
    return (json.dumps(record, indent=2) + "\n").encode()


def parameter_table(params: NDArray[np.float64]) -> bytes:
    """Return the table in the six CAMELS columns; the four feedback columns are 1, as in its N-body sets."""
    rows = "".join(f"{omega_m:.5f} {sigma_8:.5f} 1 1 1 1\n" for omega_m, sigma_8 in params)
    return f"# {' '.join(PARAMETER_NAMES)}\n{rows}".encode()


def _write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a temporary file beside `path`, flush it to disk and rename it to `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
