"""Maps of two fields, from import to training, samples and figures: each by itself, with its name and unit."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from workers import Make, ignore

from focus_engine.evaluation.trained_model import open_trained
from focus_engine.events.log import read_events
from focus_engine.events.statistics import POWER_ERROR
from focus_engine.events.table import SamplesDrawn, StatisticsMeasured
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder
from focus_engine.statistics.power import power_spectrum
from focus_engine.worker.foreground import run_in_foreground
from focus_tui.__main__ import run as focus
from focus_tui.charts.map_pairs import thumbnails
from focus_tui.view.pictures.maps import maps_picture
from focus_tui.view.pictures.picture import PictureOptions
from focus_tui.view.pictures.power import power_picture
from focus_tui.view.run_view import RunView, fold

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("fields")]

Said = Callable[..., str]


@pytest.fixture
def said(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Return a function that runs a command in the tests' experiments folder and returns what it prints."""
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(tmp_path / "experiments"))
    (tmp_path / "experiments").mkdir(exist_ok=True)

    def say(*words: object) -> str:
        capfd.readouterr()
        code = focus([str(word) for word in words])
        told = capfd.readouterr()
        assert code == 0, told.err
        return told.out + told.err

    return say


@pytest.fixture
def imported(tmp_path: Path, said: Said) -> str:
    """Import two files of 8 simulations: a density, and its square root as a temperature; return what was printed."""
    draw = np.random.default_rng(3)
    density = np.exp(25 + 0.5 * draw.normal(size=(80, 16, 16))).astype(np.float32)
    np.save(tmp_path / "Maps_Mcdm_Toy_LH_z=0.00.npy", density)
    np.savez(tmp_path / "gas.npz", maps=np.sqrt(density))
    np.savetxt(tmp_path / "params.txt", draw.uniform((0.1, 0.6), (0.5, 1.0), (8, 2)))
    files = (tmp_path / "Maps_Mcdm_Toy_LH_z=0.00.npy", tmp_path / "gas.npz", tmp_path / "params.txt")
    more = ("--name", "toy", "--maps-per-simulation", 10, "--fields", "Mcdm,heat", "--units", "M,keV")
    return said("data", "import", *files, *more)


@pytest.mark.parametrize("network", ["DiT", "Swin"])
def test_transformers_train_on_fields_together(make: Make, tmp_path: Path, imported: str, network: str):
    data = f"data_dir: {imported.splitlines()[0]}, fields: [Mcdm, heat], units: [M, keV], maps_per_simulation: 10"
    made = make("both", epochs=1, root=tmp_path / "experiments", data=f"{data}, train_split: 0.6")
    sizes = "patch: 2, width: 16, depth: 2, heads: 2" + (", window: 4" if network == "Swin" else "")
    model = f"model: {{from: {network}, {network.lower()}: {{{sizes}}}, in_channels: 2, out_channels: 2, "
    made.config.write_text(made.config.read_text().replace("model: {", model))
    assert run_in_foreground(made, on_event=ignore).state == "finished"
    trained = open_trained(made.checkpoint_last)
    drawn = [step.finished for step in trained.draw(np.array([[0.3, 0.8]] * 2), trained.plan(steps=2))][-1]
    assert drawn is not None
    assert drawn.shape == (2, 2, 16, 16)
    assert np.isfinite(trained.physical(drawn)).all()


@pytest.fixture
def run(make: Make, tmp_path: Path, imported: str) -> RunFolder:
    folder = Path(imported.splitlines()[0])
    data = f"data_dir: {folder}, fields: [Mcdm, heat], units: [M, keV], maps_per_simulation: 10, train_split: 0.6"
    made = make("two", root=tmp_path / "experiments", data=data, sample_every=2)
    text = made.config.read_text().replace("model: {", "model: {in_channels: 2, out_channels: 2, ")
    made.config.write_text(text)
    assert run_in_foreground(made, on_event=ignore).state == "finished"
    return made


