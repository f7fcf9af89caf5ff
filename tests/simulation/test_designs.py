import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from focus_engine.config.designs import DESIGNS, FIDUCIAL
from focus_engine.data.parameters import read_parameter_table
from focus_engine.data.summary import guess_layout
from focus_engine.errors import InputError
from focus_engine.progress import drain
from focus_engine.simulation.designs import _POINTS, DEFAULT_RANGES, design_set
from focus_engine.simulation.simulate import UniverseLayout
from focus_engine.simulation.universes import plan_universes, simulate_universes

CENTRE = list(FIDUCIAL.values())
TINY = UniverseLayout(4, 4, 25.0, 3)


def points(design: str, simulations: int, **given: tuple[float, float]) -> np.ndarray:
    return design_set(design, simulations, 3, given).params


def test_every_design_has_a_function_and_a_default_size_that_fits():
    assert _POINTS.keys() == DESIGNS.keys()
    for spec in DESIGNS.values():
        made = design_set(spec.name, spec.simulations, 0)
        assert made.params.shape == (spec.simulations, 2)
        assert made.fields.shape == (spec.simulations,)


def test_the_sequence_of_lh_is_that_of_sets_made_before_there_were_designs():
    """Numbers of a set of an earlier FOCUS: params.txt of seed 3, default ranges."""
    assert points("LH", 4).tolist() == [[0.12739, 0.68981], [0.34859, 0.88923], [0.48448, 0.79723], [0.28837, 0.99744]]


def test_cv_has_one_point_and_many_fields():
    made = design_set("CV", 5, 3)
    assert (made.params == CENTRE).all()
    assert len(set(made.fields.tolist())) == 5
    assert (points("CV", 2, Omega_m=(0.2, 0.2)) == [0.2, 0.8]).all()


def test_1p_has_the_steps_of_camels(camels_1p: np.ndarray):
    """9 universes are the ten rows of Omega_m and sigma_8 of the real table, its fiducial universe once."""
    table = points("1P", 9)
    assert table[0].tolist() == CENTRE
    assert {tuple(row) for row in table} == {tuple(row) for row in camels_1p[:10, :2]}


@pytest.mark.parametrize("simulations", [3, 5, 7, 11, 27])
def test_1p_varies_one_parameter_at_a_time_on_both_sides(simulations: int):
    table = points("1P", simulations)
    moved = table != CENTRE
    assert (moved.sum(axis=1) <= 1).all()
    assert len({tuple(row) for row in table.tolist()}) == simulations
    for column, (low, high) in enumerate(DEFAULT_RANGES.values()):
        values = table[moved[:, column], column]
        below, above = values[values < CENTRE[column]], values[values > CENTRE[column]]
        assert len(above) - len(below) in {0, 1}
        assert values.max() == high
        assert len(below) == 0 or values.min() == low
        assert (np.diff(values) > 0).all()
        for side in (np.append(below, CENTRE[column]), np.append(CENTRE[column], above)):
            even = np.linspace(side[0], side[-1], len(side))
            np.testing.assert_allclose(side, even, atol=5.1e-6)  # rounded to 5 decimals


def test_1p_of_one_parameter_holds_the_other():
    table = points("1P", 4, sigma_8=(0.7, 0.7), Omega_m=(0.2, 0.6))
    assert (table[:, 1] == 0.7).all()
    assert table[:, 0].tolist() == [0.3, 0.2, 0.45, 0.6]


def test_universes_of_1p_share_their_initial_field_and_no_others_do():
    seeds = {}
    for design in ("LH", "CV", "1P", "EX"):
        wanted = plan_universes(12 if design != "1P" else 13, TINY, 3, None, None, "cpu", design)
        seeds[design] = [wanted.seed_of(index) for index in range(len(wanted.params))]
    assert len(set(seeds.pop("1P"))) == 1
    assert all(len(set(one)) == 12 for one in seeds.values())


def test_ex_has_each_corner_equally_often():
    table = points("EX", 8, Omega_m=(0.2, 0.4))
    corners = list(itertools.product((0.2, 0.4), (0.6, 1.0)))
    assert sorted(map(tuple, table.tolist())) == sorted(corners * 2)
    assert points("EX", 2, Omega_m=(0.2, 0.2)).tolist() == [[0.2, 0.6], [0.2, 1.0]]


@pytest.mark.parametrize(
    ("design", "simulations", "given", "says"),
    [
        ("CV", 3, {"sigma_8": (0.7, 0.9)}, "one value of each parameter, not sigma_8 from 0.7 to 0.9"),
        ("1P", 8, {}, "such as 7 or 9"),
        ("1P", 1, {}, "such as 3 or 5"),
        ("1P", 5, {"Omega_m": (0.31, 0.5)}, "fiducial value 0.3, which is not within 0.31 to 0.5"),
        ("1P", 5, {"Omega_m": (0.2, 0.2), "sigma_8": (0.8, 0.8)}, "give a range, or design CV"),
        ("EX", 6, {}, "multiple of 4, such as 4 or 8"),
        ("EX", 1, {}, "such as 4 or 8"),
        ("EX", 1, {"Omega_m": (0.2, 0.2), "sigma_8": (0.8, 0.8)}, "one value only"),
        ("SB28", 1, {}, "unknown design; allowed: LH .*, CV .*, 1P .*, EX"),
        ("EX", 4, {"h": (0.6, 0.7)}, "'h' can't vary"),
    ],
)
def test_ranges_and_numbers_that_do_not_fit_are_refused(
    design: str, simulations: int, given: dict[str, tuple[float, float]], says: str
):
    with pytest.raises(InputError, match=says):
        design_set(design, simulations, 0, given)


@pytest.mark.parametrize(("design", "simulations"), [("CV", 2), ("1P", 5), ("EX", 4)])
def test_a_set_is_made_recorded_recognised_and_found_again(tmp_path: Path, design: str, simulations: int):
    def make(design: str):
        return simulate_universes(tmp_path, simulations=simulations, layout=TINY, design=design)

    drain(make(design))
    assert json.loads((tmp_path / "simulation.json").read_text())["arguments"]["design"] == design
    assert guess_layout(read_parameter_table(tmp_path / "params.txt")).split()[0] == design
    assert list(make(design)) == []
    with pytest.raises(InputError, match=f'design is "{design}" there, "LH" here'):
        next(make("LH"))


@pytest.mark.parametrize("finished", [True, False])
def test_a_set_recorded_before_there_were_designs_is_lh(tmp_path: Path, finished: bool):
    def make(design: str = "LH"):
        return simulate_universes(tmp_path, simulations=2, layout=TINY, design=design)

    work = make()
    next(work)
    if finished:
        drain(work)
    work.close()
    record = next(tmp_path.rglob("simulation.json"))
    document = json.loads(record.read_text())
    del document["arguments"]["design"]
    record.write_text(json.dumps(document))
    with pytest.raises(InputError, match='design is "LH" there, "CV" here'):
        next(make("CV"))
    before = (tmp_path / "maps.npy").read_bytes() if finished else b""
    drain(make())
    assert not finished or (tmp_path / "maps.npy").read_bytes() == before
    assert (tmp_path / "maps.npy").is_file()


@pytest.fixture
def camels_1p() -> np.ndarray:
    """Return the parameters of the real 1P table of IllustrisTNG, (140, 28)."""
    path = Path(__file__).parent.parent / "data" / "camels" / "CosmoAstroSeed_IllustrisTNG_L25n256_1P.txt"
    return np.loadtxt(path, usecols=range(1, 29))
