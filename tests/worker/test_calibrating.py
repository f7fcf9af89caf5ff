"""A run that is trained keeps its calibration in the checkpoints that maps are drawn from."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from workers import Make, ignore

from focus_engine.api import Experiment
from focus_engine.data.opening import open_maps
from focus_engine.errors import FocusError, RunConflictError
from focus_engine.evaluation import calibrating
from focus_engine.evaluation.averages import BestAverage, open_averaged
from focus_engine.evaluation.exporting import export_weights
from focus_engine.evaluation.trained_model import TrainedModel, open_trained
from focus_engine.events.log import read_events
from focus_engine.events.table import Calibrated, Event, RunEnded, RunStarted, Warned
from focus_engine.generative import calibration
from focus_engine.launch import start
from focus_engine.launch.run_lock import run_lock
from focus_engine.launch.start import request_stop
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import State
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import load_checkpoint, save_checkpoint, sha256_of
from focus_engine.training.prepared_data import CALIBRATION, prepare_data
from focus_engine.worker import stop
from focus_engine.worker.artist import Artist
from focus_engine.worker.foreground import run_in_foreground
from focus_tui.__main__ import run as focus

pytestmark = pytest.mark.process

PARAMS = np.array([[0.3, 0.8], [0.2, 0.9]], dtype=np.float32)


@pytest.fixture(autouse=True)
def _no_figures_and_any_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Artist, "draw", lambda *_: None)
    monkeypatch.setattr(calibration, "LARGEST_RATIO", 1e9)  # networks of tests have learned little
    return


def run_of(make: Make, **keys: object) -> RunFolder:
    run = make(**keys)
    text = run.config.read_text().replace("ddim_timesteps: 2", "ddim_timesteps: 2, calibration_maps: 15")
    run.config.write_text(text)
    return run


def events_of(run: RunFolder, kind: type[Event]) -> list[Event]:
    return [one for one in read_events(run.events) if isinstance(one, kind)]


def maps_of(model: TrainedModel) -> torch.Tensor:
    steps = model.draw(PARAMS, model.plan(seed=1))
    return torch.cat([step.finished for step in steps if step.finished is not None])


def test_both_checkpoints_of_a_trained_run_draw_calibrated_maps(make: Make, tmp_path):
    run = run_of(make)
    run_in_foreground(run, on_event=ignore)
    last, best = (open_trained(path, device="cpu") for path in (run.checkpoint_last, run.checkpoint_best))
    assert last.calibration is not None
    assert last.calibration == best.calibration or last.source["epoch"] != best.source["epoch"]
    told = [one.path for one in events_of(run, Calibrated)]
    assert told == ["checkpoints/checkpoint_last.pt", "checkpoints/checkpoint_best.pt"]
    raw = maps_of(replace(last, calibration=None))
    torch.testing.assert_close(maps_of(last), last.calibration.apply(raw), rtol=1e-4, atol=1e-4)
    export_weights(run, tmp_path / "w.safetensors", checkpoint="last")
    exported = open_trained(tmp_path / "w.safetensors", device="cpu")
    torch.testing.assert_close(maps_of(exported), maps_of(last))


def test_other_averages_are_not_calibrated(make: Make):
    run = run_of(make)
    run_in_foreground(run, on_event=ignore)
    model = open_averaged(run, run.checkpoint_last, 0.1, device="cpu")
    assert model.calibration is None
    assert CALIBRATION not in model.data


def test_a_run_goes_on_from_calibrated_checkpoints_as_from_others(make: Make):
    run, plain = run_of(make, name="a"), make("b")
    for one in (run, plain):
        run_in_foreground(one, on_event=ignore)
        one.config.write_text(one.config.read_text().replace("num_epochs: 2", "num_epochs: 3"))
        run_in_foreground(one, on_event=ignore, resume=True)
    states = [load_checkpoint(one.checkpoint_last).state for one in (run, plain)]
    for name, weights in states[0]["network"].items():
        torch.testing.assert_close(weights, states[1]["network"][name], rtol=0, atol=0)
    assert open_trained(run.checkpoint_last, device="cpu").calibration is not None


def test_a_stop_meanwhile_leaves_the_checkpoints_as_they_are(make: Make, monkeypatch: pytest.MonkeyPatch):
    run = run_of(make)
    fit = calibrating.calibration_of

    def stopped(*given: object) -> object:
        run.stop_request.write_text("now")
        return fit(*given)

    monkeypatch.setattr(calibrating, "calibration_of", stopped)
    monkeypatch.setattr(stop, "STOP_POLL_SECONDS", 0.0)  # the network of a test draws its maps in less
    run_in_foreground(run, on_event=ignore)
    (warning,) = (one for one in events_of(run, Warned) if one.code == "calibration")
    assert warning.message.endswith("asked to stop; focus calibrate a run does it")
    assert open_trained(run.checkpoint_last, device="cpu").calibration is None


def test_maps_of_another_guidance_are_not_calibrated(make: Make):
    run = run_of(make, more="cfg_prob: 0.1")
    run_in_foreground(run, on_event=ignore)
    model = open_trained(run.checkpoint_last, device="cpu")
    plan = model.plan(seed=1, guidance=2.0)
    drawn = [
        torch.cat([step.finished for step in one.draw(PARAMS, plan) if step.finished is not None])
        for one in (model, replace(model, calibration=None))
    ]
    torch.testing.assert_close(*drawn)


def test_a_stopped_run_is_not_calibrated(make: Make):
    run = run_of(make)

    def stop_at_start(event: Event) -> None:
        if isinstance(event, RunStarted):
            request_stop(run, "epoch")

    run_in_foreground(run, on_event=stop_at_start)
    assert not events_of(run, Calibrated)
    assert open_trained(run.checkpoint_last, device="cpu").calibration is None


@pytest.mark.parametrize(
    ("error", "words"),
    [(FocusError("too far off"), "too far off"), (RuntimeError("broken"), "RuntimeError: broken")],
)
def test_a_failure_is_a_warning(make: Make, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(calibrating, "fit_calibration", fail)
    run = run_of(make)
    run_in_foreground(run, on_event=ignore)
    (ended,) = events_of(run, RunEnded)
    assert ended.state == "finished"
    (warning,) = (one for one in events_of(run, Warned) if one.code == "calibration")
    assert warning.message.endswith(words)
    assert open_trained(run.checkpoint_last, device="cpu").calibration is None


def test_focus_calibrate_gives_a_run_the_calibration_that_its_training_would_have_given(
    make: Make, capsys: pytest.CaptureFixture[str]
):
    trained, plain = run_of(make, name="a"), make("b")
    for one in (trained, plain):
        run_in_foreground(one, on_event=ignore)
    log = plain.events.read_bytes()
    assert focus(["calibrate", str(plain.path), "--maps", "15", "--json"]) == 0
    gains = json.loads(capsys.readouterr().out)["gain"]
    found = open_trained(plain.checkpoint_last, device="cpu").calibration
    assert found == open_trained(trained.checkpoint_last, device="cpu").calibration
    assert found is not None
    assert gains["checkpoint_last.pt"] == [min(map(min, found.gain)), max(map(max, found.gain))]
    assert set(gains) == {"checkpoint_best.pt", "checkpoint_last.pt"}
    Experiment(plain).calibrate(15)
    assert open_trained(plain.checkpoint_last, device="cpu").calibration == found
    assert plain.events.read_bytes() == log  # which ends as the training did
    assert focus(["calibrate", str(plain.path), "--maps", "0"]) == 0
    assert "checkpoint_best.pt  not calibrated" in capsys.readouterr().out
    states = [load_checkpoint(one.checkpoint_last) for one in (trained, plain)]
    assert CALIBRATION not in states[1].data
    assert states[1].data == {name: value for name, value in states[0].data.items() if name != CALIBRATION}


def test_checkpoints_that_differ_have_calibrations_of_their_own(make: Make):
    run = make("a")
    run_in_foreground(run, on_event=ignore)
    best = load_checkpoint(run.checkpoint_best)
    for weights in best.state["ema"]["module"].values():
        weights.mul_(0.5)
    save_checkpoint(run.checkpoint_best, best)
    Experiment(run).calibrate(15)
    last, other = (open_trained(path, device="cpu") for path in (run.checkpoint_last, run.checkpoint_best))
    assert last.calibration != other.calibration
    data = prepare_data(other.config, drain(open_maps(other.config, run.path)), best)
    assert drain(calibrating.calibration_of(replace(other, calibration=None), data, 15)) == other.calibration


def test_what_is_known_of_the_averages_stays_known(make: Make):
    run = make("a")
    run_in_foreground(run, on_event=ignore)
    for path in (run.checkpoint_best, run.checkpoint_last):
        BestAverage(sha256_of(path), 0.5, {0.1: 0.4}).write(run)
        Experiment(run).calibrate(15)
        assert BestAverage.read(run) == BestAverage(sha256_of(path), 0.5, {0.1: 0.4})
    BestAverage("of another", 0.5, {0.1: 0.4}).write(run)
    Experiment(run).calibrate(0)
    assert BestAverage.read(run) == BestAverage("of another", 0.5, {0.1: 0.4})


def test_drawn_maps_tell_whether_they_are_calibrated(make: Make, capsys: pytest.CaptureFixture[str]):
    run = run_of(make, more="cfg_prob: 0.1")
    run_in_foreground(run, on_event=ignore)
    drawn = ("sample", str(run.path), "-n", "1", "--device", "cpu", "--json")
    for more, calibrated in (((), True), (("--guidance", "2"), False)):
        assert focus([*drawn, *more]) == 0
        said = capsys.readouterr()
        assert (", calibrated" in said.err) == calibrated
        assert np.load(json.loads(said.out)["path"])["calibrated"] == calibrated


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--maps", "-1"), "--maps -1"), (("--progress", "x"), "--progress"), ((), "has no checkpoint yet")],
)
def test_focus_calibrate_refuses(make: Make, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str):
    assert focus(["calibrate", str(make("a").path), *options]) == 2
    assert words in capsys.readouterr().err


def test_a_run_that_is_being_trained_is_not_calibrated(make: Make, capsys: pytest.CaptureFixture[str]):
    run = run_of(make)
    run_in_foreground(run, on_event=ignore)
    before = run.checkpoint_last.read_bytes()
    with run_lock(run):
        assert focus(["calibrate", str(run.path), "--maps", "0"]) == 2
    assert "is running already" in capsys.readouterr().err
    assert run.checkpoint_last.read_bytes() == before


@pytest.mark.parametrize("state", ["queued", "unreachable"])
def test_a_run_that_may_be_trained_elsewhere_or_later_is_not_calibrated(
    make: Make, monkeypatch: pytest.MonkeyPatch, state: State
):
    run = make("a")
    run_in_foreground(run, on_event=ignore)
    before = run.checkpoint_last.read_bytes()
    known = replace(summarise(run), state=state, host="far-away", reason="a job of SLURM")
    monkeypatch.setattr(start, "summarise", lambda _: known)
    with pytest.raises(RunConflictError, match="a job of SLURM"):
        Experiment(run).calibrate(15)
    assert run.checkpoint_last.read_bytes() == before
