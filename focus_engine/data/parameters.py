"""Parameter tables: one row per simulation, columns in the order of CAMELS, read by position.

Headers are ignored, because public tables label their columns wrongly. Instead the values are checked against the
ranges of the CAMELS suites (arXiv:2010.00619), so that swapped columns are rejected before training. Separate from
the maps because a table of parameters to sample at is read the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from focus_engine.config.blocks.data import PARAMETER_NAMES
from focus_engine.data.extended_table import EXTENDED_COLUMNS, six_of_extended
from focus_engine.errors import InputError

Table = NDArray[np.float64]

CAMELS_RANGES = ((0.1, 0.5), (0.6, 1.0), (0.25, 4.0), (0.25, 4.0), (0.5, 2.0), (0.5, 2.0))
"""Lowest and highest value of each parameter in the CAMELS suites, in column order."""

_POSSIBLE_COSMOLOGY = ((0.0, 1.0), (0.0, 3.0))  # Ω_m and σ_8 of any simulated universe
_TOLERANCE = 1e-4  # relative: tables are printed with five or six digits
_LARGEST_FILE = 64 * 2**20  # bytes: about 500,000 simulations; a larger file is not a parameter table


@dataclass(frozen=True)
class _Row:
    line: int  # counted from 1
    fields: tuple[str, ...]


def read_parameter_table(path: Path) -> Table:
    """Return the parameters of a text file, (n_simulations, n_columns) with 1 to 6 columns in CAMELS order.

    Columns are separated by blanks or commas. Lines that start with '#' and a first line of words are skipped. A
    leading column of names (LH_0, …) and the trailing integer seed of a CAMELS table are dropped. Of an extended
    table of 28 parameters the first six are returned (`six_of_extended`).

    Raises:
        InputError: the file is missing, not text, ragged, not finite, has the wrong number of columns, an order
            that contradicts the ranges of CAMELS, or varies a parameter beyond the first six.
    """
    rows, table, named = _read_numbers(path)
    table = table[:, :-1] if _seeded(table, named=named) else table
    if table.shape[1] == EXTENDED_COLUMNS:
        names = [row.fields[0] if named else f"in line {row.line}" for row in rows]
        table = six_of_extended(table, names, where=str(path))
    if not 1 <= table.shape[1] <= len(PARAMETER_NAMES):
        raise InputError(
            f"{path}: has {table.shape[1]} parameter columns; allowed are 1 to {len(PARAMETER_NAMES)}, in the "
            f"order {', '.join(PARAMETER_NAMES)}, with or without a name before them and a seed after"
        )
    check_parameter_order(table, where=str(path))
    return table


def read_seeds(path: Path) -> Table | None:
    """Return the seeds (n_simulations,) of the initial fields in a CAMELS table; None if it has none.

    Raises:
        InputError: as `read_parameter_table`, but for the parameters themselves.
    """
    _, table, named = _read_numbers(path)
    return table[:, -1] if _seeded(table, named=named) else None


def select_parameters(
    table: Table, names: Sequence[str] | None, cond_dim: int | None, *, where: str
) -> tuple[Table, tuple[str, ...]]:
    """Return the columns `names`, or the first `cond_dim` (all if both are None), and their names.

    Raises:
        InputError: a name is unknown, repeated or beyond the table, or `names` and `cond_dim` disagree.
    """
    held = PARAMETER_NAMES[: table.shape[1]]
    if names is None:
        count = len(held) if cond_dim is None else cond_dim
        if count > len(held):
            raise InputError(
                f"model.cond_dim is {count} but {where} holds {len(held)} parameters ({', '.join(held)}); "
                f"set model.cond_dim to at most {len(held)}, or name the ones to use in data.params"
            )
        names = held[:count]
    chosen = tuple(names)
    for name in chosen:
        if name not in held:
            raise InputError(f"data.params: {name!r} is not in {where}, which holds {', '.join(held)} (by position)")
    if len(set(chosen)) != len(chosen):
        raise InputError(f"data.params: a name is repeated in {', '.join(chosen)}")
    if cond_dim is not None and len(chosen) != cond_dim:
        raise InputError(
            f"data.params names {len(chosen)} parameters ({', '.join(chosen)}) but model.cond_dim is "
            f"{cond_dim}; make them agree"
        )
    return table[:, [held.index(name) for name in chosen]], chosen


def check_parameter_order(table: Table, *, where: str) -> None:
    """Check that the ranges of the columns agree with the order of CAMELS.

    A table passes if every column lies in its CAMELS range. If not, but another order of the same columns does, it
    is rejected. If no order does, these are not CAMELS universes: Ω_m and σ_8 must then be possible values. The
    astrophysical columns are free if they are constant (N-body) or the cosmology is (EX, with feedback switched off
    or a hundred times stronger).

    Raises:
        InputError: the columns contradict the order; the message names the order that fits, if any.
    """
    fit = _column_fits(table)
    order = tuple(range(table.shape[1]))
    if _fits(fit, order):
        return
    others = [other for other in permutations(order) if _fits(fit, other)]
    if others:
        fitting = min(others, key=lambda other: sum(place != column for place, column in enumerate(other)))
        misplaced = next(place for place in order if not fit[place, place])
        raise InputError(
            f"{where}: the columns contradict the order {', '.join(PARAMETER_NAMES[: len(order)])}. "
            f"{_range_sentence(table, misplaced)}. The order that would fit: columns "
            f"{', '.join(str(column + 1) for column in fitting)} of this file, that is, it holds "
            f"{', '.join(PARAMETER_NAMES[fitting.index(column)] for column in order)}. Write the columns in "
            "CAMELS order"
        )
    _check_foreign(table, where)


def _check_foreign(table: Table, where: str) -> None:
    """Reject a table that fits CAMELS in no order, unless it is a possible set of another origin."""
    for place, (low, high) in enumerate(_POSSIBLE_COSMOLOGY[: table.shape[1]]):
        if not (table[:, place].min() > low and table[:, place].max() <= high):
            raise InputError(
                f"{where}: {_range_sentence(table, place)}; more than {low:g} and at most {high:g} is "
                "possible. Give the parameters themselves, not normalised ones"
            )
    if _constant(table[:, 2:]) or _constant(table[:, :2]):
        return
    for place in range(2, table.shape[1]):
        if not _within(table[:, place], CAMELS_RANGES[place]):
            raise InputError(
                f"{where}: {_range_sentence(table, place)}, and no order of these columns would fit. "
                "Give the parameters themselves, not normalised ones, or only the columns Omega_m and sigma_8"
            )


def _column_fits(table: Table) -> NDArray[np.bool_]:
    """Return (n_columns, 6) bool: whether each column of the table lies in the CAMELS range of each parameter."""
    return np.array([[_within(column, bounds) for bounds in CAMELS_RANGES] for column in table.T])


def _fits(fit: NDArray[np.bool_], order: Sequence[int]) -> bool:
    """Return whether column order[i] lies in the CAMELS range of parameter i for all i.

    The sixth parameter spans 0.25–4 in the ASTRID suite (arXiv:2304.02096); allowed if parameters 3 and 4 do too.
    """
    strays = [place for place, column in enumerate(order) if not fit[column, place]]
    if strays != [5]:
        return not strays
    narrow = 4
    return bool(fit[order[5], 2] and not fit[order[2], narrow] and not fit[order[3], narrow])


def _within(column: NDArray[np.float64], bounds: tuple[float, float]) -> bool:
    low, high = bounds
    return bool(column.min() >= low * (1 - _TOLERANCE) and column.max() <= high * (1 + _TOLERANCE))


def _constant(columns: Table) -> bool:
    return bool(np.all(columns == columns[:1]))


def _range_sentence(table: Table, place: int) -> str:
    low, high = CAMELS_RANGES[place]
    column = table[:, place]
    return (
        f"Column {place + 1} ({PARAMETER_NAMES[place]}) spans {column.min():g} to {column.max():g}, where "
        f"CAMELS has {low:g} to {high:g}"
    )


def _seeded(table: Table, *, named: bool) -> bool:
    """Whether a table ends in seeds: integers after 6 or 28 parameters, or after 2 in a table with names."""
    columns = table.shape[1]
    seeded = columns in {len(PARAMETER_NAMES) + 1, EXTENDED_COLUMNS + 1} or (named and columns == 3)
    return seeded and bool(np.all(table[:, -1] == np.round(table[:, -1])))


def _read_numbers(path: Path) -> tuple[list[_Row], Table, bool]:
    """Return the rows of a table, its numbers (rows, columns), and whether a name leads each row."""
    rows = _read_rows(path)
    width = len(rows[0].fields)
    for row in rows:
        if len(row.fields) != width:
            raise InputError(
                f"{path}, line {row.line}: has {len(row.fields)} columns where line {rows[0].line} has "
                f"{width}; give one row per simulation, all of the same length (is the file whole?)"
            )
    named = not any(_is_number(row.fields[0]) for row in rows)
    table = np.array([[_number(path, row, field) for field in row.fields[named:]] for row in rows], dtype=np.float64)
    return rows, table.reshape(len(rows), width - named), named


def _read_rows(path: Path) -> list[_Row]:
    rows = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        fields = tuple(line.replace(",", " ").split())
        if fields and not fields[0].startswith("#"):
            rows.append(_Row(number, fields))
    if rows and not any(_is_number(field) for field in rows[0].fields):
        rows = rows[1:]  # a header without '#'
    if not rows:
        raise InputError(f"{path}: holds no parameters; give one row of numbers per simulation")
    return rows


def _read_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise InputError(
                f"{path}: is {size / 2**20:.0f} MiB, too large for a parameter table; give a text file with one row "
                "per simulation"
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such parameter file; see data.params_path") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file; give one row of numbers per simulation") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error}); see data.params_path") from error


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _number(path: Path, row: _Row, field: str) -> float:
    if not _is_number(field) or not np.isfinite(float(field)):
        raise InputError(
            f"{path}, line {row.line}: {field!r} is not a finite number; give one row of numbers per simulation"
        )
    return float(field)
