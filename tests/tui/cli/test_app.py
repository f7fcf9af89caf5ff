"""The commands of `focus` from outside: exit codes, data on stdout, messages on stderr, nothing written on refusal."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from focus_tui.cli.app import app


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "No such command"),
        (["ls", "--nope"], "No such option"),
        (["new"], "Missing argument"),
        (["rm"], "Missing argument"),
        (["stop"], "Missing argument"),
        (["status"], "there is no experiment"),
        (["status", "x"], "no experiment 'x'"),
        (["logs", "../x"], "no experiment"),
        (["new", ""], "name is empty"),
        (["new", "/abs"], "cannot name"),
        (["new", "a/b"], "cannot name"),
        (["new", ".."], "cannot name"),
        (["new", "--", "-x"], "starts with"),
        (["new", "a\x1b[2J"], "control characters"),
        (["new", "a", "--method", "flows"], "is unknown; allowed: diffusion, flow"),
        (["new", "a", "--template", "huge"], "allowed: diffusion, small"),
        (["new", "a", "--from", "none"], "no experiment 'none'"),
        (["new", "a", "--set", "training.lrr=1"], "did you mean 'training.lr'"),
        (["new", "a", "--set", "training.lr"], "write key=value"),
        (["sample", "x", "--eta", "3"], "--eta 3"),
        (["sample", "x", "--steps", "0"], "--steps 0"),
        (["sample", "x", "--steps", "many"], "'many'"),
        (["sample", "x", "-n", "0"], "-n 0"),
        (["sample", "x", "--params", "h=1"], "unknown parameter 'h'"),
        (["sample", "x", "-o", "a.npy"], "ends in .npz"),
        (["sample", "x"], "no experiment 'x'"),
        (["evaluate", "x", "--eta", "-1"], "--eta -1"),
        (["power", "none.npy"], "no such file"),
        (["power", "none.npy", "--box-size", "0"], "--box-size 0"),
        (["train", "--config", "none.yaml", "--exp_dir", "d"], "no such config file"),
        (["train", "--config", "none.yaml"], "needs --exp_dir"),
        (["train", "x", "--config", "none.yaml", "--exp-dir", "d"], "not both"),
        (["start", "x"], "no experiment 'x'"),
        (["resume", "x"], "no experiment 'x'"),
        (["config", "check", "none.yaml"], "no such config file"),
        (["config", "check", "x"], "no experiment 'x'"),
        (["data", "info", "x"], "no such file, folder or experiment"),
        (["data", "simulate", "--Omega_m", "0.5:0.1"], "--Omega_m"),
        (["data", "simulate", "-n", "0"], "at least 1"),
        (["data", "simulate", "--design", "XX"], "--design 'XX': unknown design; allowed: LH"),
        (["data", "simulate", "--design", "1P", "-n", "8"], "such as 7 or 9"),
        (["data", "simulate", "--design", "CV", "--sigma_8", "0.7:0.9"], "one value of each parameter"),
        (["data", "import", "a.npy", "b.txt", "--name", "../x"], "plain folder name"),
        (["--root"], "requires an argument"),
    ],
)
def test_wrong_input_is_2_with_one_message_and_nothing_written(focus, tmp_path, arguments, words):
    code, out, err = focus(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("focus: ")
    assert words in err
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["--version"], ["data", "--help"], ["config", "-h"]])
def test_help_is_plain_data(focus, arguments):
    code, out, err = focus(*arguments)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "focus" in out


@pytest.mark.parametrize("command", [command.callback.__name__ for command in app.registered_commands])
def test_every_command_explains_itself_with_an_example(focus, command):
    code, out, _ = focus(command, "--help")
    assert code == 0
    assert f"Example: focus {command}" in out


def test_a_full_disk_exits_with_1_and_leaves_no_file(tmp_path):
    """A file size limit of zero simulates a full disk."""
    environment = {**os.environ, "FOCUS_EXPERIMENTS": str(tmp_path / "experiments"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "focus_tui", "new", "a"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("focus: ")
    assert [path for path in tmp_path.rglob("*") if path.is_file() or path.name == "a"] == []


def test_a_closed_pipe_is_no_error(tmp_path):
    for number in range(300):
        (tmp_path / f"experiment-{number}").mkdir()
        (tmp_path / f"experiment-{number}" / "config.yaml").touch()
    command = [sys.executable, "-m", "focus_tui", "ls", "--json", "--root", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_config_check_tells_line_and_warnings(focus, tmp_path):
    focus("new", "a")
    code, out, err = focus("config", "check", "a")
    assert (code, err) == (0, "")
    assert "ok (diffusion, SimpleUNet" in out
    file = tmp_path / "c.yaml"
    file.write_text("data: {maps_path: none.npy, params_path: none.txt}\nsampling: {cfg_scale: 2.0}\n")
    code, out, err = focus("config", "check", file)
    assert (code, err.startswith(f"warning: {file}:2: sampling.cfg_scale")) == (0, True)
    file.write_text("training:\n  lr: fast\n")
    code, out, err = focus("config", "check", file)
    assert (code, out) == (2, "")
    assert f"{file}:2: training.lr: 'fast'" in err


def test_the_schema_is_json(focus):
    code, out, _ = focus("config", "schema")
    assert code == 0
    assert json.loads(out)["properties"]["training"]


def test_power_of_white_noise(focus, tmp_path):
    import numpy as np

    noise = 5 + np.random.default_rng(0).normal(size=(20, 16, 16))
    np.save(tmp_path / "maps.npy", noise)
    code, out, err = focus("power", "maps.npy", "--json", "--box-size", "50")
    document = json.loads(out)
    assert (code, err, document["n_maps"]) == (0, "", 20)
    assert len(document["k"]) == len(document["power_mean"]) == len(document["modes"]) == len(document["k_edges"]) - 1
    assert np.mean(document["power_mean"]) == pytest.approx((1 / 25) * 50**2 / 16**2, rel=0.1)
    code, out, err = focus("power", "maps.npy")
    assert "25 Mpc/h is assumed" in err
    assert "P(k)" in out
    np.savez(tmp_path / "maps.npz", maps=noise[:1], box_size=10.0)
    assert json.loads(focus("power", "maps.npz", "--json")[1])["power_std"][0] is None
    assert focus("power", "maps.npz", "--box-size", "20")[0] == 2
    two = np.stack([noise, 3 * noise], axis=1)
    np.savez(tmp_path / "two.npz", maps=two, box_size=10.0, fields=np.array(["Mcdm", "T"]))
    first, second = json.loads(focus("power", "two.npz", "--json")[1])["fields"]
    assert (first["name"], second["name"]) == ("Mcdm", "T")
    assert first["power"]["power_mean"] == pytest.approx(second["power"]["power_mean"])
    assert "two.npz, T: 20 maps" in focus("power", "two.npz")[1]


@pytest.mark.parametrize(("design", "n_maps"), [("CV", 27), ("1P", 9), ("EX", 4)])
def test_a_design_has_its_own_number_of_universes_and_is_named_by_info(focus, design, n_maps):
    code, out, _ = focus("data", "simulate", "set", "--design", design, "--grid", "4", "--maps-per-simulation", "3")
    assert (code, out) == (0, "set\n")
    code, out, _ = focus("data", "info", "set", "--maps-per-simulation", "3")
    assert code == 0
    assert f"{n_maps * 3} maps of {n_maps} simulations (3 each): {design} (" in out


def test_data_are_simulated_described_and_imported(focus, tmp_path):
    (tmp_path / "experiments").mkdir()
    wanted = ["-n", "4", "--grid", "8", "--maps-per-simulation", "3", "--seed", "1"]
    code, out, err = focus("data", "simulate", *wanted)
    assert (code, out) == (0, f"{tmp_path / 'data' / 'simulated'}\n")
    assert "maps_path: " in err
    made = files(tmp_path / "data")
    assert focus("data", "simulate", *wanted)[0] == 0
    assert files(tmp_path / "data") == made
    assert focus("data", "simulate", *wanted[:-1], "2")[0] == 2  # another set is there
    code, out, _ = focus("data", "info", "simulated", "--maps-per-simulation", "3")
    assert code == 0
    for words in ("12 maps of 4 simulations", "(1, 8, 8) float32", "Omega_m", "P(k)"):
        assert words in out
    maps, params = next((tmp_path / "data").rglob("*aps*.npy")), next((tmp_path / "data").rglob("params*.txt"))
    code, out, _ = focus("data", "import", maps, params, "--name", "mine", "--maps-per-simulation", "3")
    assert (code, out) == (0, f"{tmp_path / 'data' / 'mine'}\n")
    before = files(tmp_path / "data")
    assert focus("data", "import", maps, params, "--name", "mine", "--maps-per-simulation", "3")[0] == 2
    assert files(tmp_path / "data") == before


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "focus_tui", "--version"], capture_output=True, text=True, check=True)
    script = shutil.which("focus", path=Path(sys.executable).parent)
    assert done.stdout.startswith("focus 0.")
    if script is not None:
        assert subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout == done.stdout


def test_a_sweep_is_shown_before_it_is_made(focus, tmp_path):
    focus("new", "base", "--template", "small")
    grid = ("--grid", "training.lr=1e-4,3e-4", "--grid", "training.batch_size=8,16")
    code, out, _ = focus("sweep", "base", *grid, "--dry-run")
    assert (code, len(out.splitlines())) == (0, 4)
    assert out.splitlines()[0] == "base_lr1e-4_batch_size8  training.lr=1.0e-4  training.batch_size=8"
    assert [path.name for path in (tmp_path / "experiments").iterdir() if path.name.startswith("base_")] == []
    code, _, err = focus("sweep", "base", "--grid", "training.lr=1e-4", "--no-start", "--name", "other")
    assert (code, err.splitlines()[-1]) == (0, "made 1 experiment, tag sweep-other")
    assert focus("ls", "--filter", "tag:sweep-other", "--columns", "name")[1].split() == ["NAME", "other_lr1e-4"]
    code, _, err = focus("sweep", "base", "--grid", "training.lr=1e-4,3e-4", "--no-start", "--name", "other")
    assert (code, "other_lr1e-4 exists already" in err) == (2, True)
    code, out, _ = focus(
        "sweep", "base", "--grid", "training.lr=1e-4,3e-4", "--no-start", "--name", "other", "--missing"
    )
    assert (code, out.split()[0]) == (0, "other_lr3e-4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "base"], "at least one --grid"),
        (["sweep", "base", "--grid", "training.l=1,2"], "unknown key 'training.l'"),
        (["sweep", "base", "--grid", "training.lr=1e-4,fast"], "training.lr"),
        (["sweep", "base", "--grid", "training.seed=" + ",".join(map(str, range(51)))], "give --yes"),
    ],
)
def test_a_wrong_sweep_is_refused(focus, arguments, message):
    focus("new", "base", "--template", "small")
    code, _, err = focus(*arguments)
    assert (code, message in err) == (2, True)


def test_a_wrong_number_of_slots_is_refused_before_anything_starts(focus, monkeypatch):
    focus("new", "base", "--template", "small")
    monkeypatch.setenv("FOCUS_SLOTS", "many")
    code, _, err = focus("start", "base")
    assert (code, err.startswith("focus: FOCUS_SLOTS='many'")) == (2, True)
    assert focus("status", "base")[1].splitlines()[1].endswith("created")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["start", "base", "--partition", "gpu"], "--partition: only with --slurm"),
        (["resume", "base", "--time", "60", "--sbatch", "mem=1G"], "--time, --sbatch: only with --slurm"),
        (["start", "base", "--slurm", "--gpu", "1"], "--gpu: not with --slurm"),
        (["start", "base", "--slurm", "--queue"], "--queue: not with --slurm"),
        (["start", "base", "--slurm", "--time", "soon"], "--time 'soon'"),
        (["start", "base", "--gpus", "2", "--gpu", "1"], "not both"),
        (["start", "base", "--gpus", "64"], "--gpus 64: "),
        (["compare", "base", "other", "--gpus", "0"], "--gpus 0"),
    ],
)
def test_wrong_devices_are_refused(focus, arguments, message):
    focus("new", "base", "--template", "small")
    code, _, err = focus(*arguments)
    assert (code, message in err) == (2, True), err
