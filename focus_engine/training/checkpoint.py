"""Checkpoints: everything needed to sample from a run or to resume it exactly, in one file.

Files are written under a temporary name, synced and renamed, so that a reader sees either the old or the new file.
They end with the CRC-32 of all their bytes, which every load checks (`focus_engine/seal.py`), and are loaded with
`weights_only=True`: a pickle that would run code is refused, not run.
"""

import hashlib
import os
import pickle
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from focus_engine.atomic import naming, write_atomically
from focus_engine.errors import InputError
from focus_engine.seal import SealedFile, archive_problem, inspect

FORMAT = "focus-checkpoint"
VERSION = 1
MOST_LEVELS = 16
"""Lists and dicts within each other in the description of a model."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The contents of a checkpoint file.

    Attributes:
        config: the whole config as plain data.
        state: the training state (`TrainState.to_dict`).
        normaliser: `Normaliser.to_dict()`.
        scaler: `ParameterScaler.to_dict()`.
        data: fingerprint, training_digests, box_size [Mpc/h], map_shape, param_names, maps_per_simulation, split,
            units, fields and field_units of the channels.
        provenance: versions, host, device, seed, git commit; seconds: the wall time of all workers of the run so far,
            which is not in the state because no two runs agree in it.
    """

    config: dict[str, Any]
    state: dict[str, Any]
    normaliser: dict[str, Any]
    scaler: dict[str, Any]
    data: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def epoch(self) -> int:
        """Number of epochs trained."""
        return int(self.state["epoch"])


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> int:
    """Write `checkpoint` to `path` atomically; return its size [bytes]. Raises OSError."""
    return save_archive(path, {"format": FORMAT, "version": VERSION, **vars(checkpoint)})


def save_archive(path: Path, content: dict[str, Any]) -> int:
    """Write a dictionary of numbers and tensors to `path`, atomically and sealed; return the size [bytes].

    Raises OSError.
    """
    with write_atomically(path) as temporary:
        try:
            with temporary.open("wb") as file:  # a Python file, because torch's own hides the OSError
                sealed = SealedFile(file)
                torch.save(content, sealed)  # type: ignore[arg-type]  # it writes and flushes, which torch needs
                sealed.finish()
        except RuntimeError as error:
            refused = error.__context__
            raise (refused if isinstance(refused, OSError) else error) from None
    return path.stat().st_size


@contextmanager
def keep_previous(last: Path, previous: Path) -> Iterator[None]:
    """Keep the old contents of `last` in `previous` when the block replaces `last`. Raises OSError.

    After the block the two are never one file, so that damage to one leaves the other intact.
    """
    if not last.is_file():
        yield
        return
    with write_atomically(previous) as temporary:
        _link(last, temporary)
        yield


def _link(held: Path, other: Path) -> None:
    other.unlink(missing_ok=True)
    try:
        os.link(held, other)
    except OSError:
        shutil.copyfile(held, other)


def load_checkpoint(path: Path, map_location: torch.device | str = "cpu") -> Checkpoint:
    """Read the checkpoint at `path`.

    Raises:
        InputError: the file is missing, truncated, not a FOCUS checkpoint, or a pickle that would run code.
    """
    content = read_archive(path, map_location)
    held, version = content.get("format"), content.get("version")
    if not isinstance(held, str) or held != FORMAT:
        raise InputError(f"{path}: is a torch file, but not a checkpoint of FOCUS")
    if type(version) is not int or version != VERSION:
        raise InputError(f"{path}: checkpoint version {str(version)[:20]}; this FOCUS reads version {VERSION}")
    names = Checkpoint.__dataclass_fields__
    if missing := [name for name in names if not isinstance(content.get(name), dict)]:
        raise InputError(f"{path}: the checkpoint lacks {', '.join(missing)}")
    if strange := [name for name in names if name != "state" and not _is_plain(content[name])]:
        raise InputError(f"{path}: the checkpoint's {', '.join(strange)} is not plain text and numbers")
    if type(content["state"].get("epoch")) is not int:
        raise InputError(f"{path}: the checkpoint lacks its epoch")
    average = content["state"].get("ema")
    weights = average.get("module") if isinstance(average, dict) else None
    if not isinstance(weights, dict):
        raise InputError(f"{path}: the checkpoint lacks its averaged weights")
    return Checkpoint(**{name: content[name] for name in names})


def _is_plain(value: object, depth: int = 0) -> bool:
    """Return whether `value` is text, a number or nothing, or lists and dicts of such: no tensor, which may be huge."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        return depth < MOST_LEVELS and all(_is_plain(one, depth + 1) for one in value)
    return value is None or isinstance(value, str | int | float)


def read_archive(path: Path, map_location: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the dictionary of numbers and tensors in the torch file at `path`.

    Raises:
        InputError: the file is missing, truncated, no such dictionary, or a pickle that would run code.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        with path.open("rb") as file:  # one open file: what is loaded is what was checked
            _check(path, file)
            content = _load(path, file, map_location)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    return content if isinstance(content, dict) else {}


def _check(path: Path, file: IO[bytes]) -> None:
    """Raise InputError unless every byte of `file` is as it was written, and it is no zip bomb."""
    found = inspect(file)
    if problem := found.problem or archive_problem(file, os.fstat(file.fileno()).st_size):
        raise InputError(f"{path}: {problem}")
    file.seek(0)


def _load(path: Path, file: IO[bytes], map_location: torch.device | str) -> Any:  # noqa: ANN401  (files hold anything)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about other pickles; they are refused below
            return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: holds more than numbers and weights; loading it could run its code, so it is refused"
        ) from None
    except OSError:  # the disk or the system fails, which is no damage
        raise
    except Exception as error:  # noqa: BLE001  (a damaged pickle can raise any exception)
        raise InputError(f"{path}: the checkpoint cannot be read (damaged?): {_first_line(error)}") from None


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file. Raises OSError."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
