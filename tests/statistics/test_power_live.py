"""P(k) against the installed Pylians, run by `make test-references`, which builds it. Fails without Pylians."""

import numpy as np
import pytest
from power_reference import law_map, pylians_power, read_reference

from focus_engine.statistics.power import power_spectrum

pytestmark = pytest.mark.references
BOX = 25.0


@pytest.mark.parametrize("row", read_reference()["maps"], ids=lambda row: f"{row['side']}-{row['seed']}")
def test_the_reference_file_is_what_the_library_says(row):
    theirs = pylians_power(law_map(row["side"], row["seed"]), read_reference()["box_size"])
    for name in ("k", "power", "modes"):
        np.testing.assert_allclose(row[name], theirs[name], rtol=1e-6)


@pytest.mark.parametrize("side", [8, 32, 33, 64])
def test_agrees_with_pylians(side):
    maps = np.exp(np.random.default_rng(20).normal(size=(2, side, side)))
    ours = power_spectrum(maps, BOX)
    for one, power in zip(maps, ours.power, strict=True):
        theirs = pylians_power(one, BOX)
        np.testing.assert_allclose(ours.k, theirs["k"], rtol=1e-6)
        np.testing.assert_allclose(power, theirs["power"], rtol=1e-5)
        np.testing.assert_array_equal(ours.modes, theirs["modes"])
