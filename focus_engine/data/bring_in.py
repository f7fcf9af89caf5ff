"""Import of a user's maps into the data folder: `focus data import`.

Every pixel is checked before anything is written, and the new folder is created atomically. Separate from
opening, which must stay fast and writes nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from focus_engine.data.channels import FieldFiles, channels_of
from focus_engine.data.maps import PHYSICAL, MapSet, StoredValues, check_values, open_map_set
from focus_engine.errors import FocusError, InputError

_BLOCK = 8 * 2**20  # bytes copied between two progress reports


@dataclass(frozen=True)
class ImportProgress:
    """Progress of an import."""

    stage: str  # "check" counts maps, "copy" counts bytes
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class ImportedMaps:
    """The imported set and its folder."""

    folder: Path
    map_set: MapSet  # opened from `folder`


def import_maps(
    maps_path: str | Path | Sequence[str | Path],
    params_path: str | Path,
    name: str,
    data_root: str | Path,
    *,
    box_size: float = 25.0,
    maps_per_simulation: int = 15,
    link: bool = False,
    maps_key: str | None = None,
    fields: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    stored: StoredValues = PHYSICAL,
) -> Generator[ImportProgress, None, ImportedMaps]:
    """Check maps and parameters and copy them to data_root/name, yielding progress; return the imported set.

    `maps_path` may list a file for each of several fields, which stay files of their own. `fields` and `units` name
    the channels (`describe_fields` says how by default).
    `link` makes a hard link to the maps if the file system supports it. That uses no space, but overwriting the
    original in place then changes the imported maps too. Every other input is converted to a physical .npy: an
    .npz, an HDF5 file (`maps_key` names the array), a folder of maps, or normalised maps (`stored` describes the
    transformation). Existing files are never overwritten. An interrupted import (generator closed, Ctrl-C, disk
    full) leaves no files.

    Raises:
        InputError: the name is not a plain folder name or exists already, or the data are invalid.
        FocusError: the files can't be written.
    """
    folder = Path(data_root) / check_set_name(name)
    if folder.exists() or folder.is_symlink():
        raise InputError(f"{folder}: exists already and is never overwritten; choose another name or remove it")
    opened = partial(open_map_set, box_size=box_size, maps_per_simulation=maps_per_simulation)
    source = opened(maps_path, params_path, maps_key=maps_key, fields=fields, units=units, stored=stored)
    for done in check_values(source):
        yield ImportProgress("check", done, source.n_maps)
    parts = _parts(source)
    names = _file_names(parts, name)
    params_name = source.params_path.name
    if not (params_name.startswith("params_") and params_name.endswith(".txt")):
        params_name = f"params_{name}.txt"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=folder.parent, ignore_cleanup_errors=True) as made:
            half = Path(made) / "set"
            half.mkdir()
            for part, maps_name in zip(parts, names, strict=True):
                if _is_plain(part):
                    yield from _place(part.maps_path.resolve(), half / maps_name, link=link)
                else:
                    yield from _write(part, half / maps_name)
            shutil.copyfile(source.params_path, half / params_name)
            _sync(*(half / file for file in (*names, params_name)), half)
            half.rename(folder)
            _sync(folder.parent)
    except OSError as error:
        raise FocusError(
            f"{folder}: the maps can't be written ({error.strerror or error}); no files were left"
        ) from error
    maps = opened([folder / file for file in names], folder / params_name, fields=source.field_names, units=units)
    return ImportedMaps(folder, maps)


def _parts(source: MapSet) -> list[MapSet]:
    """Return the maps of each file of a set."""
    if not isinstance(source.maps, FieldFiles):
        return [source]
    parts, first = [], 0
    for file in source.maps.files:
        last = first + channels_of(file)
        parts.append(replace(source, maps=file, fields=source.fields[first:last]))
        first = last
    return parts


def _is_plain(part: MapSet) -> bool:
    """Return whether the file of a part is a .npy of physical maps, which needs no conversion."""
    return isinstance(part.maps, np.memmap) and part.stored == PHYSICAL


def _file_names(parts: Sequence[MapSet], name: str) -> list[str]:
    """Return the names of the imported files of the set `name`: their own where they are of CMD, else by the field."""
    kept = [part.maps_path.name for part in parts if _is_plain(part) and part.maps_path.name.startswith("Maps_")]
    if len(set(kept)) == len(parts):
        return kept
    if len(parts) == 1:
        return [f"Maps_{name}.npy"]
    fields = [re.sub(r"[^\w.=-]+|_", "-", part.field_names[0]) for part in parts]
    if len(set(fields)) < len(fields):
        fields = [f"{number}-{field}" for number, field in enumerate(fields)]
    return [f"Maps_{field}_{name}.npy" for field in fields]


def _write(source: MapSet, target: Path) -> Iterator[ImportProgress]:
    """Write physical maps as one float32 .npy, yielding the bytes done."""
    channels = source.shape if source.maps.ndim == 4 else source.shape[1:]
    written = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=(source.n_maps, *channels))
    done = 0
    for ids, maps in source.chunks(np.arange(source.n_maps)):
        written[ids[0] : ids[-1] + 1] = maps.reshape(len(ids), *channels)
        done += maps.nbytes
        yield ImportProgress("copy", done, written.nbytes)
    written.flush()


def check_set_name(name: str) -> str:
    """Return `name` if it is a plain folder name.

    Raises:
        InputError: the name is empty, hidden, a path, starts with a dash or has control characters.
    """
    if (
        not name.strip()
        or name != name.strip()
        or name[0] in ".-"
        or "/" in name
        or "\\" in name
        or not name.isprintable()
    ):
        raise InputError(
            f"{name!r} can't name a set of maps; give a plain folder name: no '/', no control characters, no leading "
            "or trailing blank, no leading dot or dash"
        )
    if len(os.fsencode(name)) > 200:
        raise InputError(f"the name {name[:20]!r}… is too long; at most 200 bytes are allowed")
    return name


def _place(source: Path, target: Path, *, link: bool) -> Iterator[ImportProgress]:
    """Link or copy a file, yielding the bytes done."""
    total = source.stat().st_size
    if link:
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without hard links: copy instead
            pass
        else:
            yield ImportProgress("copy", total, total)
            return
    done = 0
    with source.open("rb") as reader, target.open("xb") as writer:
        while block := reader.read(_BLOCK):
            writer.write(block)
            done += len(block)
            yield ImportProgress("copy", done, total)


def _sync(*paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
