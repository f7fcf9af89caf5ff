"""PQMass against the library pqm 0.6.3, whose results are in references/pqm_counts.json."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from focus_engine.statistics.design import Design
from focus_engine.statistics.pqmass import Regions, Within, cell_counts, chi_square, contrasts, in_cells, voronoi
from focus_engine.statistics.reference import Reference
from focus_engine.statistics.sample import Rows

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


def deviations(seed, points, simulations, *, grouped):
    """Return how far a perfect generator is from the null of its real maps, in its spread, and its p-value.

    Vectors of 10 numbers are normal, with a scatter that grows with the parameter; simulations share a fifth of it.
    """
    maps, cells = 6, 25
    place = np.arange(points).repeat(simulations * maps)
    unit, of_generated = np.arange(place.size) // maps, np.arange(points).repeat(maps)

    def vectors(where, groups):
        common, own = (rng.normal(size=(n, 10)) for n in (groups.max() + 1, where.size))
        return (1 + where / points)[:, None] * (np.sqrt(0.2) * common[groups] + np.sqrt(0.8) * own)

    rng = np.random.default_rng([seed, 3])
    places = Rows.of(of_generated, of_generated if grouped else None)
    design = Design(np.linspace(1, 2, points)[:, None], Rows.of(place, unit), places, seed)
    groups = of_generated if grouped else np.arange(of_generated.size)
    scaled = design.scale(vectors(place, unit), vectors(of_generated, groups), "difference")
    placed = in_cells(replace(scaled, real=scaled.pool), cells, seed)
    regions = Regions(placed.real.astype(int), cells, design)
    design.__dict__["bootstraps"] = ()  # errors are not needed here
    (found,) = design.estimate(regions.score, placed, ["upper"], regions.null())
    return (found.value - found.null) / found.null_spread, found.p_value


@pytest.mark.parametrize(("points", "simulations", "grouped"), [(50, 1, False), (50, 1, True), (20, 3, False)], ids=str)
def test_perfect_generators_scatter_as_their_null_says(points, simulations, grouped, monkeypatch):
    """With simulations drawn with replacement they were 1.3 spreads too high on average, and scattered by 0.4."""
    monkeypatch.setattr("focus_engine.statistics.pqmass.NULL_DRAWS", 80)
    monkeypatch.setattr("focus_engine.statistics.pqmass.TESSELLATIONS", 16)
    trials = 24
    found = np.array([deviations(seed, points, simulations, grouped=grouped) for seed in range(trials)])
    assert abs(found[:, 0].mean()) < 3.3 / np.sqrt(trials)
    assert 0.55 < found[:, 0].std() < 1.5  # 3.3 sigma
    assert (found[:, 1] < 0.01).sum() <= 4


def test_deviations_within_simulations_are_uncorrelated_and_as_large_as_wanted():
    """The weights of a simulation sum to 0; of all maps, weighted, (1 − 1/M) of the variance of independent ones."""
    real = Rows.of(np.array([0] * 7 + [1] * 3), np.array([0] * 4 + [1] * 3 + [2] * 3))
    generated = Rows.of(np.array([0] * 5 + [1] * 5))
    within = Within.of(real, generated)
    rng = np.random.default_rng(1)
    drawn = np.array([within.drawn(rng) for _ in range(4000)])
    for unit in range(3):
        np.testing.assert_allclose(drawn[:, real.unit == unit].sum(axis=1), 0, atol=1e-12)
    covariance = drawn.T @ drawn / len(drawn)
    own = 5 * 0.1**2  # the sum of the squared weights of the generated maps of a point
    expected = np.zeros((10, 10))
    for unit, freedom in ((0, 5), (1, 5), (2, 2)):
        rows = np.flatnonzero(real.unit == unit)
        size = len(rows)
        expected[np.ix_(rows, rows)] = own * (1 - 1 / size) / freedom * (np.eye(size) - 1 / size)
    np.testing.assert_allclose(covariance, expected, atol=6e-4)
    assert not Within.of(real, Rows.of(generated.point, generated.point)).drawn(rng).any()


@pytest.mark.parametrize("fitted", [True, False])
def test_contrasts_are_orthonormal_and_see_what_the_reference_leaves(fitted):
    point = np.array([0, 1, 2, 0, 1, 2, 0, 0])
    features = np.eye(3) if not fitted else np.array([[1.0, 0.3], [1.0, -0.2], [1.0, 2.0]])
    reference = Reference(np.zeros((3, 1)), features.shape[1], known=True, features=features if fitted else None)
    found = contrasts(np.eye(8), reference, point)
    np.testing.assert_allclose(found @ found.T, np.eye(8 - features.shape[1]), atol=1e-12)
    np.testing.assert_allclose(found @ features[point], 0, atol=1e-12)
