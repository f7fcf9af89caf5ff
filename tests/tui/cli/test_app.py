"""The commands of `focus` from outside: exit codes, stdout for data, stderr for words, nothing written when refused."""

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from example_events import end, worker

from focus_engine.events.epoch_block import epoch_block
from focus_engine.events.log import append_event
from focus_engine.events.table import Warned
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.runs.folder import RunFolder
from focus_tui.cli.app import app


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def started(run, pid):
    """Write what a worker with this pid would have written."""
    run.make_folders()
    who = ProcessIdentity(pid, host_name(), boot_id(), process_start(pid), time.time())
    run.worker.write_text(who.to_json(), encoding="utf-8")
    append_event(run.events, worker(who))


# ------------------------------------------------------------------ the border


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


def test_the_disks_fault_is_1_and_leaves_nothing(tmp_path):
    """A file size limit of zero stands in for a full disk."""
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


def test_a_reader_that_leaves_is_no_error(tmp_path):
    for number in range(300):
        (tmp_path / f"experiment-{number}").mkdir()
        (tmp_path / f"experiment-{number}" / "config.yaml").touch()
    command = [sys.executable, "-m", "focus_tui", "ls", "--json", "--root", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


# ------------------------------------------------------------------ experiments


def test_new_prints_the_path_and_what_comes_next(focus, tmp_path):
    code, out, err = focus("new", "my run", "--template", "small", "--set", "training.lr=1e-3")
    assert (code, out) == (0, f"{tmp_path / 'experiments' / 'my run'}\n")
    assert "focus start 'my run'" in err
    code, _, err = focus("new", "my run")
    assert (code, "exists already" in err) == (2, True)


def test_the_root_may_stand_anywhere(focus, tmp_path, monkeypatch):
    for arguments in (["--root", "r", "new", "a"], ["new", "b", "--root", "r"], ["new", "--root=r", "c"]):
        assert focus(*arguments)[0] == 0
    assert sorted(run["name"] for run in json.loads(focus("ls", "--json", "--root", "r")[1])) == ["a", "b", "c"]
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(tmp_path / "r"))
    assert len(json.loads(focus("ls", "--json")[1])) == 3


def test_ls_is_the_same_with_and_without_typer(focus, capfd):
    focus("new", "a")
    focus("new", "한글")
    for flags in ([], ["--json"]):
        fast = focus("ls", *flags)
        capfd.readouterr()
        app(args=["ls", *flags], standalone_mode=False)
        assert fast == (0, *capfd.readouterr())
        assert "한글" in fast[1]


def test_an_empty_list_teaches(focus):
    code, out, err = focus("ls")
    assert (code, out) == (0, "")
    assert "focus new experiment_diffusion" in err
    assert focus("ls", "--json")[1] == "[]\n"


def test_status_says_which_experiment_it_took(focus):
    focus("new", "a")
    code, out, err = focus("status", "--json")
    assert (code, json.loads(out)["name"], json.loads(out)["state"]) == (0, "a", "created")
    assert err == "experiment a\n"
    assert "○ created" in focus("status", "a")[1]


def test_logs_are_the_epoch_blocks_byte_for_byte(focus, tmp_path, epoch):
    focus("new", "a")
    run = RunFolder(tmp_path / "experiments" / "a")
    code, out, err = focus("logs", "a")
    assert (code, out) == (0, "")
    assert "has not started" in err
    started(run, os.getpid())
    epochs = [epoch, replace(epoch, epoch=2, is_best=False), replace(epoch, epoch=3, phase="training")]
    for event in epochs:
        append_event(run.events, event)
    append_event(run.events, Warned(code="x", message="beware \x1b[2J"))
    append_event(run.events, end())
    code, out, err = focus("logs", "a")
    assert (code, out) == (0, "".join(map(epoch_block, epochs)))
    assert "warning: beware \\x1b[2J" in err
    assert "finished after epoch 3: all epochs" in err
    assert focus("logs", "a", "-n", "1")[1] == epoch_block(epochs[2])
    assert focus("logs", "a", "-n", "0")[1] == ""
    assert focus("logs", "-f", "a")[1] == out
    lines = focus("logs", "a", "--events")[1].splitlines()
    assert [json.loads(line)["type"] for line in lines] == [
        "worker_starting",
        *["epoch_finished"] * 3,
        "warning",
        "run_ended",
    ]


