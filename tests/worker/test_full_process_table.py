"""A process table that fills up while a run trains: it says so, saves, and draws its figures itself."""

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from other_users import BOB, as_user
from preload import load_figures, load_optimiser
from workers import ignore, write_config

from focus_engine.events.log import read_events
from focus_engine.events.table import CheckpointSaved, Event, RunEnded, RunStarted, Warned
from focus_engine.runs.folder import RunFolder
from focus_engine.training import pace
from focus_engine.worker.artist import Artist
from focus_engine.worker.foreground import run_in_foreground

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, which becomes a user with a limit of processes"),
]
DATA = "simulations: 8, grid: 8, map_size: 8, maps_per_simulation: 15, train_split: 0.6"


@pytest.fixture
def his(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunFolder]:
    """A run of Bob, in a folder of his."""
    folder = Path(tempfile.mkdtemp(prefix="focus-full-")).resolve()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("FOCUS_CACHE", str(folder / "cache"))
    run = RunFolder(folder / "x")
    run.path.mkdir()
    write_config(run, sample_every=2, more="checkpoint_minutes: 1.0e-5", data=DATA)
    yield run
    shutil.rmtree(folder)


def test_a_table_that_fills_up_costs_neither_figures_nor_checkpoints(his: RunFolder, capfd: pytest.CaptureFixture[str]):
    load_optimiser()
    load_figures()
    like_his = RunFolder(his.path.with_name("y"))
    shutil.copytree(his.path, like_his.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Artist, "_start", lambda _: None)
        run_in_foreground(like_his, on_event=ignore)  # imports what he may not be allowed to read
    for path in (his.path.parent, *his.path.parent.rglob("*")):
        os.chown(path, BOB, BOB)

    def train() -> Any:
        pace.PROGRESS_SECONDS = 0.0

        def watch(event: Event) -> None:
            if isinstance(event, RunStarted):
                resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))

        return run_in_foreground(his, on_event=watch).state

    assert as_user(BOB, train) == "finished"
    assert "Traceback" not in capfd.readouterr().err
    events = read_events(his.events)
    warned = [one for one in events if isinstance(one, Warned)]
    assert [one.code for one in warned] == ["figures"], warned
    assert "no process can be started for figures (Resource temporarily unavailable)" in warned[0].message
    assert sum(isinstance(one, CheckpointSaved) for one in events) > 2
    assert isinstance(events[-1], RunEnded)
    figures = (his.training_history, his.sample_figure(1), his.sample_figure(2), his.power_figure(2))
    assert all(figure.stat().st_size > 1000 for figure in figures), sorted(his.figs.iterdir())
