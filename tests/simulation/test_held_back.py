import json
from pathlib import Path

import numpy as np
import pytest

from focus_engine.config.blocks.data import DataBlock
from focus_engine.errors import InputError
from focus_engine.progress import drain
from focus_engine.simulation.cache import cached_universes_folder, layout_of
from focus_engine.simulation.designs import DEFAULT_RANGES, design_set
from focus_engine.simulation.held_back import (
    HELD_BACK_SEED,
    held_back_cosmologies,
    plan_held_back,
    simulate_held_back,
)
from focus_engine.simulation.universes import SimulationProgress, plan_universes

DATA = DataBlock(simulations=3, grid=8, map_size=8, maps_per_simulation=3)
LOW, HIGH = np.array(list(DEFAULT_RANGES.values())).T
POINTS = np.array([[0.3, 0.8], [0.2, 0.9]])


def known(simulations: int = 100, seed: int = 0) -> np.ndarray:
    return design_set("LH", simulations, seed).params


def test_cosmologies_lie_in_the_range_and_away_from_known_ones():
    trained = known(20)
    low, high = trained.min(axis=0), trained.max(axis=0)
    points = held_back_cosmologies(16, low, high, trained)
    assert points.shape == (16, 2)
    assert ((points >= low) & (points <= high)).all()
    apart = np.abs(points[:, None] - trained[None]) / (HIGH - LOW)
    assert apart.max(axis=2).min() > 1e-3
    # Of these very points none is taken again, and the others move up.
    assert held_back_cosmologies(8, low, high, points[:8]).tolist() == points[8:].tolist()


def test_cosmologies_are_the_same_for_every_training_set_and_spread_evenly():
    first = held_back_cosmologies(8, LOW, HIGH, known(seed=1))
    assert held_back_cosmologies(8, LOW + 1e-4, HIGH - 1e-4, known(seed=2)).tolist() == first.tolist()
    assert held_back_cosmologies(3, LOW, HIGH, known()).tolist() == first[:3].tolist()
    for column in range(2):  # a Sobol sequence: one of the first eight points in each eighth of a range
        assert sorted(((first[:, column] - LOW[column]) / (HIGH - LOW)[column] * 8).astype(int)) == list(range(8))


def test_too_many_cosmologies_for_the_range_are_refused():
    with pytest.raises(InputError, match="holds 0 held-back cosmologies; give fewer"):
        held_back_cosmologies(1, [0.3, 0.8], [0.3, 0.8], [[0.3, 0.8]])
    with pytest.raises(InputError, match="cosmologies = 0"):
        held_back_cosmologies(0, LOW, HIGH, known())
    with pytest.raises(InputError, match="universes = 0"):
        plan_held_back(DATA, POINTS, 0)


@pytest.mark.parametrize("seed", [0, 7, HELD_BACK_SEED])
def test_initial_fields_are_not_those_of_the_training_set_and_do_not_depend_on_it(seed: int):
    data = DATA.model_copy(update={"simulation_seed": seed, "simulations": 200})
    own = plan_universes(data.simulations, layout_of(data), seed, None, None, "cpu")
    held_back = plan_held_back(data, POINTS, 100)
    seeds = [{one.seed_of(index) for index in range(len(one.params))} for one in (own, held_back)]
    assert [len(one) for one in seeds] == [200, 200]
    assert not seeds[0] & seeds[1]
    if seed != HELD_BACK_SEED:
        assert held_back.arguments == plan_held_back(DATA, POINTS, 100).arguments


def test_universes_are_made_once_and_an_interrupted_set_continues(tmp_path: Path):
    work = simulate_held_back(DATA, POINTS, 3, tmp_path)
    assert next(work).total == 6
    assert next(work).done == 1
    work.close()
    steps: list[SimulationProgress] = []
    made = drain(simulate_held_back(DATA, POINTS, 3, tmp_path), steps.append)
    assert steps[0].done == 1
    assert [path.name[:15] for path in (tmp_path / "universes").iterdir()] == ["held_back_2x3x3"]
    maps = np.load(made.maps_path)
    assert maps.shape == (18, 8, 8)
    np.testing.assert_allclose(np.loadtxt(made.params_path)[:, :2], np.repeat(POINTS, 3, axis=0))
    record = json.loads((made.maps_path.parent / "simulation.json").read_text())
    assert record["arguments"]["seed"] == HELD_BACK_SEED
    assert list(simulate_held_back(DATA, POINTS, 3, tmp_path)) == []
    # Every universe is another realisation, and its mean tells its Omega_m.
    means = maps.reshape(6, -1).astype(np.float64).mean(axis=1)
    np.testing.assert_allclose(means, np.repeat(POINTS[:, 0], 3) * 2.775e11 * 25.0, rtol=1e-5)
    assert len({one.tobytes() for one in maps}) == 18


def test_sizes_numbers_and_cosmologies_have_folders_of_their_own(tmp_path: Path):
    def place(data: DataBlock, points: np.ndarray, universes: int) -> str:
        work = simulate_held_back(data, points, universes, tmp_path)
        next(work)
        work.close()
        return str(sorted(tmp_path.rglob("*.unfinished"))[-1])

    place(DATA, POINTS, 1)
    place(DATA, POINTS, 2)
    place(DATA, POINTS[:1], 1)
    place(DATA.model_copy(update={"grid": 16}), POINTS, 1)
    place(DATA.model_copy(update={"simulations": 50, "simulation_seed": 4}), POINTS, 1)  # of training only
    assert len(list((tmp_path / "universes").iterdir())) == 4
    assert not cached_universes_folder(DATA, tmp_path).path.exists()
