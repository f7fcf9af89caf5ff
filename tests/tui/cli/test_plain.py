"""The commands that run without typer print what they print through it."""

import json

import pytest
from example_events import end, epoch, started

from focus_engine.events.log import append_event
from focus_engine.runs.folder import RunFolder
from focus_tui.cli.app import app
from focus_tui.cli.plain import run_plain


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 2e9)
    run = RunFolder(tmp_path / "experiments" / "a")
    run.make_folders()
    run.config.write_text("method: flow\n", encoding="utf-8")
    for event in (started(), epoch(1), end()):
        append_event(run.events, event)
    return run.path.parent


@pytest.mark.parametrize("words", [["ls"], ["ls", "--json", "--all"], ["status"], ["status", "a", "--json"]])
def test_a_plain_command_prints_what_typer_prints(root, capsys, words):
    arguments = ["--root", str(root), *words]
    assert run_plain(arguments)
    plain = capsys.readouterr()
    app(args=arguments, prog_name="focus", standalone_mode=False)
    assert plain == capsys.readouterr()
    assert "--json" not in words or json.loads(plain.out)


@pytest.mark.parametrize(
    "words",
    [[], ["status", "--help"], ["status", "a", "b"], ["ls", "--sort", "best"], ["start", "a", "b"], ["tui", "-x"]],
)
def test_other_forms_are_left_to_typer(root, words):
    assert not run_plain(["--root", str(root), *words])
