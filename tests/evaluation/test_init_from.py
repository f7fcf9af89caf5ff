"""training.init_from: a run begins from the averaged weights of another, says what differs, refuses what cannot be."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from focus_engine import Experiment
from focus_engine.config.load import load_config
from focus_engine.data.opening import open_maps
from focus_engine.errors import InputError
from focus_engine.evaluation.exporting import export_weights
from focus_engine.evaluation.trained_model import find_checkpoint, open_trained
from focus_engine.events.table import RunStarted
from focus_engine.progress import drain
from focus_engine.runs.origin import file_to_begin_from
from focus_engine.runs.resumable import check_resumable
from focus_engine.training.checkpoint import load_checkpoint, save_checkpoint, sha256_of
from focus_engine.training.initial_weights import read_initial_weights
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import prepare_data
from focus_engine.training.weights_file import write_weights
from focus_engine.worker.beginning import initial_weights
from focus_engine.worker.foreground import run_in_foreground
from focus_tui.__main__ import run as focus

pytestmark = pytest.mark.xdist_group("averages")  # its tests share a trained model
Copy = Callable[..., Experiment]


@pytest.fixture
def copy(home: Path, tiny: Experiment):
    """Return a maker of experiments with the config of `tiny`; they are removed after the test."""
    made = []

    def make(**settings: Any) -> Experiment:
        dotted = {key.replace("__", "."): value for key, value in settings.items()}
        made.append(Experiment.create(f"copy{len(made)}", root=home, source=tiny, settings=dotted))
        return made[-1]

    yield make
    for one in made:
        shutil.rmtree(one.path)


def prepared(experiment: Experiment) -> PreparedRun:
    config = load_config(experiment.run.config).config
    initial = initial_weights(experiment.run, config)
    maps = drain(open_maps(config, experiment.path))
    data = prepare_data(config, maps, None, initial)
    return prepare_run(config, data, torch.device("cpu"), initial=initial)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_all_weights_are_the_averaged_ones_and_nothing_else_is_taken(tiny: Experiment, copy: Copy):
    run = prepared(copy(training__init_from="tiny", training__lr=3e-4, data__box_size=50.0, data__simulation_seed=1))
    wanted = open_trained(find_checkpoint(tiny.run, "best"), device="cpu").network.state_dict()
    for network in (run.state.network, run.state.ema.module):
        assert equal(network.state_dict(), wanted)
    assert (run.state.step, run.state.epoch, run.state.optimizer.state_dict()["state"]) == (0, 0, {})
    assert run.state.plateau.rate == 3e-4
    assert run.init_from["differs"] == ["other data", "box size: 25.0 -> 50.0"]
    assert run.init_from["sha256"] == sha256_of(tiny.run.checkpoint_best)


def test_weights_of_before_the_units_of_the_spectrum_draw_as_they_did_and_say_so(
    tiny: Experiment, copy: Copy, tmp_path: Path
):
    saved = load_checkpoint(find_checkpoint(tiny.run, "best"))
    old, weights = tmp_path / "old.pt", tmp_path / "old.safetensors"
    before = replace(saved, data=saved.data | {"own_spectrum": saved.data["own_spectrum"]["fit"]})
    save_checkpoint(old, before)
    write_weights(weights, replace(before, provenance=saved.provenance | {"checkpoint": {"epoch": saved.epoch}}))
    for file in (old, weights):
        own = open_trained(file, device="cpu").own_spectrum
        assert own is not None
        assert own.levels is None
    run = prepared(copy(training__init_from=str(old)))
    assert run.init_from["differs"] == ["data.standardize: spectrum in the units of an earlier FOCUS"]


def test_maps_are_standardised_anew_and_parameters_as_in_the_source(tiny: Experiment, copy: Copy):
    settings = {"data__simulation_seed": 1, "training__seed": 1}
    run, alone = prepared(copy(training__init_from="tiny", **settings)), prepared(copy(**settings))
    theirs = open_trained(find_checkpoint(tiny.run, "best"), device="cpu").scaler
    scaler, fitted = run.data.scaler, alone.data.scaler
    assert run.data.normaliser == alone.data.normaliser
    assert (scaler.mean, scaler.std, scaler.scale) == (theirs.mean, theirs.std, theirs.scale) != (fitted.mean,)
    assert (scaler.low, scaler.high) == (fitted.low, fitted.high) != (theirs.low, theirs.high)
    assert not equal(alone.state.network.state_dict(), run.state.network.state_dict())


def test_a_run_records_its_beginning_and_resumes_without_it(tiny: Experiment, copy: Copy, tmp_path: Path, capfd):
    file = tmp_path / "tiny.safetensors"
    export_weights(tiny.run, file)
    one = copy(training__init_from=str(file), training__num_epochs=1, training__averages=False)
    assert focus(["--root", str(one.path.parent), "check", one.name]) == 0
    assert f"weights of tiny, epoch {open_trained(file).source['epoch']}; differs: nothing" in capfd.readouterr().out
    digest = sha256_of(file)
    for epochs in (1, 2):
        text = one.run.config.read_text().replace("num_epochs: 1", f"num_epochs: {epochs}")
        one.run.config.write_text(text)
        assert run_in_foreground(one.run, resume=epochs > 1, on_event=lambda _: None).state == "finished"
        file.unlink(missing_ok=True)
        held = load_checkpoint(one.run.checkpoint_last).provenance["init_from"]
        assert (held["file"], held["experiment"], held["sha256"]) == (str(file), "tiny", digest)
    started = [event.init_from for event in one.events() if isinstance(event, RunStarted)]
    assert [begin["sha256"] for begin in started if begin] == [digest, digest]
    one.run.config.write_text(one.run.config.read_text().replace(str(file), "tiny"))
    with pytest.raises(InputError, match=r'training\.init_from: "/.*" -> "tiny"'):
        check_resumable(load_config(one.run.config).config, load_checkpoint(one.run.checkpoint_last).config)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model__base_channels": 16}, "model.base_channels is 16 here, but 4 in .*checkpoint_best.pt"),
        (
            {"data__params": ["sigma_8", "Omega_m"]},
            r"data.params is \['sigma_8', 'Omega_m'\] here, but \['Omega_m', 's",
        ),
        ({"method": "edm"}, "method is edm here, but flow in"),
        ({"training__init_from": "none"}, "there is no experiment .*none; give one, or a file"),
        ({"training__init_from": "none.pt"}, "there is no such file: .*none.pt"),
        ({"training__init_from": "copy0"}, "copy0 has no checkpoint yet"),
        ({"training__init_from": "../../tiny/config.yaml"}, "there is no experiment"),
    ],
)
def test_what_must_agree_is_refused_in_words(copy: Copy, settings: dict[str, Any], words: str):
    with pytest.raises(InputError, match=rf"training.init_from.*{words}"):
        prepared(copy(**{"training__init_from": "tiny"} | settings))


def test_another_prediction_is_refused():
    old = Path(__file__).parents[1] / "old_run/experiments/stopped"
    config = load_config(old / "config.yaml").config
    assert read_initial_weights(old / "checkpoints/checkpoint_last.pt", config).source.epoch > 0
    other = "v" if config.diffusion.prediction == "epsilon" else "epsilon"
    changed = config.model_copy(update={"diffusion": config.diffusion.model_copy(update={"prediction": other})})
    with pytest.raises(InputError, match=f"diffusion.prediction is {other} here, but {config.diffusion.prediction} in"):
        read_initial_weights(old / "checkpoints/checkpoint_last.pt", changed)


def test_names_and_paths_mean_the_same_file_and_are_kept_by_a_copy(tiny: Experiment, copy: Copy):
    best = tiny.run.checkpoint_best
    one = copy(training__init_from="../tiny")
    for given in ("tiny", "../tiny", str(tiny.path), "../tiny/checkpoints/checkpoint_best.pt", str(best)):
        assert file_to_begin_from(one.run, given).resolve() == best.resolve()
    deeper = Experiment.create("deeper", root=one.path / "inside", source=one)
    given = load_config(deeper.run.config).config.training.init_from
    assert file_to_begin_from(deeper.run, given).resolve() == best.resolve()
