import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from focus_engine.config.blocks.data import DataBlock
from focus_engine.data.parameters import read_parameter_table
from focus_engine.errors import FocusError, InputError
from focus_engine.progress import drain
from focus_engine.simulation.cache import cached_universes_folder, simulate_cached_universes
from focus_engine.simulation.simulate import UniverseLayout
from focus_engine.simulation.universes import SimulationProgress, simulate_universes
from focus_engine.units import SURFACE_DENSITY

pytestmark = pytest.mark.xdist_group("made universes")  # its tests share a fixture that takes seconds

Made = tuple[Path, list[SimulationProgress]]
TINY = UniverseLayout(grid=8, map_size=8, box_size=25.0, maps_per_simulation=6)


def make(folder: Path, **changes: object):
    arguments: dict[str, Any] = {"simulations": 6, "layout": TINY, "seed": 3, **changes}
    return simulate_universes(folder, **arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("made") / "set"
    progress: list[SimulationProgress] = []
    drain(make(folder), progress.append)
    return folder, progress


def contents(folder: Path):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_set_is_in_camels_layout(made: Made):
    folder, _ = made
    assert sorted(contents(folder)) == ["maps.npy", "params.txt", "simulation.json"]
    maps = np.load(folder / "maps.npy", mmap_mode="r")
    assert (maps.shape, maps.dtype) == ((36, 8, 8), np.float32)
    table = read_parameter_table(folder / "params.txt")
    assert table.shape == (6, 6)
    assert (table[:, 2:] == 1).all()
    assert (folder / "params.txt").read_text().splitlines()[0] == "# Omega_m sigma_8 A_SN1 A_AGN1 A_SN2 A_AGN2"
    # The maps of universe i have Omega_m of row i: their mean is Omega_m ρ_c × the depth of a slab.
    means = np.asarray(maps, dtype=np.float64).reshape(6, -1).mean(axis=1)
    np.testing.assert_allclose(means, table[:, 0] * 2.775e11 * 12.5, rtol=1e-5)


def test_the_record_tells_how_the_set_was_made(made: Made):
    record = json.loads((made[0] / "simulation.json").read_text())
    assert record["arguments"]["design"] == "LH"
    assert record["arguments"]["seed"] == 3
    assert record["arguments"]["params"] == {"Omega_m": [0.1, 0.5], "sigma_8": [0.6, 1.0]}
    assert record["units"].replace("Msun", "M☉").replace("^2", "²") == SURFACE_DENSITY
    assert record["focus_version"]


def test_progress_counts_up(made: Made):
    progress = made[1]
    assert [step.done for step in progress] == list(range(7))
    assert not any(step.waiting for step in progress)


def test_an_interrupted_set_continues_to_the_same_bytes(made: Made, tmp_path: Path):
    interrupted = make(tmp_path)
    assert next(interrupted).done == 0
    assert next(interrupted).done == 1
    interrupted.close()  # as Ctrl-C does to a generator
    assert not (tmp_path / "maps.npy").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / ".unfinished").glob("universe_*")}
    assert len(kept) == 1
    resumed = make(tmp_path)
    assert next(resumed).done == 1
    for name, time in kept.items():
        assert (tmp_path / ".unfinished" / name).stat().st_mtime_ns == time
    drain(resumed)
    assert contents(tmp_path) == contents(made[0])


def test_a_finished_set_is_returned_as_it_is(made: Made):
    before = {path: path.stat().st_mtime_ns for path in made[0].iterdir()}
    progress: list[SimulationProgress] = []
    assert drain(make(made[0]), progress.append).simulations == 6
    assert progress == []
    assert {path: path.stat().st_mtime_ns for path in made[0].iterdir()} == before


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 4}, "seed is 3 there, 4 here"),
        ({"simulations": 7}, "simulations is 6 there, 7 here"),
        ({"layout": UniverseLayout(8, 16, 25.0, 6)}, "map_size is 8 there, 16 here"),
        ({"params_range": {"Omega_m": (0.2, 0.3)}}, "params is"),
    ],
)
def test_other_arguments_are_refused_naming_what_differs(
    made: Made, tmp_path: Path, finished: bool, changes: dict[str, Any], named: str
):
    folder = made[0] if finished else tmp_path
    if not finished:
        half = make(folder)
        next(half)
        half.close()
    before = contents(made[0])
    with pytest.raises(InputError, match=named):
        next(make(folder, **changes))
    assert contents(made[0]) == before


def test_files_of_others_are_never_overwritten(tmp_path: Path):
    (tmp_path / "maps.npy").write_bytes(b"mine")
    with pytest.raises(InputError, match="did not simulate it"):
        next(make(tmp_path))
    assert contents(tmp_path) == {"maps.npy": b"mine"}


def test_a_file_is_no_folder(tmp_path: Path):
    (tmp_path / "set").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        next(make(tmp_path / "set"))


