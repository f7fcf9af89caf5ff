"""Settings that no training begins with: refused early, and read again in runs that have them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from focus_engine.config.beginning import beginning_laws, check_beginning
from focus_engine.config.schema import Config
from focus_engine.config.templates import TEMPLATES, template_config
from focus_engine.errors import InputError
from focus_engine.runs.create import create_experiment
from focus_engine.runs.folder import RunFolder
from focus_tui.__main__ import run as focus

BLIND: dict[str, Any] = {"training.cfg_prob": 0.0, "sampling.cfg_scale": 2.0}
NO_START: dict[str, Any] = {"diffusion.min_snr_gamma": 5.0, "diffusion.min_snr_offset": 0.0}
ODD: dict[str, Any] = {"data.map_size": 34}
CASES = [
    (BLIND, "sampling.cfg_scale is 2, .*: use cfg_scale 1, or cfg_prob 0.1"),
    (NO_START, "min_snr_offset to 1"),
    (ODD, "data.map_size is 34, but .* 3 levels, .*: use a multiple of 4, or fewer levels"),
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_begins(template: str):
    check_beginning(template_config(template, {}))


@pytest.mark.parametrize(
    "changes",
    [
        BLIND | {"training.cfg_prob": 0.1},
        BLIND | {"sampling.cfg_scale": 1.0},
        BLIND | {"model.cond_dim": 0},  # without parameters both conditions are one
        NO_START | {"diffusion.min_snr_offset": 1.0},
        NO_START | {"diffusion.zero_terminal_snr": False},
        {"diffusion.min_snr_offset": 0.0},
        ODD | {"model.channel_mults": (1, 2)},
        ODD | {"data.source": "files", "data.maps_path": "maps.npy", "data.params_path": "params.txt"},
        ODD | {"model.from": "DiT", "model.dit.patch": 2},
    ],
)
def test_what_trains_is_allowed(changes: dict[str, Any]):
    check_beginning(template_config("small", changes))


@pytest.mark.parametrize(("changes", "words"), CASES)
def test_what_does_not_is_refused_with_every_key_and_a_remedy(changes: dict[str, Any], words: str):
    with pytest.raises(InputError, match=f"c.yaml: .*{words}") as refused:
        check_beginning(template_config("small", changes), "c.yaml")
    assert set(changes) <= set(refused.value.problems[0].keys)


def test_the_weights_of_another_method_do_not_matter():
    keys = {"zero_terminal_snr": True, "prediction": "v", "min_snr_gamma": 5.0}
    assert all(holds for holds, _, _ in beginning_laws(Config.model_validate({"method": "flow", "diffusion": keys})))


@pytest.mark.parametrize(("changes", "words"), CASES)
def test_a_run_that_began_so_is_read_and_a_new_one_refused(changes: dict[str, Any], words: str, tmp_path: Path, capfd):
    settings = [f"--set={key}={value}" for key, value in changes.items()]
    assert focus(["--root", str(tmp_path), "new", "a", "--template", "small", *settings]) == 2
    assert not (tmp_path / "a").exists()
    run = create_experiment(tmp_path, "b", template="small")
    text = run.config.read_text()
    for key, value in changes.items():
        name = key.rpartition(".")[2]
        lines = [f"  {name}: {value}" if name in line.split(":")[0] else line for line in text.splitlines()]
        text = "\n".join(lines)
    run.config.write_text(text)
    for command in (["config", "check"], ["check"], ["start"]):
        capfd.readouterr()
        assert focus(["--root", str(tmp_path), *command, "b"]) == 2
        assert f"focus: {run.config}: " in (told := capfd.readouterr().err)
        assert words.rpartition(".*")[2] in told
    old = Path(__file__).parents[1] / "old_run/experiments/stopped"
    shutil.copytree(old / "checkpoints", RunFolder(run.path).checkpoint_last.parent, dirs_exist_ok=True)
    assert focus(["--root", str(tmp_path), "config", "check", "b"]) == 0
