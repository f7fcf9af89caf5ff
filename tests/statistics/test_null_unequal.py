"""The null where parameter points differ in their simulations, and simulations in their maps."""

import numpy as np
import pytest

from focus_engine.statistics import slab
from focus_engine.statistics.design import Design
from focus_engine.statistics.neighbours import NEIGHBOURS, Neighbours
from focus_engine.statistics.sample import Rows

SEEDS = 24


def deviations(score, points, sizes, each, scatter=0.2, varying=2):
    """Return by how many null spreads perfect generators are from their null, (SEEDS,), and their values.

    Args:
        score: function of a sample.
        points: (U,) the point of each simulation.
        sizes: (U,) number of maps of each simulation.
        each: number of generated maps at each point.
        scatter: standard deviation of the logarithm, half of whose square the maps of a simulation share.
        varying: number of parameters.
    """
    found = []
    unit = np.repeat(np.arange(len(points)), sizes)
    place, drawn = np.asarray(points)[unit], np.repeat(np.arange(max(points) + 1), each)
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, 3])
        params = rng.uniform(0.1, 0.5, size=(max(points) + 1, varying))
        mean = params.prod(axis=1)
        shared = np.sqrt(0.5) * scatter * rng.normal(size=len(points))
        real = mean[place] * np.exp(shared[unit] + np.sqrt(0.5) * scatter * rng.normal(size=len(unit)))
        generated = mean[drawn] * np.exp(scatter * rng.normal(size=len(drawn)))
        design = Design(params, Rows.of(place, unit), Rows.of(drawn), seed)
        design.__dict__["bootstraps"] = ()  # errors are not needed here
        (one,) = design.estimate(score, design.scale(real[:, None], generated[:, None], "ratio"), ("both",))
        found.append((one.value - one.null) / one.null_spread)
    return np.array(found)


def width(sample):
    return np.sqrt(sample.generated.variance / sample.real.variance) - 1


def excess(sample):
    return sample.excess


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("focus_engine.statistics.design.NULL_DRAWS", 120)


@pytest.mark.parametrize("score", [width, excess])
def test_points_with_one_simulation_beside_one_with_many(score):
    """The own means of points with one simulation leave their residuals without any scatter between simulations."""
    found = deviations(score, [0] * 30 + list(range(1, 12)), [5] * 41, 15)
    assert abs(found.mean()) < 0.8
    assert found.std() < 1.5


@pytest.mark.parametrize(
    ("points", "varying"), [(np.repeat(range(40), 3), 2), (np.arange(100), 6)], ids=["own means", "fit of 28 terms"]
)
def test_the_error_of_the_reference_belongs_to_the_null(points, varying):
    """A ratio to a reference that scatters by s is too high by s²: 5 % here, nearly one null spread."""
    found = deviations(excess, points, np.ones(points.size, dtype=int), 1, scatter=0.4, varying=varying)
    assert abs(found.mean()) < 0.6
    assert 0.6 < found.std() < 1.5


def test_simulations_of_unequal_size_are_not_filled_with_copies():
    """Copies of a map have no scatter: the null of the width was twice too high and twice too wide."""
    sizes = np.maximum(np.bincount(np.random.default_rng(0).integers(50, size=96), minlength=50), 1)
    found = deviations(width, range(50), sizes, 2)
    assert abs(found.mean()) < 0.6
    assert 0.6 < found.std() < 1.5


def test_a_point_with_many_simulations_draws_from_its_own():
    points = np.array([0] * (NEIGHBOURS + 2) + [1, 2, 2] + [3] * NEIGHBOURS)
    rows = Rows.of(points, np.arange(points.size))
    near = Neighbours.of(np.arange(4.0)[:, None], rows)
    for point, own in ((0, NEIGHBOURS + 2), (3, NEIGHBOURS)):
        held = near.units[point][near.counted[point]]
        assert len(held) == own
        assert (points[held] == point).all()
    times = np.ones(points.size, dtype=np.intp)
    drawn = near.drawn(np.full(200, 1), times, np.random.default_rng(0))
    assert np.unique(drawn).size == NEIGHBOURS
    assert near.sources == pytest.approx((3 * NEIGHBOURS + NEIGHBOURS + 2) / 4)


@pytest.mark.parametrize(("sims", "each"), [(3, 1), (1, 15)])
def test_the_error_is_the_scatter_of_the_value(sims, each):
    """Also with one generated map per point, whose scatter no resampling within points shows."""
    points = np.repeat(np.arange(40), sims)
    place = np.repeat(np.arange(40), each)
    params = np.random.default_rng(1).uniform(0.1, 0.5, size=(40, 2))
    values, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng([seed, 4])
        design = Design(params, Rows.of(points, np.arange(points.size)), Rows.of(place), seed)
        design.__dict__["nulls"] = ()
        maps = (np.exp(0.2 * rng.normal(size=(one.size, 1))) for one in (points, place))
        (one,) = design.estimate(excess, design.scale(*maps, "ratio"), ("both",))
        values.append(one.value)
        errors.append(one.error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)


def test_one_dense_map_does_not_decide_on_the_scatter_of_slab_means():
    """A variance of means was 7 null spreads off by one map of 200 that is five times too dense."""
    rng = np.random.default_rng(6)
    points = np.repeat(np.arange(40), 5)
    params = rng.uniform(0.1, 0.5, size=(40, 2))
    real, generated = (params.prod(axis=1)[points] * np.exp(0.2 * rng.normal(size=points.size)) for _ in range(2))
    generated[17] *= 5
    design = Design(params, Rows.of(points, points), Rows.of(points))
    found = slab.compare(real, generated, design).scores["scatter"]
    assert abs(found.value - found.null) < 3.5 * found.null_spread
    wide = slab.compare(real, generated**2 / params.prod(axis=1)[points], design).scores["scatter"]
    assert wide.value == pytest.approx(1, rel=0.5)
    assert wide.p_value < 1e-4