def test_files_of_fields_are_imported_side_by_side(imported: str, tmp_path: Path, said: Said):
    names = sorted(path.name for path in (tmp_path / "data" / "toy").iterdir())
    assert names == ["Maps_Mcdm_toy.npy", "Maps_heat_toy.npy", "params_toy.txt"]
    assert "fields: [Mcdm, heat]" in imported
    assert "in_channels: 2" in imported
    assert f"maps_path: [{tmp_path}/data/toy/Maps_Mcdm_toy.npy, {tmp_path}/data/toy/Maps_heat_toy.npy]" in imported
    told = said("data", "info", "toy", "--maps-per-simulation", 10, "--units", "M,keV")
    assert "(2, 16, 16) float32" in told
    assert "channel 1, map 0" in told


def test_from_training_to_the_figures(run: RunFolder, said: Said):
    model = open_trained(run.checkpoint_best)
    assert (model.field_names, model.field_units) == (("Mcdm", "heat"), ("M", "keV"))
    mean, std = model.normaliser.mean, model.normaliser.std
    assert mean[0] == pytest.approx(2 * mean[1], rel=1e-4)  # of log10, of a square root
    assert std[0] == pytest.approx(2 * std[1], rel=1e-3)

    _, drawn = [event for event in read_events(run.events) if isinstance(event, SamplesDrawn)]
    assert (drawn.fields, drawn.units, drawn.channels) == (("Mcdm", "heat"), ("M", "keV"), 2)
    with np.load(run.path / drawn.path) as kept:
        assert kept["maps"].shape == (16, 2, 16, 16)
        assert (kept["fields"].tolist(), kept["units"].tolist()) == (["Mcdm", "heat"], ["M", "keV"])
        maps = kept["maps"]
        for channel in (0, 1):
            real, _ = thumbnails(drawn, channel)
            assert np.median(real[0]) == pytest.approx(np.median(kept["real"][0, channel]), rel=0.02)
    assert (run.figs / "samples_epoch_0002.png").is_file()
    *_, measured = [event for event in read_events(run.events) if isinstance(event, StatisticsMeasured)]
    assert [one.field for one in measured.curves] == ["Mcdm", "heat"]
    assert {(one.field, one.name) for one in measured.measures} >= {("Mcdm", POWER_ERROR), ("heat", POWER_ERROR)}
    for channel, curve in enumerate(measured.curves):
        power = power_spectrum(maps[:, channel], 25.0)
        np.testing.assert_allclose(curve.generated, power.mean[power.below(1.0)], rtol=0.3)  # more maps are measured
    assert min(np.divide(measured.curves[0].generated, measured.curves[1].generated)) > 2

    told = said("sample", "two", "-n", 2)
    assert told.count("of 2 samples") == 2
    assert "heat, P(k) of 2 samples" in told
    report = json.loads(said("sample", "two", "-n", 2, "--json", "--progress", "json").splitlines()[0])
    assert [(one["name"], one["units"]) for one in report["fields"]] == [("Mcdm", "M"), ("heat", "keV")]
    assert report["power"] == report["fields"][0]["power"] != report["fields"][1]["power"]
    assert "heat, map" in said("data", "info", "two")
    told = said("evaluate", "two")
    for words in ("real, Mcdm", "generated, heat", "against real, heat", "Mcdm x heat"):
        assert words in told
    samples = run.path / drawn.path
    assert "Mcdm x heat" in said("judge", samples, "--against", samples)

    view = fold(RunView(summary=summarise(run)), read_events(run.events))
    picture = maps_picture(view, PictureOptions(color_depth=None))
    high = picture.draw(100, 40)
    assert [line for line in high.splitlines() if line in {"Mcdm", "heat"}] == ["Mcdm", "heat"]
    assert "keV" in high
    words = power_picture(view, PictureOptions(color_depth=None)).draw(100, 40)
    assert "heat: off " in words
    low = picture.draw(100, 12)
    assert low.splitlines()[0] == "Mcdm, the first of 2 fields"
    assert "keV" not in low
