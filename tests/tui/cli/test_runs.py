"""The commands that make, list, follow, stop and delete experiments."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from example_events import end, worker

from focus_engine.events.epoch_block import epoch_block
from focus_engine.events.log import append_event
from focus_engine.events.table import Warned
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.launch.stop_request import read_stop_request
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


def test_new_prints_the_path_and_the_next_commands(focus, tmp_path):
    code, out, err = focus("new", "my run", "--template", "small", "--set", "training.lr=1e-3")
    assert (code, out) == (0, f"{tmp_path / 'experiments' / 'my run'}\n")
    assert "focus start 'my run'" in err
    code, _, err = focus("new", "my run")
    assert (code, "exists already" in err) == (2, True)


def test_root_is_accepted_anywhere(focus, tmp_path, monkeypatch):
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


def test_an_empty_list_names_the_command_to_start_with(focus):
    code, out, err = focus("ls")
    assert (code, out) == (0, "")
    assert "focus new experiment_diffusion" in err
    assert focus("ls", "--json")[1] == "[]\n"


def test_status_names_the_experiment_it_chose(focus):
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


def test_following_ends_when_the_worker_is_lost(focus, tmp_path, epoch):
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


def test_rm_confirms_refuses_and_deletes(focus, tmp_path, monkeypatch):
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
    assert read_stop_request(run) == "epoch"
    assert json.loads(focus("status", "a", "--json")[1])["state"] == "stopping"


def test_a_run_with_checkpoints_is_not_started_again(focus, tmp_path):
    focus("new", "a")
    (tmp_path / "experiments" / "a" / "checkpoints" / "checkpoint_last.pt").touch()
    code, _, err = focus("start", "a")
    assert code == 2
    assert "focus resume a" in err
    assert "focus new NAME --from a" in err
