"""`notify.command`: whose is run, what it is told, once for a loss; its failures do not affect the run."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from example_events import epoch, started, worker

from focus_engine.launch import notify as module
from focus_engine.launch.lost import claim_lost, tell_lost
from focus_engine.launch.notify import notify
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder


@pytest.fixture
def run(tmp_path):
    """A run whose command is set by `command`."""
    folder = RunFolder(tmp_path / "my run")
    folder.path.mkdir()
    return folder


def set_command(run, command):
    run.config.write_text(f"notify:\n  command: {command!r}\n", encoding="utf-8")


def test_the_outcome_is_in_the_environment(run, tmp_path):
    set_command(run, f'echo "$FOCUS_NAME|$FOCUS_STATE|$FOCUS_REASON|$FOCUS_EPOCH|$FOCUS_PATH" > {tmp_path}/told')
    notify(run, state="early_stopped", reason="no improvement; $(rm -rf x)", epoch=7)
    assert (tmp_path / "told").read_text() == f"my run|early_stopped|no improvement; $(rm -rf x)|7|{run.path}\n"


def test_a_failing_command_is_named_and_no_more(run, capfd):
    set_command(run, "exit 3")
    notify(run, state="finished", reason="", epoch=1)
    assert "notify.command: ended with code 3" in capfd.readouterr().err


def test_a_hanging_command_is_ended_with_its_children(run, tmp_path, monkeypatch, capfd, until):
    assert module.NOTIFY_SECONDS == 60.0
    monkeypatch.setattr(module, "NOTIFY_SECONDS", 0.3)
    set_command(run, f"sleep 1000 & echo $! > {tmp_path}/pid; wait")
    notify(run, state="finished", reason="", epoch=1)
    assert "still not done" in capfd.readouterr().err
    pid = int((tmp_path / "pid").read_text())
    try:
        until(lambda: process_start(pid) is None, 10)
    finally:
        if process_start(pid) is not None:
            os.kill(pid, signal.SIGKILL)


def settings_file(text):
    path = Path(os.environ["FOCUS_TUI_CONFIG"])
    path.write_text(text, encoding="utf-8")


def test_the_command_of_the_settings_tells_where_the_config_names_none(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FOCUS_TUI_CONFIG", str(tmp_path / "tui.yaml"))
    run.config.write_text("method: flow\n", encoding="utf-8")
    notify(run, state="finished", reason="", epoch=1)  # there is no such file
    settings_file(f"notify: {{command: 'echo settings $FOCUS_STATE >> {tmp_path}/told'}}\n")
    config = f"notify: {{command: 'echo config $FOCUS_STATE >> {tmp_path}/told'}}\n"
    for text in ("method: flow\n", "notify: [", config):
        run.config.write_text(text, encoding="utf-8")
        notify(run, state="finished", reason="", epoch=1)
    for text in ("notify: 3\n", "notify: {command: [rm]}\n", "a: [\n", "\0"):
        settings_file(text)
        run.config.write_text("method: flow\n", encoding="utf-8")
        notify(run, state="finished", reason="", epoch=1)
    assert (tmp_path / "told").read_text() == "settings finished\nsettings finished\nconfig finished\n"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, which gives a file to another user")
def test_the_command_in_the_config_of_another_user_is_not_run(run, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("FOCUS_TUI_CONFIG", str(tmp_path / "tui.yaml"))
    settings_file(f"notify: {{command: 'echo mine >> {tmp_path}/told'}}\n")
    set_command(run, f"echo theirs >> {tmp_path}/told")
    os.chown(run.config, 54_321, 54_321)
    notify(run, state="finished", reason="", epoch=1)
    assert f"{run.config} belongs to another user" in capfd.readouterr().err
    monkeypatch.setenv("FOCUS_TRUST", "1")
    notify(run, state="finished", reason="", epoch=1)
    assert (tmp_path / "told").read_text() == "mine\ntheirs\n"


def lost_run(run, tmp_path, epochs=1):
    """Make `run` one whose worker was killed."""
    dead = subprocess.Popen(["/bin/true"])
    identity = ProcessIdentity(dead.pid, host_name(), boot_id(), "0", 1.5)
    dead.wait()
    run.make_folders()
    set_command(run, f'echo "$FOCUS_STATE $FOCUS_EPOCH $FOCUS_REASON" >> {tmp_path}/told')
    run.worker.write_text(identity.to_json())
    run.events.write_text("".join(f"{one.to_json()}\n" for one in (worker(identity), started(), epoch(epochs))))
    return summarise(run)


def test_of_many_that_notice_a_loss_one_tells_it_and_again_for_the_next_worker(run, tmp_path):
    summary = lost_run(run, tmp_path)
    assert summary.state == "lost"
    with ThreadPoolExecutor(8) as many:
        assert sum(many.map(lambda _: claim_lost(run, summary), range(40))) == 1
    assert not claim_lost(run, replace(summary, state="running"))
    run.worker.write_text(run.worker.read_text().replace("1.5", "2.5"))  # resumed, and lost again
    os.utime(run.worker, (0, time.time() - 86_400 - 60))
    tell_lost(run, summary)  # more than a day ago
    assert not (tmp_path / "told").exists()
    os.utime(run.worker, (0, time.time() - 86_400 + 600))
    tell_lost(run, summary)
    tell_lost(run, summary)
    told = (tmp_path / "told").read_text().splitlines()
    assert len(told) == 1
    assert told[0].startswith("lost 1 its worker (process ")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, which gives a file to another user")
def test_a_loss_of_another_user_is_not_ours_to_tell(run, tmp_path):
    summary = lost_run(run, tmp_path)
    os.chown(run.worker, 54_321, 54_321)
    assert not claim_lost(run, summary)
    assert not list(run.logs.glob("lost-*"))


def test_a_config_that_broke_meanwhile_tells_nobody(run):
    run.config.write_text("notify: [", encoding="utf-8")
    notify(run, state="finished", reason="", epoch=1)
