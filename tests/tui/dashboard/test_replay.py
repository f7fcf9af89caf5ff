"""The recording and its replay: real events, a real process, the usual liveness check."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from focus_engine.events.log import read_events
from focus_engine.events.table import EpochFinished, RunEnded, RunStarted, SamplesDrawn
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.start import request_stop
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder, list_runs
from focus_tui.dashboard.replay import MAX_GAP, recordings, replayed, timeline
from focus_tui.view.run_view import RunView, fold


def test_the_recording_shows_what_a_newcomer_should_see():
    main = recordings()[-1]
    view = fold(RunView(summary=RunSummary(name=main.name, path="/x")), main.events)
    assert view.warmup_epochs > 0
    assert view.cuts
    assert view.resumed_after
    assert view.ended is not None
    assert view.ended.state == "early_stopped"
    assert len(view.spectra) > 5
    assert len(view.samples) > 5


def test_the_recording_names_no_machine():
    for run in recordings():
        assert "/tmp" not in run.config
        for event in run.events:
            assert not isinstance(event, RunStarted) or event.git_commit is None
            assert getattr(event, "host", "recording") == "recording"


def test_gaps_are_cut_and_times_scaled():
    played = timeline([100.0, 101.0, 101.0 + 1000 * MAX_GAP, 102.0 + 1000 * MAX_GAP], 14.0)
    assert played == pytest.approx([0.0, 2.0, 12.0, 14.0])
    assert timeline([], 10.0) == []
    assert timeline([5.0, 5.0], 10.0) == [0.0, 0.0]


def test_plays_every_event(until):
    with replayed(speed=1000) as root:
        names = {run.name: summarise(run).state for run in list_runs(root)}
        *finished, main = recordings()
        assert all(names[run.name] == "finished" for run in finished)
        run = RunFolder(root / main.name)
        until(lambda: read_events(run.events) and isinstance(read_events(run.events)[-1], RunEnded), 60)
        played = read_events(run.events)
    assert [event.type for event in played] == [event.type for event in main.events]
    epochs = [event.val_loss for event in played if isinstance(event, EpochFinished)]
    assert epochs == [event.val_loss for event in main.events if isinstance(event, EpochFinished)]
    assert any(isinstance(event, SamplesDrawn) for event in played)
    assert not root.exists()


def test_a_stop_request_ends_the_player(until):
    with replayed(speed=1) as root:
        run = RunFolder(root / recordings()[-1].name)
        until(lambda: summarise(run).state == "running")
        identity = ProcessIdentity.read(run.worker)
        request_stop(run, "now")
        until(lambda: summarise(run).state == "stopped")
        assert identity is not None
        assert identity.pid != os.getpid()
    assert identity.life() == "dead"


def test_the_player_ends_with_its_parent(until):
    code = (
        "import os, sys; from focus_tui.dashboard.replay import replayed; c = replayed(1.0); root = c.__enter__(); "
        "print(root, flush=True); sys.stdin.readline(); os._exit(1)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdin is not None
    root = child.stdout.readline().strip()
    run = next(run for run in list_runs(Path(root)) if run.name == recordings()[-1].name)
    until(lambda: ProcessIdentity.read(run.worker) is not None)
    identity = ProcessIdentity.read(run.worker)
    child.stdin.write("\n")
    child.stdin.close()
    child.wait()
    child.stdout.close()
    until(lambda: identity.life() == "dead")
    shutil.rmtree(root.removesuffix("/experiments"))
