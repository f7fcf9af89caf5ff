"""Averages chosen after training: rebuilt from a run's snapshots, scored, remembered, and refused where impossible."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from focus_engine import Experiment
from focus_engine.errors import InputError
from focus_engine.evaluation import averages
from focus_engine.evaluation.averages import BestAverage, KeptAverages, find_best, open_averaged
from focus_engine.evaluation.trained_model import find_checkpoint
from focus_engine.events.table import AveragesSaved
from focus_engine.models.power_average import PowerAverages, gamma_of
from focus_engine.progress import drain
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.training.snapshots import Snapshot, SnapshotFolder, flat
from focus_tui.__main__ import run as focus

pytestmark = pytest.mark.xdist_group("averages")  # its tests share a trained model


def parameters(experiment: Experiment, ema: float | str | None) -> torch.Tensor:
    model = open_averaged(experiment.run, experiment.run.checkpoint_last, ema, device="cpu")
    return torch.nn.utils.parameters_to_vector(model.network.parameters())


def test_the_run_keeps_32_snapshots_and_says_so(tiny: Experiment):
    saved = [event for event in tiny.events() if isinstance(event, AveragesSaved)]
    assert (
        [event.step for event in saved]
        == SnapshotFolder(tiny.run.averages).steps()
        == [-(-36 * n // 32) for n in range(1, 33)]
    )
    assert all((tiny.path / event.path).stat().st_size == event.bytes for event in saved)


def test_a_kept_length_is_that_of_the_checkpoint(tiny: Experiment):
    held = load_checkpoint(tiny.run.checkpoint_last).state["averages"]
    for length, weights in zip(held["lengths"], held["weights"], strict=True):
        torch.testing.assert_close(parameters(tiny, length), flat(weights), rtol=1e-5, atol=1e-6)


def test_a_length_between_lies_between_and_is_not_the_moving_average(tiny: Experiment):
    short, middle, long, moving = (parameters(tiny, ema) for ema in (0.05, 0.07, 0.1, None))
    away = float((long - short).norm())
    assert 0 < float((middle - short).norm()) < away
    assert 0 < float((middle - long).norm()) < away
    assert float((middle - moving).norm()) > 0


def test_lengths_beyond_the_snapshots_are_refused_with_those_allowed(tiny: Experiment):
    low, high = KeptAverages(tiny.run.checkpoint_last, SnapshotFolder(tiny.run.averages)).allowed()
    assert low < 0.03
    assert high > 0.2
    with pytest.raises(InputError, match=rf"0.285 .* 31 snapshots .* allow {low:g} to {high:g}"):
        parameters(tiny, 0.285)


def test_without_snapshots_the_checkpoint_still_has_two(tiny: Experiment, tmp_path: Path):
    alone = tmp_path / "alone.pt"
    shutil.copy(tiny.run.checkpoint_last, alone)
    kept = KeptAverages(alone, SnapshotFolder(tmp_path / "none"))
    assert len(kept.weights(0.05)) == len(kept.weights(0.1)) > 0
    with pytest.raises(InputError, match="from the 0 snapshots"):
        kept.weights(0.2)


def test_a_snapshot_of_another_network_is_named(tiny: Experiment, tmp_path: Path):
    folder = SnapshotFolder(tmp_path / "averages")
    folder.write(Snapshot.of(PowerAverages(torch.nn.Linear(2, 2), 18)), 1.0)
    with pytest.raises(InputError, match=r"averages_000000018\.pt: is of another network than checkpoint_last\.pt"):
        KeptAverages(tiny.run.checkpoint_last, folder).weights(0.07)


def test_the_best_has_the_lowest_validation_loss_and_is_remembered(tiny: Experiment):
    path = find_checkpoint(tiny.run, "best")
    with pytest.raises(InputError, match=r"best average of checkpoint_best.pt is not known: .* --ema best$"):
        open_averaged(tiny.run, path, "best")
    with pytest.raises(InputError, match=r"focus evaluate tiny --ema best --checkpoint last$"):
        open_averaged(tiny.run, tiny.run.checkpoint_last, "best")
    best = drain(find_best(tiny.run, path, device="cpu"))
    assert best == BestAverage.read(tiny.run)
    assert best.moving == pytest.approx(min(event.val_loss for event in tiny.history()), rel=1e-5)
    assert {0.05, 0.07, 0.1} - set(best.losses) == {0.07}
    lowest = min(best.losses, key=best.losses.get)
    assert best.length == (lowest if best.losses[lowest] < best.moving else None)
    model = open_averaged(tiny.run, path, "best")
    assert model.source.get("ema") == best.length
    other = BestAverage("another checkpoint", best.moving, best.losses)
    other.write(tiny.run)
    with pytest.raises(InputError, match="was found for another checkpoint"):
        open_averaged(tiny.run, path, "best")
    BestAverage(best.checkpoint, 9.0, {0.04: 1.0, 0.05: 2.0}).write(tiny.run)
    assert open_averaged(tiny.run, path, "best").source["ema"] == 0.04
    (tiny.run.averages / "best.json").unlink()


def test_an_average_is_copied_into_the_weights_where_they_are():
    network = torch.nn.Sequential(torch.nn.Conv2d(4, 6, 3), torch.nn.Linear(2, 2)).to(memory_format=torch.channels_last)
    wanted = {name: torch.randn(one.shape) for name, one in network.named_parameters()}
    before = [(one.data_ptr(), one.stride()) for one in network.parameters()]
    averages._take(network, flat(wanted))
    assert [(one.data_ptr(), one.stride()) for one in network.parameters()] == before
    assert all(torch.equal(one, wanted[name]) for name, one in network.named_parameters())


def test_samples_say_which_average_they_are_of(home: Path, tmp_path: Path, capfd):
    make = ["--root", str(home), "sample", "tiny", "-n", "2", "--seed", "3"]
    files = [tmp_path / f"{name}.npz" for name in ("usual", "average")]
    assert focus([*make, "-o", str(files[0])]) == 0
    assert focus([*make, "-o", str(files[1]), "--ema", "0.06"]) == 0
    assert "average of length 0.06" in capfd.readouterr().err
    with np.load(files[0]) as usual, np.load(files[1]) as average:
        assert np.isnan(usual["ema"])
        assert average["ema"] == 0.06
        assert not np.array_equal(usual["maps"], average["maps"])


def test_evaluate_finds_the_best_and_samples_offer_it(tiny: Experiment, home: Path, tmp_path: Path, capfd):
    assert focus(["--root", str(home), "evaluate", "tiny", "-n", "4", "--ema", "best", "--json"]) == 0
    found = capfd.readouterr()
    best = BestAverage.read(tiny.run)
    assert best is not None
    assert "the best of" in found.err
    assert json.loads(found.out)["checkpoint"].get("ema") == best.length
    BestAverage(best.checkpoint, 9.0, {0.04: 1.0}).write(tiny.run)
    assert focus(["--root", str(home), "sample", "tiny", "-n", "1", "-o", str(tmp_path / "one.npz")]) == 0
    assert "--ema best would take the average of length 0.04" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["0", "-0.1", "0.3", "nan", "longest", ""])
def test_a_length_that_is_none_is_wrong_before_anything_is_opened(text: str, home: Path, capfd):
    assert focus(["--root", str(home), "sample", "no such run", "--ema", text]) == 2
    assert f"--ema {text!r}: give best, or the length" in capfd.readouterr().err


def test_a_run_without_averages_is_told_so():
    old = Path(__file__).parents[1] / "old_run/experiments/stopped/checkpoints/checkpoint_last.pt"
    with pytest.raises(InputError, match=r"holds no averages .* leave --ema out"):
        KeptAverages(old, SnapshotFolder(old.parent))
    assert gamma_of(0.288) > 0
