"""PQMass against the library pqm 0.6.3, whose results are in references/pqm_counts.json."""

import json
from pathlib import Path

import numpy as np
import pytest

from focus_engine.statistics.pqmass import cell_counts, chi_square, voronoi

REFERENCE = json.loads((Path(__file__).parent / "references" / "pqm_counts.json").read_text(encoding="utf-8"))
CELLS = REFERENCE["cells"]


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: f"shift {case['shift']}")
def test_counts_and_chi_square_are_those_of_pqm(case):
    rng = np.random.default_rng(REFERENCE["seed"])
    real, drawn = rng.normal(size=(2, REFERENCE["samples"], REFERENCE["dimensions"]))
    drawn = drawn + case["shift"]
    place = voronoi(rng.normal(size=(1, CELLS, REFERENCE["dimensions"])))
    counts = [cell_counts(place(one), CELLS) for one in (real, drawn)]
    assert [one[0].tolist() for one in counts] == case["counts"]
    assert chi_square(*counts)[0] == pytest.approx(case["chi_square"])
    ours = []
    for _ in range(50):
        place = voronoi(rng.permuted(real, axis=0)[None, :CELLS])
        ours.append(chi_square(*(cell_counts(place(one), CELLS) for one in (real, drawn)))[0])
    error = np.hypot(np.std(ours) / np.sqrt(50), case["mean_chi_square_error"])
    assert abs(np.mean(ours) - case["mean_chi_square"]) < 5 * error
