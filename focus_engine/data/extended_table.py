"""Parameter tables of the extended CAMELS sets, with 28 parameters (arXiv:2304.02096), reduced to the usual six.

The first six columns are the usual parameters, but IllustrisTNG gives three of them as settings of its code, such as
WindEnergyIn1e51erg = 3.6 where A_SN1 is 1. The other 22 cannot condition a network of FOCUS; a set in which one of
them varies is refused, because equal parameters would then mean different maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from focus_engine.config.blocks.data import PARAMETER_NAMES
from focus_engine.errors import InputError

EXTENDED_COLUMNS = 28

_CODE_UNITS = np.array([1.0, 1.0, 3.6, 1.0, 7.4, 20.0])
"""Values of the first six columns where Omega_m and sigma_8 are 1 and the feedback is fiducial, in IllustrisTNG."""

_DIGITS = 4  # of A: the table gives 5.233 for 7.4 / √2, so that A is known to 1e-4


def six_of_extended(table: NDArray[np.float64], names: Sequence[str], *, where: str) -> NDArray[np.float64]:
    """Return the six usual parameters (n, 6) of an extended table (n, 28).

    Settings of IllustrisTNG are divided by their fiducial values, which most rows of such a table hold.

    Args:
        table: all 28 parameters in the order of CAMELS.
        names: the name of each row, for messages.
        where: the file, for messages.

    Raises:
        InputError: a parameter beyond the sixth varies; the message names the first such row.
    """
    count = len(PARAMETER_NAMES)
    others = table[:, count:]
    usual = np.median(others, axis=0)
    strange = np.flatnonzero((others != usual).any(axis=1))
    if len(strange):
        row = int(strange[0])
        column = int(np.flatnonzero(others[row] != usual)[0])
        raise InputError(
            f"{where}: simulation {names[row]} varies parameter {column + count + 1} of {EXTENDED_COLUMNS} "
            f"({others[row, column]:g}, elsewhere {usual[column]:g}). FOCUS knows the first {count} "
            f"({', '.join(PARAMETER_NAMES)}); keep only the {len(table) - len(strange)} rows, and their maps, in which "
            "the others are the same (in CAMELS 1P: those of p1 to p6)"
        )
    six = table[:, :count]
    settings = np.median(six[:, 2:], axis=0)
    if np.allclose(settings, _CODE_UNITS[2:]):
        return np.where(_CODE_UNITS == 1, six, (six / _CODE_UNITS).round(_DIGITS))
    return np.asarray(six)
