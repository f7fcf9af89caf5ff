"""Resolution of the paths in a config to the two files of a map set.

Users' configs give maps_path and params_path beside the config, below data_dir, or only a data_dir that holds one
CMD pair. Separate from opening because `focus config check` must not open data.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from focus_engine.config.blocks.data import DataBlock
from focus_engine.errors import InputError

_MAPS_PATTERNS = ("Maps_*.npy", "maps.npy", "*.npy", "*.npz", "*.h5", "*.hdf5")  # CMD, `focus data simulate`, other
_PARAMS_PATTERNS = ("params_*.txt", "params.txt", "*params*.txt", "CosmoAstroSeed_*.txt")


def resolve_map_paths(data: DataBlock, config_dir: Path) -> tuple[tuple[Path, ...], Path]:
    """Return the paths of the maps, one or more, and of the parameters that a data block refers to.

    data_dir is relative to the config's folder. Both paths are looked up in data_dir, then in the config's folder.
    A path left out is the only file of its kind in data_dir (without data_dir: beside the other file). Where
    data.fields names several fields, it is the CMD file of each, if data_dir holds one of each.

    Raises:
        InputError: no file is found, with the paths tried, or a folder holds several candidates.
    """
    places = [config_dir]
    if data.data_dir is not None:
        places.insert(0, config_dir / Path(data.data_dir).expanduser())
    if data.data_dir is None and data.maps_path is None:
        raise InputError("data.maps_path and data.data_dir are both missing; give the maps or their folder")
    maps = tuple(_first(places, given, "data.maps_path") for given in data.map_files)
    params = None if data.params_path is None else _first(places, data.params_path, "data.params_path")
    if not maps:
        maps = _of_fields(places[0], data.fields or (), params) or (
            _only(places[0], _MAPS_PATTERNS, "data.maps_path", params),
        )
    if params is None:
        folder = places[0] if data.data_dir is not None else maps[0].parent
        params = _only(folder, _PARAMS_PATTERNS, "data.params_path", maps[0])
    return maps, params


def _of_fields(folder: Path, fields: Sequence[str], params: Path | None) -> tuple[Path, ...]:
    """Return the CMD file of each of several fields in `folder`; nothing if there is not one of each."""
    found = []
    for field in fields:
        files = [
            path for path in folder.glob(f"Maps_{glob.escape(field)}_*") if params is None or _same_set(path, params)
        ]
        if len(files) != 1:
            return ()
        found.append(files[0])
    return tuple(found) if len(found) > 1 else ()


def files_of_fields(folder: Path) -> tuple[Path, ...]:
    """Return the files Maps_<field>_<rest> in `folder`, if they are several and differ in their field alone."""
    found = sorted(path for path in folder.glob("Maps_*_*.npy") if path.is_file())
    rests = {path.name.split("_", 2)[2] for path in found}
    return tuple(found) if len(found) > 1 and len(rests) == 1 else ()


def _first(places: Sequence[Path], given: str, key: str) -> Path:
    tried = [place / Path(given).expanduser() for place in places]
    for path in tried:
        if path.is_file() or (path.is_dir() and key == "data.maps_path"):  # a folder with one file per map
            return path
    raise InputError(f"{key}: {given!r} is not a file; tried {' and '.join(str(p) for p in dict.fromkeys(tried))}")


def _only(folder: Path, patterns: Sequence[str], key: str, partner: Path | None) -> Path:
    """Return the only match of the first pattern that matches in `folder`, or the only match that fits `partner`."""
    if not folder.is_dir():
        raise InputError(f"data.data_dir: {folder} is not a folder; give the folder that holds maps and parameters")
    for pattern in patterns:
        found = sorted(path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("."))
        fitting = [path for path in found if partner is not None and _same_set(path, partner)]
        if len(found) == 1 or len(fitting) == 1:
            return found[0] if len(found) == 1 else fitting[0]
        if found:
            names = ", ".join(path.name for path in found[:6]) + (", …" if len(found) > 6 else "")
            whole = ", a list of them (one for each field)" if key == "data.maps_path" else ""
            whole += ", or the folder itself if each is one map" if whole else ""
            raise InputError(
                f"{key} is missing and {folder} holds {len(found)} that fit ({names}); name one of them{whole}"
            )
    raise InputError(f"{key} is missing and {folder} holds no {' or '.join(patterns)}; give {key}")


def _same_set(path: Path, partner: Path) -> bool:
    """Return whether two CMD names belong to one set, as params_LH_SIMBA and Maps_Mcdm_SIMBA_LH_z=0.00 do."""
    words, others = (set(p.stem.split("_")) for p in (path, partner))
    fewer, more = sorted((words - {"params"}, others - {"params"}), key=len)
    return bool(fewer) and fewer <= more
