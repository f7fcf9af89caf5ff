"""Reader of maps from any .npy or .npz file, for commands such as `focus power`.

Separate from the data set of a run (focus_engine/data), which has parameters, splits and statistics: here a file
holds only maps and optionally their box size. Nothing is unpickled; a .npy file is memory-mapped.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.map_stack import as_map_stack

Maps = NDArray[np.generic]


def load_maps_file(path: str | Path) -> tuple[Maps, float | None]:
    """Return the maps (N, H, W) of a file and their box size [Mpc/h], None if the file does not hold it.

    A .npy file holds the maps alone; a .npz file holds `maps` and optionally `box_size`, as `focus sample` writes it.

    Raises:
        InputError: the file is missing, unreadable, truncated, pickled or of another layout.
    """
    path = Path(path)
    try:
        maps, box_size = _load(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a .npy or .npz file of maps") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error})") from error
    except (ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}: not a whole .npy or .npz file of plain numbers (truncated, pickled or another format); "
            "write it again with numpy.save or numpy.savez"
        ) from error
    return as_map_stack(maps, what=f"{path}: maps"), box_size


def _load(path: Path) -> tuple[Maps, float | None]:
    if not zipfile.is_zipfile(path):
        return np.lib.format.open_memmap(
            path, mode="r"
        ), None  # refuses pickled objects; np.load would leave the file open
    with np.load(path, allow_pickle=False) as archive:
        if "maps" not in archive:
            held = ", ".join(archive.files) or "nothing"
            raise InputError(f"{path}: has no array named maps (it holds {held})")
        maps = archive["maps"]
        if "box_size" not in archive:
            return maps, None
        box_size = archive["box_size"]
    if box_size.size != 1 or box_size.dtype.kind not in "fiu":
        raise InputError(f"{path}: box_size has shape {box_size.shape}; one length in Mpc/h is needed")
    length = float(box_size.reshape(()))
    if not (np.isfinite(length) and length > 0):
        raise InputError(f"{path}: box_size is {length}; a positive length in Mpc/h is needed")
    return maps, length
