"""Reader of the files of `focus judge`: maps of any program, with parameters and simulation ids.

An .npz, HDF5 or Zarr file holds `maps` (N, H, W) or (N, C, H, W), and optionally `params`, `param_names`, `simulation`,
`box_size`, `fields`, `units` and what else `focus sample` writes. A .npy file or a folder with one file per map holds
maps alone, and its parameters are in a file of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.config.blocks.data import PARAMETER_NAMES
from focus_engine.data.channels import ONE_FIELD
from focus_engine.data.containers import Array, Container, is_zarr, open_container, read_rows
from focus_engine.data.digests import Digests
from focus_engine.data.initial_fields import InitialFields, initial_fields
from focus_engine.data.map_files import HDF5_SUFFIXES, open_maps_file
from focus_engine.data.npy import open_npy
from focus_engine.data.parameters import read_parameter_table
from focus_engine.errors import InputError
from focus_engine.statistics.design import distinct_params
from focus_engine.statistics.judged_maps import Index, JudgedMaps, Params, numbered, runs_of
from focus_engine.units import SURFACE_DENSITY

PROVENANCE = ("seed", "sampler", "steps", "eta", "guidance", "checkpoint", "focus_version")
"""Keys of a file of `focus sample` that a report repeats."""


@dataclass(frozen=True)
class JudgedFile:
    """A file of one side and what the user says of it.

    Attributes:
        path: the maps.
        what: `real` or `generated`; the maps of a simulation are one group among real maps, and among generated ones
            only where the file has ids.
        params_path: file of the parameters; None if the maps have none, or hold them.
        maps_per_simulation: consecutive maps of one simulation; None to tell by ids or parameters.
        box_size: side of the box [Mpc/h]; None to take that of the file.
    """

    path: Path
    what: str
    params_path: Path | None = None
    maps_per_simulation: int | None = None
    box_size: float | None = None

    @property
    def params_option(self) -> str:
        """The option that gives its parameters."""
        return "--against-params" if self.what == "real" else "--params"


def read_judged_maps(file: JudgedFile) -> JudgedMaps:
    """Read one side; of the maps only the layout, of everything else all.

    Raises:
        InputError: the file is missing, damaged or of another layout, or its arrays do not fit each other.
    """
    if not file.path.exists():
        raise InputError(f"{file.path}: no such file; give maps as .npz, .npy, HDF5 or Zarr")
    box = _open_box(file)
    maps = _layout(file.path, _maps(file.path, box))
    params, names, positional = _parameters(file, box, len(maps))
    given = _array(box, "simulation")
    simulation, notes = _simulations(file, len(maps), params, given)
    fields = _initial_fields(file, box, len(maps), params)
    side = JudgedMaps(
        what=file.what,
        path=str(file.path),
        maps=maps,
        params=params,
        param_names=names,
        positional=positional,
        simulation=simulation,
        initial_field=None if fields is None else fields.ids,
        box_size=_box_size(file, box),
        fields=_fields(file.path, box, maps.shape[1]),
        units=_units(file.path, box, maps.shape[1]),
        data_fingerprint="".join(_words(box, "data_fingerprint")),
        training_digests=_digests(box),
        provenance={name: _array_plain(box, name) for name in PROVENANCE if box is not None and name in box.names},
        notes=notes,
    )
    return replace(side, notes=(*notes, _shared(side, fields.source))) if fields and side.shares_field else side


def _open_box(file: JudgedFile) -> Container | None:
    """Return the container of a file that holds named arrays; None for one that holds maps alone."""
    if file.path.suffix == ".npz" or file.path.suffix in HDF5_SUFFIXES or is_zarr(file.path):
        return open_container(file.path)
    return None


def _maps(path: Path, box: Container | None) -> Array:
    if box is not None:
        if "maps" not in box.names:
            raise InputError(f"{path}: has no array named maps (it holds {', '.join(box.names) or 'nothing'})")
        return box.large("maps")
    if path.is_dir():
        return read_rows(open_maps_file(path))
    return open_npy(path)


def _layout(path: Path, maps: Array) -> Array:
    """Return maps as (N, C, H, W) without copying."""
    if maps.dtype.kind not in "fiu":
        raise InputError(f"{path}: maps have dtype {maps.dtype}; real numbers (float32 or float64) are needed")
    if maps.ndim not in {3, 4} or 0 in maps.shape:
        raise InputError(f"{path}: maps have shape {maps.shape}; (N, H, W) or (N, C, H, W) is needed, with N ≥ 1")
    stack = maps[:, None] if maps.ndim == 3 else maps
    channels, height, width = stack.shape[1:]
    if channels >= height or min(height, width) < 2:
        raise InputError(
            f"{path}: maps have shape {maps.shape}, which means {channels} channel(s) of {height} × {width}; put "
            "channels second (numpy.moveaxis(maps, -1, 1)); 3-D grids are not maps"
        )
    return stack


def _parameters(file: JudgedFile, box: Container | None, count: int) -> tuple[Params | None, tuple[str, ...], bool]:
    """Return the parameters (count, P), their names, and whether the names follow from the position of the columns."""
    held = _array(box, "params")
    if file.params_path is not None:
        if held is not None:
            raise InputError(f"{file.path}: holds params itself; leave {file.params_option} out")
        table, names, positional = _table(file.params_path)
        where = str(file.params_path)
    elif held is None:
        return None, (), False
    else:
        table, names, positional, where = _numbers(held, f"{file.path}: params"), (), False, f"{file.path}: params"
    names = _words(box, "param_names") or names
    if names and len(names) != table.shape[1]:
        raise InputError(f"{file.path}: param_names has {len(names)} names for {table.shape[1]} columns of params")
    return _one_row_per_map(table, count, file.maps_per_simulation, where), names, positional


def _table(path: Path) -> tuple[Params, tuple[str, ...], bool]:
    """Return the parameters of a .npy of any columns, or of a text table in the order of CAMELS."""
    if path.suffix == ".npy":
        return _numbers(open_npy(path), str(path)), (), False
    table = read_parameter_table(path)
    return table, PARAMETER_NAMES[: table.shape[1]], True


def _numbers(values: NDArray[Any], where: str) -> Params:
    """Return parameters as (rows, P) float64."""
    if values.dtype.kind not in "fiu" or values.ndim not in {1, 2}:
        raise InputError(f"{where} has shape {values.shape} of {values.dtype}; numbers (N, P) are needed")
    table = np.array(values, dtype=np.float64).reshape(len(values), -1)
    if not np.isfinite(table).all():
        row = int(np.argwhere(~np.isfinite(table))[0, 0])
        raise InputError(f"{where} is not finite in row {row}; give the parameters of every map")
    return table


def _one_row_per_map(table: Params, count: int, per_simulation: int | None, where: str) -> Params:
    """Return a row per map from a table of a row per map, or per simulation."""
    rows = len(table)
    if rows == count:
        return table
    if per_simulation is not None and rows * per_simulation == count:
        return np.repeat(table, per_simulation, axis=0)
    advice = "give one row per map"
    if per_simulation is not None:
        advice += f", or one per simulation of {per_simulation} maps"
    elif rows and count % rows == 0:
        advice += f", or say --maps-per-simulation {count // rows}"
    raise InputError(f"{where} has {rows} rows for {count} maps; {advice}")


def _simulations(
    file: JudgedFile, count: int, params: Params | None, given: Array | None
) -> tuple[Index | None, tuple[str, ...]]:
    """Return the simulation (count,) of each map, None for independently drawn maps, and notes for the user."""
    if given is not None:
        if given.shape != (count,):
            raise InputError(f"{file.path}: simulation has shape {given.shape}; one id per map ({count},) is needed")
        ids = numbered(given)
        _check_one_point(file.path, ids, params, "simulation")
        return ids, _disregarded(file, ids)
    if file.what == "generated":
        return None, ()
    if file.maps_per_simulation is not None:
        if count % file.maps_per_simulation:
            raise InputError(
                f"--maps-per-simulation {file.maps_per_simulation}: {file.path} has {count} maps, which is no multiple"
            )
        ids = np.arange(count) // file.maps_per_simulation
        _check_one_point(file.path, ids, params, "--maps-per-simulation")
        return ids, ()
    runs = np.zeros(count, dtype=np.intp) if params is None else runs_of(distinct_params(params)[1])
    if runs[-1] > 0 or count == 1:
        return runs, ()
    untold = (
        f"{file.path}: the simulations of the {count} real maps can't be told (no ids, no change of parameters): they "
        "are treated as one group, and errors are unknown; give --maps-per-simulation, or simulation in the file"
    )
    return runs, (untold,)


def _initial_fields(file: JudgedFile, box: Container | None, count: int, params: Params | None) -> InitialFields | None:
    """Return the initial field of each map; None if each simulation has its own.

    Of generated maps only ids and records tell: a model draws the maps at the points of a 1P set independently.
    """
    given = _array(box, "initial_field")
    if given is not None:
        if given.shape != (count,):
            raise InputError(f"{file.path}: initial_field has shape {given.shape}; one id per map ({count},) is needed")
        return InitialFields(numbered(given), "initial_field in the file")
    table = np.zeros((count, 0)) if params is None or file.what == "generated" else params
    return initial_fields(file.path, file.params_path, table)


def _shared(side: JudgedMaps, source: str) -> str:
    """Return the note on simulations that share their initial field."""
    return (
        f"{side.path}: the simulations share their initial field ({source}), so that its fluctuation is in all of "
        "them: errors and verdict are unknown; compare with an LH or CV set, or give ids initial_field (N,) in the "
        "file if they differ"
    )


def _disregarded(file: JudgedFile, ids: Index) -> tuple[str, ...]:
    """Return a note if the ids of the real maps are not those that --maps-per-simulation would make."""
    number = file.maps_per_simulation
    if file.what == "generated" or number is None:
        return ()
    if len(ids) % number == 0 and len(np.unique(ids)) == len(ids) // number:
        groups = ids.reshape(-1, number)
        if (groups == groups[:, :1]).all():
            return ()
    return (f"{file.path} holds simulation ids, which are used; they are not those of --maps-per-simulation {number}",)


def _check_one_point(path: Path, ids: Index, params: Params | None, what: str) -> None:
    """Raise InputError if the maps of a simulation differ in parameters."""
    if params is None:
        return
    pairs = np.unique(np.stack([ids, distinct_params(params)[1]], axis=1), axis=0)
    simulations, counts = np.unique(pairs[:, 0], return_counts=True)
    if (counts > 1).any():
        bad = int(simulations[np.argmax(counts > 1)])
        rows = np.flatnonzero(ids == bad)
        raise InputError(
            f"{path}: the maps of one simulation must share their parameters, but maps {rows[0]} to {rows[-1]} (one "
            f"simulation by {what}) do not"
        )


def _box_size(file: JudgedFile, box: Container | None) -> float | None:
    held = _array(box, "box_size")
    if held is None:
        return file.box_size
    if held.size != 1 or held.dtype.kind not in "fiu" or not 0 < float(held.reshape(())) < np.inf:
        raise InputError(f"{file.path}: box_size is {held}; one length above 0 in Mpc/h is needed")
    length = float(held.reshape(()))
    if file.box_size is not None and abs(length - file.box_size) > 1e-5 * length:
        raise InputError(f"--box-size {file.box_size:g}: {file.path} has a box of {length:g} Mpc/h")
    return length


def _fields(path: Path, box: Container | None, channels: int) -> tuple[str, ...]:
    """Return the names of the channels; empty if they have none but those that `focus sample` makes up."""
    names = _words(box, "fields")
    if names and len(names) != channels:
        raise InputError(f"{path}: names {len(names)} fields but has {channels} channel(s)")
    return () if names in {(ONE_FIELD,), tuple(f"channel {number}" for number in range(channels))} else names


def _units(path: Path, box: Container | None, channels: int) -> tuple[str, ...]:
    """Return the unit of each channel; that of surface densities where the file states none."""
    units = _words(box, "units") or (SURFACE_DENSITY,)
    if len(units) not in {1, channels}:
        raise InputError(f"{path}: has {len(units)} units for {channels} channel(s); give one for each")
    return units if len(units) == channels else units * channels


def _array(box: Container | None, name: str) -> Array | None:
    return box.small(name) if box is not None and name in box.names else None


def _words(box: Container | None, name: str) -> tuple[str, ...]:
    found = _array(box, name)
    return () if found is None else tuple(str(one) for one in found.reshape(-1).tolist())


def _digests(box: Container | None) -> Digests:
    found = _array(box, "training_digests")
    return np.empty(0, dtype=np.uint64) if found is None else found.reshape(-1).astype(np.uint64)


def _array_plain(box: Container, name: str) -> Sequence[Any] | float | str | None:
    """Return a small array as plain values, for JSON."""
    found: Any = box.small(name).tolist()
    return None if isinstance(found, float) and not np.isfinite(found) else found
