import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from trained_experiments import trained_experiments

from focus_engine import Experiment
from focus_engine.config.schema import Config
from focus_engine.data.opening import open_maps
from focus_engine.errors import InputError
from focus_engine.evaluation.sampling import evaluate_run
from focus_engine.evaluation.trained_model import find_checkpoint, open_trained
from focus_engine.evaluation.truth import HeldBack, Truth, check_held_back, universe_truth
from focus_engine.events.table import DataProgress
from focus_engine.progress import drain
from focus_engine.simulation.held_back import simulate_held_back
from focus_tui.__main__ import run as focus

pytestmark = pytest.mark.xdist_group("held-back universes")  # its tests share a trained model

TINY = {
    "data.simulations": 16,
    "data.grid": 8,
    "data.map_size": 8,
    "data.maps_per_simulation": 3,
    "data.train_split": 0.75,
    "model.base_channels": 4,
    "model.channel_mults": [1],
    "model.time_dim": 16,
    "training.num_epochs": 1,
    "training.batch_size": 12,
    "training.sample_every": 0,
    "sampling.num_steps": 2,
    "device": "cpu",
}
HELD_BACK = HeldBack(universes=3, cosmologies=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory):
    """Yield an experiments folder with `tiny`, trained for an epoch; universes go to the folder `cache` beside it."""
    folder = tmp_path_factory.mktemp("truth")
    with trained_experiments(folder, tiny=TINY) as root:
        yield root


def train_of(experiment: Experiment) -> list[int]:
    model = open_trained(find_checkpoint(experiment.run, "best"), device="cpu")
    return list(model.data["split"]["train"])


def truth_of(experiment: Experiment, count: int = 4) -> Generator[DataProgress, None, Truth]:
    maps = drain(open_maps(experiment.config, experiment.path))
    return universe_truth(experiment.config, maps, train_of(experiment), HELD_BACK, count)


def universe_sets(home: Path) -> set[str]:
    return {path.name.split("_grid")[0] for path in (home.parent / "cache" / "universes").iterdir()}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_samples_are_compared_with_several_universes_at_each_cosmology(tiny: Experiment, home: Path):
    (own,) = (home.parent / "cache" / "universes").glob("16x3_*")
    before = contents(own)
    model = open_trained(find_checkpoint(tiny.run, "best"), device="cpu")
    interrupted = evaluate_run(tiny.run, model, model.plan(), 5, held_back=HELD_BACK)
    first = next(interrupted)
    assert (first.what, first.done, first.total) == ("simulating universes", 0, 6)
    assert next(step for step in interrupted if step.done == 2)
    interrupted.close()
    assert next(evaluate_run(tiny.run, model, model.plan(), 5, held_back=HELD_BACK)).done == 2
    found = tiny.evaluate(5, universes=3, cosmologies=2, steps=1)
    assert (found.n_maps, found.n_simulations, found.n_points, found.n_generated) == (18, 6, 2, 5)
    assert universe_sets(home) == {"16x3", "held_back_2x3x3"}
    assert contents(own) == before
    report = tiny.path / "evaluation_universes.json"
    assert json.loads(report.read_text())["n_simulations"] == 6
    assert (tiny.path / "figs" / "evaluation_universes.png").is_file()
    assert not (tiny.path / "evaluation.json").exists()


def test_truth_places_maps_by_cosmology_and_simulation(tiny: Experiment):
    maps = drain(open_maps(tiny.config, tiny.path))
    truth = drain(truth_of(tiny, 7))
    rows = truth.design.real
    assert rows.point.tolist() == [0] * 9 + [1] * 9
    assert rows.unit.tolist() == np.repeat(np.arange(6), 3).tolist()
    assert not rows.independent
    assert truth.design.generated.independent
    assert truth.design.generated.point.tolist() == [0, 0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(truth.params, truth.design.params[truth.design.generated.point].astype(np.float32))
    # The pairs are real maps of the same cosmology: slabs of an axis average to its Omega_m.
    assert truth.pairs.tolist() == [0, 1, 2, 3, 9, 10, 11]
    density = truth.maps.reshape(2, -1).mean(axis=1, dtype=np.float64) / (2.775e11 * 25.0)
    np.testing.assert_allclose(density, truth.design.params[:, 0], rtol=1e-5)
    assert truth.paired_maps().shape == (7, 1, 8, 8)
    # Held back: inside the training range, and no simulation of the set has these parameters.
    trained = maps.table[train_of(tiny), :2]
    points = truth.design.params[:, :2]
    assert ((points > trained.min(axis=0)) & (points < trained.max(axis=0))).all()
    assert np.abs(points[:, None] - maps.table[None, :, :2]).max(axis=2).min() > 1e-4


def test_the_command_finds_universes_again_and_reports(tiny: Experiment, capfd: pytest.CaptureFixture[str]):
    data = tiny.config.data
    cosmologies = drain(truth_of(tiny)).design.params[:, :2]
    assert list(simulate_held_back(data, cosmologies, 3)) == []
    words = ["--universes", "3", "--cosmologies", "2", "-n", "4", "--device", "cpu", "--progress", "json"]
    assert focus(["evaluate", str(tiny.path), *words]) == 0
    out, err = capfd.readouterr()
    assert "4 generated maps against 18 real maps of 6 simulations, at 2 parameter points" in out
    assert "sampling 4 maps" in err
    assert "simulating universes" not in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--universes", "0"], "--universes 0: give at least 1"),
        (["--universes", "2", "--cosmologies", "0"], "--cosmologies 0: give at least 1"),
        (["--cosmologies", "3"], "--cosmologies 3: give --universes too"),
        (["--universes", "2", "-n", "3"], "-n 3: fewer maps than the 8 cosmologies"),
        (["--universes", "1", "--cosmologies", "301"], "-n 300: fewer maps than the 301 cosmologies"),
        (["--universes", "1", "--cosmologies", "900", "-n", "900"], "held-back cosmologies; give fewer"),
    ],
)
def test_options_that_do_not_fit_are_refused(tiny: Experiment, capfd: pytest.CaptureFixture[str], words, says):
    assert focus(["evaluate", str(tiny.path), "--device", "cpu", *words]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err


def test_runs_that_have_no_such_truth_are_told_what_to_do():
    files = Config.model_validate({"data": {"source": "files", "data_dir": "."}})
    with pytest.raises(InputError, match=r"came from files.*focus judge samples.npz --against"):
        check_held_back(files, ("Omega_m", "sigma_8"), HELD_BACK, None)
    for names, missing in (
        ((), "nothing and not on Omega_m and sigma_8"),
        (("Omega_m",), "Omega_m and not on sigma_8"),
    ):
        with pytest.raises(InputError, match=f"conditioned on {missing}"):
            check_held_back(Config(), names, HELD_BACK, None)
    check_held_back(Config(), ("sigma_8", "A_SN1", "Omega_m"), HELD_BACK, 2)
