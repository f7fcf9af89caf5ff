"""`notify.command`: it gets the outcome in its environment, and its failures do not affect the run."""

import os
import signal

import pytest

from focus_engine.launch.process import process_start
from focus_engine.runs.folder import RunFolder
from focus_engine.worker import notify as module
from focus_engine.worker.notify import notify


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


def test_a_config_that_broke_meanwhile_tells_nobody(run):
    run.config.write_text("notify: [", encoding="utf-8")
    notify(run, state="finished", reason="", epoch=1)
