"""Maps normalised in an unknown way: everything works on their values, and nothing calls them physical."""

import json
from pathlib import Path

import numpy as np
import pytest
from workers import Make, ignore

from focus_engine.data.maps import StoredValues, open_map_set
from focus_engine.data.normalise import fit_normaliser
from focus_engine.errors import InputError
from focus_engine.events.log import read_events
from focus_engine.events.table import SamplesDrawn, StatisticsMeasured
from focus_engine.runs.folder import RunFolder
from focus_engine.statistics.power import FIELD_LABEL, field_power_spectrum, measured_power, power_spectrum
from focus_engine.units import NORMALISED, SURFACE_DENSITY
from focus_engine.worker.foreground import run_in_foreground
from focus_tui.__main__ import run as focus
from focus_tui.charts.half_blocks import draw_map
from focus_tui.charts.map_pairs import thumbnails

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("normalised")]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Gaussian fields of mean -1, of twice the amplitude in every second simulation, and their parameters."""
    draw = np.random.default_rng(5)
    waves = draw.normal(size=(80, 16, 16))
    maps = (-1 + np.where(np.arange(80) % 20 < 10, 1, 2)[:, None, None] * waves).astype(np.float32)
    np.save(tmp_path / "maps.npy", maps)
    np.savetxt(tmp_path / "params.txt", draw.uniform((0.1, 0.6), (0.5, 1.0), (8, 2)))
    return tmp_path / "maps.npy", tmp_path / "params.txt"


def unknown_maps(files: tuple[Path, Path]):
    return open_map_set(*files, box_size=25.0, maps_per_simulation=10, stored=StoredValues("unknown"))


def test_values_are_taken_as_they_are(files):
    maps = unknown_maps(files)
    assert np.array_equal(maps.read([3])[0, 0], np.load(files[0])[3])
    assert (maps.physical, maps.units) == (False, NORMALISED)
    assert maps.fingerprint != open_map_set(*files, box_size=25.0, maps_per_simulation=10).fingerprint
    with pytest.raises(InputError, match=r"negative.*; or unknown, for samples"):
        open_map_set(*files, box_size=25.0, maps_per_simulation=10).read([3])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(files, value):
    maps = np.load(files[0])
    maps[3, 2, 1] = value
    np.save(files[0], maps)
    with pytest.raises(InputError, match=r"map 3 .* of 256 pixels; allowed are finite values\."):
        unknown_maps(files).read([3])


def test_their_normalisation_floors_nothing(files):
    maps = unknown_maps(files)
    fitted = fit_normaliser(maps, np.arange(80), "none")
    assert fitted.mean[0] == pytest.approx(np.load(files[0]).mean(dtype=float))
    assert (fitted.floor, fitted.n_floored) == ((0.0,), 0)
    np.save(files[0], np.full((80, 16, 16), -3.0, np.float32))
    with pytest.raises(InputError, match="are -3; maps that vary are needed"):
        fit_normaliser(unknown_maps(files), np.arange(80), "none")


def test_the_power_of_white_noise_is_its_variance_times_the_pixel():
    noise = np.random.default_rng(0).normal(7.0, 3.0, (400, 16, 16))
    measured = measured_power(noise, 32.0, NORMALISED)
    assert measured.label == FIELD_LABEL
    assert np.allclose(measured.mean, 9.0 * 2.0**2, rtol=0.1)  # the mean is taken away, not divided by
    assert np.array_equal(measured.power, field_power_spectrum(noise, 32.0, FIELD_LABEL).power)
    density = np.exp(noise[:4])
    assert np.array_equal(measured_power(density, 32.0, SURFACE_DENSITY).power, power_spectrum(density, 32.0).power)


def test_the_colour_scale_of_a_normalised_map_is_linear():
    ramp = np.linspace(-2, 2, 9)[None, :].repeat(4, axis=0)
    drawn = draw_map(ramp, width=9, height=3, vmin=-2.0, vmax=2.0, color_depth=None, units=NORMALISED)
    first = drawn.splitlines()[0]
    assert first[0] == " "
    assert first[4] == "▒"
    assert first[-1] == "█"


@pytest.fixture
def run(make: Make, files: tuple[Path, Path]) -> RunFolder:
    data = (
        f"maps_path: {files[0]}, params_path: {files[1]}, maps_per_simulation: 10, train_split: 0.6, stored_as: unknown"
    )
    made = make("unknown", data=data, sample_every=2)
    assert run_in_foreground(made, on_event=ignore).state == "finished"
    return made


def test_from_training_to_the_report(run: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(tmp_path))
    events = read_events(run.events)
    _, spectrum = [event for event in events if isinstance(event, StatisticsMeasured)]
    _, drawn = [event for event in events if isinstance(event, SamplesDrawn)]
    assert spectrum.normalised
    assert drawn.normalised
    real, _ = thumbnails(drawn)
    assert real[0].min() < 0  # values of the field, not powers of ten
    with np.load(run.path / drawn.path) as kept:
        assert str(kept["units"]) == NORMALISED
        assert (kept["maps"] < 0).any()
        in_range = np.clip(kept["real"][0, 0] if kept["real"].ndim == 4 else kept["real"][0], drawn.low, drawn.high)
    assert np.abs(real[0] - in_range).max() <= (drawn.high - drawn.low) / 255

    said: dict[str, str] = {}
    for name, command in {
        "info": ["data", "info", "unknown"],
        "sample": ["sample", "unknown", "-n", "4"],
        "evaluate": ["evaluate", "unknown"],
        "plot": ["logs", "unknown", "--plot"],
    }.items():
        capfd.readouterr()
        assert focus(command) == 0, capfd.readouterr().err
        said[name] = capfd.readouterr().out
        assert "of the normalised field" in said[name], name
        assert "(Mpc/h)²" not in said[name], name
    assert "PDF, W1" not in said["evaluate"]
    assert focus(["evaluate", "unknown", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["of"], report["pdf"], report["slab_mean"]) == (NORMALISED, None, None)
    assert report["power_spectrum"]["median_abs_error"] >= 0
    assert focus(["sample", "unknown", "-n", "4", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["power"]["of"] == NORMALISED
    assert (run.figs / "power_spectrum_epoch_0002.png").is_file()


def test_it_is_not_compared_by_samples(run: RunFolder, tmp_path: Path, capfd, monkeypatch):
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(tmp_path))
    (tmp_path / "other").symlink_to(run.path)
    focus(["compare", "unknown", "other"])
    said = capfd.readouterr()
    assert "stored as unknown, which have no physical P(k)" in said.out + said.err