def test_following_ends_when_the_worker_is_gone(focus, tmp_path, epoch):
    focus("new", "a")
    run = RunFolder(tmp_path / "experiments" / "a")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started(run, process.pid)
        process.kill()
    append_event(run.events, epoch)
    code, out, err = focus("logs", "-f", "a")
    assert (code, out) == (0, epoch_block(epoch))
    assert "-- lost: " in err


@pytest.mark.process
def test_ctrl_c_leaves_a_followed_run_alone(tmp_path, epoch):
    run = RunFolder(tmp_path / "a")
    run.make_folders()
    run.config.touch()
    started(run, os.getpid())
    append_event(run.events, epoch)
    command = [sys.executable, "-m", "focus_tui", "logs", "-f", str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"=" * 80 + b"\n"
            for _ in range(9):
                process.stdout.readline()
            append_event(run.events, replace(epoch, epoch=2))
            assert process.stdout.readline() == b"=" * 80 + b"\n"  # it follows
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
            assert b"Traceback" not in process.stderr.read()
        finally:
            process.kill()  # it would follow for ever
    assert not run.stop_request.exists()


def test_rm_asks_refuses_and_deletes(focus, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        focus("new", name)
    root = tmp_path / "experiments"
    before = files(root)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, err = focus("rm", "a")
    assert (code, "--yes" in err) == (2, True)
    (root / "link").symlink_to(root / "a")
    assert focus("rm", "link", "--yes")[0] == 2
    assert focus("rm", "a", "none", "--yes")[0] == 2
    (tmp_path / "notes").mkdir()
    assert focus("rm", "./notes", "--yes")[0] == 2
    (root / "link").unlink()
    assert files(root) == before
    assert focus("rm", "a", "b", "--yes")[0] == 0
    assert sorted(path.name for path in root.iterdir()) == [".focus", "c"]


def test_a_live_run_is_neither_deleted_nor_started_again(focus, tmp_path):
    focus("new", "a")
    run = RunFolder(tmp_path / "experiments" / "a")
    started(run, os.getpid())
    for command in (["rm", "a", "--yes"], ["start", "a"], ["resume", "a"], ["train", "a"]):
        code, _, err = focus(*command)
        assert code == 2
        assert "starting" in err
    assert run.config.is_file()


def test_stop_needs_a_run_that_runs(focus, tmp_path):
    focus("new", "a")
    code, _, err = focus("stop", "a")
    assert (code, "does not run: it is created" in err) == (2, True)
    run = RunFolder(tmp_path / "experiments" / "a")
    started(run, os.getpid())
    code, _, err = focus("stop", "a")
    assert (code, "stops after epoch 1" in err) == (0, True)
    assert run.stop_request.read_text(encoding="ascii") == "epoch\n"
    assert json.loads(focus("status", "a", "--json")[1])["state"] == "stopping"


def test_a_run_with_checkpoints_is_not_started_anew(focus, tmp_path):
    focus("new", "a")
    (tmp_path / "experiments" / "a" / "checkpoints" / "checkpoint_last.pt").touch()
    code, _, err = focus("start", "a")
    assert code == 2
    assert "focus resume a" in err
    assert "focus new NAME --from a" in err


# ------------------------------------------------------------------ config, data, power


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


def test_data_are_made_looked_at_and_brought_in(focus, tmp_path):
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
        (["sweep", "base", "--grid", "training.seed=" + ",".join(map(str, range(51)))], "say --yes"),
    ],
)
def test_a_sweep_that_cannot_be(focus, arguments, message):
    focus("new", "base", "--template", "small")
    code, _, err = focus(*arguments)
    assert (code, message in err) == (2, True)


def test_a_number_of_slots_that_is_none_is_told_before_anything_starts(focus, monkeypatch):
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
    ],
)
def test_devices_that_cannot_be(focus, arguments, message):
    focus("new", "base", "--template", "small")
    code, _, err = focus(*arguments)
    assert (code, message in err) == (2, True), err