def test_a_disk_that_refuses_is_reported_and_can_be_resumed(tmp_path: Path):
    (tmp_path / "set").mkdir()
    running = make(tmp_path / "set")
    next(running)
    (tmp_path / "set" / ".unfinished").rename(tmp_path / "away")
    with pytest.raises(FocusError, match="run the same command again"):
        list(running)
    (tmp_path / "away").rename(tmp_path / "set" / ".unfinished")
    assert drain(make(tmp_path / "set")).maps_path.is_file()


def test_two_at_a_time_one_waits(made: Made, tmp_path: Path):
    first, second = make(tmp_path), make(tmp_path)
    assert not next(first).waiting
    next(first)
    seen = next(second)
    assert (seen.waiting, seen.done) == (True, 1)
    drain(first)
    assert drain(second).simulations == 6
    assert contents(tmp_path) == contents(made[0])


def test_params_of_ones_own(tmp_path: Path):
    own = [[0.3, 0.8], [0.3, 0.8]]
    list(make(tmp_path, simulations=2, params=own))
    np.testing.assert_allclose(read_parameter_table(tmp_path / "params.txt")[:, :2], own)
    maps = np.load(tmp_path / "maps.npy")
    assert not np.array_equal(maps[:6], maps[6:])  # as in CV: same parameters, other initial fields


def test_ranges_are_kept_and_filled(tmp_path: Path):
    layout = UniverseLayout(4, 4, 25.0, 3)
    list(make(tmp_path, simulations=32, layout=layout, params_range={"sigma_8": (0.7, 0.7)}))
    table = read_parameter_table(tmp_path / "params.txt")
    assert (table[:, 1] == 0.7).all()
    # A Sobol sequence puts one of 32 into each 1/32 of the range.
    counts, _ = np.histogram(table[:, 0], bins=np.linspace(0.1, 0.5, 9))
    assert (counts == 4).all()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"simulations": 0}, "simulations = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"device": "abacus"}, "abacus"),
        ({"device": "meta"}, "meta"),
        ({"params": [[0.3, 0.8]]}, "shape"),
        ({"params": [[0.3, 0.8]] * 6, "params_range": {}}, "params_range or a design"),
        ({"params": [[0.3, 0.8]] * 6, "design": "CV"}, "params_range or a design"),
        ({"design": "QQ"}, "'QQ': unknown design; allowed: LH"),
        ({"params": [[0.01, 0.8]] * 6}, "Omega_m"),
        ({"params_range": {"h": (0.6, 0.7)}}, "'h'"),
        ({"params_range": {"Omega_m": (0.5, 0.1)}}, "Omega_m from 0.5"),
    ],
)
def test_wrong_arguments_are_refused_at_the_call_and_nothing_is_written(
    tmp_path: Path, changes: dict[str, Any], named: str
):
    with pytest.raises(InputError, match=named):
        make(tmp_path / "set", **changes)
    assert not (tmp_path / "set").exists()


DATA = DataBlock(simulations=3, grid=8, map_size=8, maps_per_simulation=3, simulation_seed=5)


def test_the_cache_makes_a_set_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOCUS_CACHE", str(tmp_path))
    universes = drain(simulate_cached_universes(DATA))
    maps, params = universes.maps_path, universes.params_path
    assert maps.is_relative_to(tmp_path / "universes")
    assert np.load(maps).shape == (9, 8, 8)
    assert read_parameter_table(params).shape == (3, 6)
    assert list(simulate_cached_universes(DATA)) == []


def test_the_folder_of_a_default_set_keeps_the_name_that_it_had_before_there_were_designs(tmp_path: Path):
    folder = cached_universes_folder(DataBlock(), tmp_path)
    assert folder.path.name == "100x15_grid32_map32_box25_seed0_1bf84a5e"


def test_other_data_has_another_folder(tmp_path: Path):
    names = {
        cached_universes_folder(DATA.model_copy(update=change), tmp_path).path.name
        for change in ({}, {"simulation_seed": 6}, {"grid": 16}, {"box_size": 50.0}, {"simulations": 4})
    }
    assert len(names) == 5
    assert any("3x3_grid8_map8_box25_seed5" in name for name in names)
    assert not any(tmp_path.iterdir())


@pytest.mark.process
def test_a_killed_process_leaves_a_resumable_set(made: Made, tmp_path: Path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from focus_engine.simulation.simulate import UniverseLayout\n"
        "from focus_engine.simulation.universes import simulate_universes\n"
        "layout = UniverseLayout(grid=8, map_size=8, box_size=25.0, maps_per_simulation=6)\n"
        "for step in simulate_universes(Path(sys.argv[1]), simulations=6, layout=layout, seed=3):\n"
        "    if step.done == 2: os.kill(os.getpid(), 9)\n"
    )
    root = str(Path(__file__).parents[2])
    killed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env={**os.environ, "PYTHONPATH": root}, check=False
    )
    assert killed.returncode == -9
    drain(make(tmp_path))
    assert contents(tmp_path) == contents(made[0])
