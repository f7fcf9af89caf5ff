"""The form of the Sample screen without a screen: its request, its command, and the charts of its result."""

from pathlib import Path

import numpy as np
import pytest
from dashboard import view_from
from example_events import spectrum

from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.jobs import SampledPower
from focus_tui.dashboard.sample_form import ModelFacts, command_of, sample_request
from focus_tui.dashboard.screens.sample import no_checkpoint_words
from focus_tui.dashboard.widgets.form_result import fitting, power_text, read_maps

EMPTY = {
    "checkpoint": "best",
    "sampler": "",
    "steps": "",
    "nfe": "",
    "eta": "",
    "guidance": "",
    "prior": "",
    "maps": "",
    "seed": "",
    "gpus": "",
    "params": "",
}
FACTS = ModelFacts(fitting=("ddim", "ddpm"), steps={"ddim": 50}, names=("Omega_m", "sigma_8"), seen=((0.3, 0.8),))


def want(**values):
    return sample_request({**EMPTY, **values}, FACTS)


@pytest.mark.parametrize(
    ("values", "key", "words"),
    [
        ({"steps": "0"}, "steps", "give a whole number >= 1"),
        ({"steps": "ten"}, "steps", "'ten' is not a whole number"),
        ({"gpus": "0"}, "gpus", "give a whole number >= 1"),
        ({"nfe": "0"}, "nfe", "give a whole number >= 1"),
        ({"nfe": "10", "steps": "5"}, "nfe", "--nfe and --steps are both given"),
        ({"eta": "2"}, "eta", "from 0"),
        ({"eta": "nan"}, "eta", "from 0"),
        ({"eta": "0", "sampler": "ddpm"}, "eta", "always has eta 1"),
        ({"guidance": "-1"}, "guidance", "give a number >= 0"),
        ({"guidance": "inf"}, "guidance", "give a number >= 0"),
        ({"maps": "-4"}, "maps", "give a whole number >= 1"),
        ({"seed": "-1"}, "seed", "from 0 to"),
        ({"params": "given", "param.Omega_m": "", "param.sigma_8": "1"}, "param.Omega_m", "is not a number"),
        ({"params": "given", "param.Omega_m": "0,3", "param.sigma_8": "1"}, "param.Omega_m", "NAME=VALUE"),
    ],
)
def test_each_field_is_checked_as_on_the_command_line(values, key, words):
    problems = want(**values).problems
    assert list(problems) == [key]
    assert words in problems[key]
    assert not problems[key].startswith("-") or "both" in words


def test_all_wrong_fields_are_reported():
    assert set(want(steps="x", eta="7", seed="-2").problems) == {"steps", "eta", "seed"}


def test_guidance_that_distorts_the_density_gives_a_warning_only():
    assert "changes the density" in want(guidance="2").warnings["guidance"]
    assert want(guidance="1.0").warnings == {}
    config = ModelFacts(guidance=2.0)
    assert "(the config's)" in sample_request(EMPTY, config).warnings["guidance"]
    assert sample_request({**EMPTY, "guidance": "1"}, config).warnings == {}


def test_the_command_holds_only_changed_options():
    assert command_of("alpha", want().arguments) == "focus sample alpha"
    assert command_of("두 번째", want(seed="0", steps="20").arguments) == "focus sample '두 번째' --steps 20"
    given = want(params="given", **{"param.Omega_m": "0.3", "param.sigma_8": "0.8"}, maps="4", checkpoint="last")
    assert given.arguments == ("--checkpoint", "last", "-n", "4", "--params", "Omega_m=0.3,sigma_8=0.8")


def test_the_command_is_parsed_as_the_form_intended(monkeypatch, tmp_path):
    import shlex

    from focus_tui.__main__ import run as focus
    from focus_tui.cli import maps as cli_maps

    taken = []
    monkeypatch.setattr(cli_maps, "chosen_model", lambda _, exp: RunFolder(tmp_path / str(exp)))
    monkeypatch.setattr("focus_tui.compute.sampling.sample", lambda run, options: taken.append((run.name, options)))
    values = {
        "steps": "20",
        "eta": "0.5",
        "sampler": "ddim",
        "guidance": "1.5",
        "prior": "white",
        "maps": "3",
        "seed": "9",
        "gpus": "2",
    }
    line = want(**values, params="given", **{"param.Omega_m": "0.3", "param.sigma_8": "8e-1"}).arguments
    assert focus(shlex.split(command_of("a b", line))[1:]) == 0
    name, options = taken[0]
    assert name == "a b"
    assert (options.steps, options.eta, options.sampler, options.guidance) == (20, 0.5, "ddim", 1.5)
    assert (options.n_maps, options.seed, options.checkpoint, options.gpus) == (3, 9, "best", 2)
    assert options.prior == "white"
    assert options.params == (("Omega_m", 0.3), ("sigma_8", 0.8))


def test_maps_fill_the_height_and_as_many_stand_side_by_side_as_fit():
    assert fitting(66, 16, (32, 32), 4) == 2
    assert fitting(20, 40, (32, 32), 4) == 1
    assert fitting(300, 16, (32, 32), 4) == 4
    for width, height in ((5, 3), (1, 1), (80, 10), (200, 60)):
        assert 1 <= fitting(width, height, (256, 256), 9) <= 9


POWER = SampledPower(k=(*spectrum(3).power.k, 6.0), mean=(100.0, 50.0, 20.0, 1.0), std=None, k_nyquist=4.0)


def test_samples_are_drawn_over_real_maps_where_the_bins_agree():
    assert "real" in power_text(POWER, spectrum(3).power, 80, 24, color=False)
    other = spectrum(3, ratio=(1.0, 1.0)).power
    shifted = SampledPower(k=(0.6, 1.1), mean=(100.0, 50.0), std=(1.0, 1.0), k_nyquist=4.0)
    assert "real" not in power_text(shifted, other, 80, 24, color=False)
    assert "P(k) of the samples" in power_text(POWER, None, 80, 24, color=False)
    assert "below zero" in power_text(None, None, 80, 24, color=False)


def write_maps(path: Path, maps: np.ndarray) -> Path:
    np.savez(path, maps=maps, params=np.full((len(maps), 2), 0.3), param_names=np.array(["Omega_m", "sigma_8"]))
    return path


def test_one_colour_scale_for_all_maps_and_the_first_channel(tmp_path):
    maps = np.geomspace(1e9, 1e13, 100 * 2 * 8 * 8).reshape(100, 2, 8, 8).astype(np.float32)
    drawn = read_maps(write_maps(tmp_path / "a.npz", maps))
    assert drawn.maps.shape == (64, 8, 8)
    assert drawn.total == 100
    np.testing.assert_array_equal(drawn.maps[1], maps[1, 0])
    assert drawn.low < np.median(drawn.maps) < drawn.high
    np.savez(tmp_path / "b.npz", other=maps)
    with pytest.raises(ValueError, match="not a file of focus sample"):
        read_maps(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("created", "s            starts it"),
        ("failed", "restarts it"),
        ("running", "It is running"),
        (None, "being read"),
    ],
)
def test_a_missing_checkpoint_is_reported_with_a_remedy(state, words):
    summary = None if state is None else view_from([], state=state).summary
    assert words in no_checkpoint_words(RunFolder(Path("/x/alpha")), summary)
