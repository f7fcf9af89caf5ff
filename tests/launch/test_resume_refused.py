"""What `focus resume` refuses before a worker starts."""

from pathlib import Path

import pytest
from example_events import end, epoch, started, worker

from focus_engine.config.load import load_config
from focus_engine.config.schema import plain_config
from focus_engine.errors import RunConflictError
from focus_engine.events.log import append_event
from focus_engine.launch.start import start_run
from focus_engine.runs.folder import RunFolder
from focus_tui.__main__ import run as focus
from focus_tui.compute.demo import LIMIT, LONGER, TEMPLATE

CONFIG = "training: {max_minutes: 5, num_epochs: 1000, scheduler: {name: linear}}\n"


def test_the_remedy_of_the_demo_trains_longer(tmp_path: Path):
    assert focus(["--root", str(tmp_path), "new", "demo", "--template", TEMPLATE, "--set", LIMIT]) == 0
    assert load_config(tmp_path / "demo" / "config.yaml").config.training.max_minutes == 2
    assert focus(["--root", str(tmp_path), "new", "mine", "--from", "demo", *LONGER.split()]) == 0
    training = load_config(tmp_path / "mine" / "config.yaml").config.training
    assert (training.num_epochs, training.max_minutes) == (100, None)


@pytest.mark.parametrize("last", [3, 1000])
def test_a_run_whose_minutes_are_used_needs_more_of_them(tmp_path: Path, last: int):
    run = RunFolder(tmp_path / "used")
    run.path.mkdir()
    run.make_folders()
    run.config.write_text(CONFIG)
    run.checkpoint_last.write_bytes(b"")
    trained = plain_config(load_config(run.config).config)
    run.config.write_text(CONFIG.replace("1000", "2000"))
    for event in (worker(), started(config=trained), epoch(last), end("finished", "time limit of 5 min")):
        append_event(run.events, event)
    with pytest.raises(RunConflictError, match=r"is finished \(time limit of 5 min\): raise training\.max_minutes"):
        start_run(run, resume=True)
