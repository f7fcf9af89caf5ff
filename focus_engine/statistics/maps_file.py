"""Reader of maps from any .npy or .npz file, for commands such as `focus power`.

Separate from the data set of a run (focus_engine/data), which has parameters, splits and statistics: here a file
holds only maps and optionally their box size. Nothing is unpickled; a .npy file is memory-mapped.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.map_stack import as_channels

Maps = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class MapsFile:
    """The content of a file of maps.

    Attributes:
        maps: the maps (N, C, H, W).
        box_size: side along the last axis [Mpc/h]; None if the file does not hold it.
        fields: names of the channels; empty if the file does not hold them.
    """

    maps: Maps
    box_size: float | None = None
    fields: tuple[str, ...] = ()


def load_maps_file(path: str | Path) -> MapsFile:
    """Return the maps of a file.

    A .npy file holds the maps alone; a .npz file holds `maps` and optionally `box_size` and `fields`, as `focus sample`
    writes it.

    Raises:
        InputError: the file is missing, unreadable, truncated, pickled or of another layout.
    """
    path = Path(path)
    try:
        held = _load(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a .npy or .npz file of maps") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error})") from error
    except (ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}: not a whole .npy or .npz file of plain numbers (truncated, pickled or another format); "
            "write it again with numpy.save or numpy.savez"
        ) from error
    return replace(held, maps=as_channels(held.maps, what=f"{path}: maps"))


def _load(path: Path) -> MapsFile:
    if not zipfile.is_zipfile(path):
        # refuses pickled objects; np.load would leave the file open
        return MapsFile(np.lib.format.open_memmap(path, mode="r"))
    with np.load(path, allow_pickle=False) as archive:
        if "maps" not in archive:
            held = ", ".join(archive.files) or "nothing"
            raise InputError(f"{path}: has no array named maps (it holds {held})")
        maps = archive["maps"]
        named = "fields" in archive and maps.ndim == 4 and archive["fields"].shape == maps.shape[1:2]
        fields = tuple(str(name) for name in archive["fields"]) if named else ()
        if "box_size" not in archive:
            return MapsFile(maps, None, fields)
        box_size = archive["box_size"]
    if box_size.size != 1 or box_size.dtype.kind not in "fiu":
        raise InputError(f"{path}: box_size has shape {box_size.shape}; one length in Mpc/h is needed")
    length = float(box_size.reshape(()))
    if not (np.isfinite(length) and length > 0):
        raise InputError(f"{path}: box_size is {length}; a positive length in Mpc/h is needed")
    return MapsFile(maps, length, fields)
