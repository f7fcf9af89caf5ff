"""Real worker processes on universes of 16 × 16 pixels, from their start to their end."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from warm_workers import commands_of
from workers import DATA, TIMES, Make, Until, ended, epochs_of, ignore, outcome_of, same, told, write_config

from focus_engine.errors import FocusError, InputError, RunConflictError
from focus_engine.events.log import read_events
from focus_engine.events.table import (
    BudgetRead,
    CheckpointSaved,
    DataProgress,
    EpochFinished,
    Event,
    Queued,
    RunEnded,
    RunStarted,
    StatisticsMeasured,
    StepProgress,
)
from focus_engine.launch.slots import take_free_slots
from focus_engine.launch.start import request_stop, start_run
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder
from focus_engine.training import budget, pace
from focus_engine.training.checkpoint import load_checkpoint, save_checkpoint
from focus_engine.worker import __main__ as worker
from focus_engine.worker import session
from focus_engine.worker.foreground import run_in_foreground, train_here
from focus_engine.worker.options import WorkerOptions
from focus_engine.worker.work import INTERRUPTED

pytestmark = pytest.mark.process


def test_from_start_to_finish_and_on(make: Make, until: Until):
    run = make(epochs=2, sample_every=2)
    outcomes: list[Any] = []

    def start() -> None:
        try:
            outcomes.append(start_run(run))
        except FocusError as error:
            outcomes.append(error)

    starts = [threading.Thread(target=start) for _ in range(2)]
    for one in starts:
        one.start()
    for one in starts:
        one.join()
    refused = [one for one in outcomes if isinstance(one, Exception)]
    assert [type(one) for one in refused] == [RunConflictError]
    until(lambda: ended(run))

    summary = summarise(run)
    assert (summary.state, summary.reason, summary.epoch) == ("finished", "all 2 epochs are done", 2)
    assert summary.pk_error is not None
    assert told(run) == ["finished 2"]
    assert run.train_log.read_text().count("Epoch 2/2 [TRAINING]") == 1
    assert "finished: all 2 epochs are done" in run.worker_log.read_text()
    for path in (run.training_history, run.sample_figure(2), run.power_figure(2)):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert not list(run.path.rglob("*.tmp"))

    log = run.events.read_bytes()
    with pytest.raises(RunConflictError, match="has checkpoints, which a new start would replace"):
        start_run(run)
    with pytest.raises(RunConflictError, match=r"is finished .* raise training\.num_epochs"):
        start_run(run, resume=True)
    write_config(run, epochs=3, sample_every=2, more="cfg_prob: 0.5")
    with pytest.raises(InputError, match=r"has changed .*training\.cfg_prob: 0\.1 -> 0\.5"):
        start_run(run, resume=True)
    assert run.events.read_bytes() == log  # a refusal leaves the run as it was
    write_config(run, epochs=3, sample_every=2)
    start_run(run, resume=True)
    until(lambda: ended(run))
    assert [epoch.epoch for epoch in epochs_of(run)] == [1, 2, 3]
    assert told(run) == ["finished 2", "finished 3"]


def test_a_killed_run_is_lost_and_goes_on_bit_for_bit(make: Make, until: Until):
    run, whole = make("killed", epochs=2, sample_every=1), make("whole", epochs=2, sample_every=1)
    run.make_folders()
    (run.sample_figure(1) / "in the way").mkdir(parents=True)  # so that this figure cannot be written
    pid = start_run(run).pid
    until(lambda: any(isinstance(event, CheckpointSaved) for event in read_events(run.events)))
    os.kill(pid, signal.SIGKILL)
    until(lambda: ended(run))
    summary = summarise(run)
    assert (summary.state, summary.eta_seconds) == ("lost", None)
    assert "gone and recorded no outcome" in str(summary.reason)
    until(lambda: not artists_of(run))  # figure processes hold no lock and end with the worker
    until((run.path / "told.txt").exists)  # by the guardian, which outlives the worker
    run.events.write_bytes(run.events.read_bytes() + b'{"type":"epoch_fin')  # a line that the kill tore

    start_run(run, resume=True)
    standing: list[bool] = []

    def look(event: Event) -> None:
        if isinstance(event, RunEnded):
            figures = [*(draw(epoch) for epoch in (1, 2) for draw in (whole.sample_figure, whole.power_figure))]
            standing.extend(path.is_file() for path in (*figures, whole.training_history))

    assert run_in_foreground(whole, resume=False, device=None, on_event=look).state == "finished"
    assert standing == [True] * 5  # when the end is recorded, not some time after
    until(lambda: ended(run))
    assert summarise(run).state == "finished"
    one, other = load_checkpoint(run.checkpoint_last), load_checkpoint(whole.checkpoint_last)
    assert same(one.state, other.state)
    plain = [[{k: v for k, v in asdict(e).items() if k not in TIMES} for e in epochs_of(r)[-1:]] for r in (run, whole)]
    assert plain[0] == plain[1]
    assert [line.split()[0] for line in told(run)] == ["lost", "finished"]
    assert "figure 'samples 1' failed" in run.worker_log.read_text()
    assert run.power_figure(2).is_file()
    for epoch in (1, 2):  # also the samples that the kill cut off
        with np.load(run.sample_maps(epoch)) as a, np.load(whole.sample_maps(epoch)) as b:
            assert np.array_equal(a["maps"], b["maps"])


def test_a_worker_killed_while_figures_are_drawn_is_lost_and_draws_them_when_resumed(make: Make, until: Until):
    run = make(epochs=1, sample_every=1)
    pid = start_run(run).pid
    until(lambda: artists_of(run))
    (artist,) = map(int, artists_of(run))
    os.kill(artist, signal.SIGSTOP)  # a drawing that takes long
    until(lambda: any(isinstance(event, StatisticsMeasured) for event in read_events(run.events)))
    until(lambda: len(pipes_to(artist, pid)) == 0)  # the worker waits for the last figure
    assert summarise(run).state == "running"
    assert not run.power_figure(1).exists()
    for one in (pid, artist):
        os.kill(one, signal.SIGKILL)
    until(lambda: ended(run))
    assert summarise(run).state == "lost"
    start_run(run, resume=True)
    until(lambda: summarise(run).state == "finished")
    for path in (run.training_history, run.sample_figure(1), run.power_figure(1)):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert [epoch.epoch for epoch in epochs_of(run)] == [1]


def pipes_to(reader: int, writer: int) -> list[Path]:
    """Return the files of process `writer` that are the pipe on the standard input of process `reader`."""
    pipe, found = Path(f"/proc/{reader}/fd/0").readlink(), []
    for one in Path(f"/proc/{writer}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found += [one] if one.readlink() == pipe else []
    return found


def artists_of(run: RunFolder) -> list[str]:
    return commands_of("focus_engine.worker.artist", str(run.path))


LAUNCH = """\
import fcntl, sys, termios
from pathlib import Path
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from focus_engine.runs.folder import RunFolder
from focus_engine.launch.start import start_run
print(start_run(RunFolder(Path(sys.argv[1]))).pid, flush=True)
input()
"""


@pytest.mark.real_start
def test_a_run_outlives_its_terminal_and_stops_when_asked(make: Make, until: Until):
    run = make(epochs=1000)
    master, slave = pty.openpty()
    command = [sys.executable, "-c", LAUNCH, str(run.path)]
    terminal = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    until(lambda: epochs_of(run))
    os.close(master)
    assert terminal.wait(30) != 0  # the terminal's own process ended
    os.kill(int(summarise(run).pid or 0), signal.SIGHUP)
    seen = len(epochs_of(run))
    until(lambda: len(epochs_of(run)) > seen)

    assert request_stop(run, "epoch").state == "running"
    until(lambda: ended(run))
    summary = summarise(run)
    assert summary.state == "stopped"
    assert summary.reason == f"asked to stop; stopped after epoch {summary.epoch}"
    assert load_checkpoint(run.checkpoint_last).epoch == summary.epoch == outcome_of(run).epoch
    assert told(run) == [f"stopped {summary.epoch}"]
    with pytest.raises(RunConflictError, match="does not run: it is stopped"):
        request_stop(run, "now")

    start_run(run, resume=True)
    with pytest.raises(RunConflictError):
        start_run(run, resume=True)
    seen = len(epochs_of(run))
    until(lambda: len(epochs_of(run)) > seen)
    request_stop(run, "now")
    until(lambda: ended(run))
    assert summarise(run).state == "stopped"
    assert str(summarise(run).reason).startswith("asked to stop")
    assert load_checkpoint(run.checkpoint_last).epoch == outcome_of(run).epoch == epochs_of(run)[-1].epoch
    assert not run.stop_request.exists()
    assert run.training_history.read_bytes().startswith(b"\x89PNG")  # by a figure process that was started, not forked
    assert "Traceback" not in run.worker_log.read_text()


def test_queued_runs_train_one_after_the_other_and_the_dead_keep_nobody_waiting(make: Make, until: Until):
    first, second, third, fourth = (make(name, epochs=1) for name in ("first", "second", "third", "fourth"))
    hold = take_free_slots(first, "cpu")
    try:
        for place, run in enumerate((second, third, fourth), 1):
            start_run(run, queue=True)
            until(lambda run=run, place=place: summarise(run).queue_place == place)
        waiting = summarise(third)
        assert waiting.state == "queued"
        assert waiting.reason == "place 2 in the queue for cpu; training there: first"
        with pytest.raises(RunConflictError, match="second is being started or calibrated, or is running already"):
            start_run(second)
        os.kill(summarise(second).pid or 0, signal.SIGKILL)
        until(lambda: summarise(third).queue_place == 1)
        assert summarise(second).state == "lost"
        request_stop(third, "epoch")
        until(lambda: summarise(third).state == "stopped")
        assert outcome_of(third).reason == "asked to stop before training began"
        until(lambda: summarise(fourth).queue_place == 1)
    finally:
        hold.close()
    until(lambda: ended(fourth))
    assert summarise(fourth).state == "finished"
    places = [event.place for event in read_events(fourth.events) if isinstance(event, Queued)]
    assert (places[0], places[-1], places) == (3, 0, sorted(places, reverse=True))
    assert outcome_of(fourth).seconds < 60
    start_run(third, queue=True)  # nobody waits any more
    until(lambda: ended(third))
    assert not [event for event in read_events(third.events)[-6:] if isinstance(event, Queued)]


def test_the_time_limit_saves_and_the_run_goes_on(make: Make):
    run = make(more="max_minutes: 0.00001")
    assert worker.main([str(run.path)]) == 0
    outcome = outcome_of(run)
    assert (outcome.state, outcome.reason) == ("stopped", "time limit of 1e-05 min; stopped in epoch 1")
    write_config(run, more="max_minutes: 60")
    assert worker.main([str(run.path), "--resume"]) == 0
    assert outcome_of(run).state == "finished"


def test_the_minutes_of_earlier_workers_count(make: Make):
    run = make(epochs=1, more="max_minutes: 60")
    assert run_in_foreground(run, on_event=ignore).state == "finished"
    saved = load_checkpoint(run.checkpoint_last)
    assert 0 < saved.provenance["seconds"] < 60
    save_checkpoint(run.checkpoint_last, replace(saved, provenance=saved.provenance | {"seconds": 3600.0}))
    write_config(run, epochs=10**4, more="max_minutes: 60")
    outcome = run_in_foreground(run, resume=True, on_event=ignore)
    assert (outcome.state, outcome.reason) == ("stopped", "time limit of 60 min; stopped after epoch 1")


class PowerCut(BaseException):
    """Ends a worker in this process, because no handler of the worker catches it."""


def test_checkpoints_within_an_epoch_lose_nothing(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pace, "PROGRESS_SECONDS", 0.0)
    more, data = "checkpoint_minutes: 1.0e-9", f"{DATA}, normalize: gaussian"
    run, whole = make("cut", epochs=2, more=more, data=data), make("uncut", epochs=2, data=data)
    saved: list[CheckpointSaved] = []

    def cut_amid_the_second_epoch(event: Event) -> None:
        saved.extend([event] if isinstance(event, CheckpointSaved) else [])
        if len(epochs_of(run)) == 1 and isinstance(event, StepProgress) and event.batch == 2:
            raise PowerCut

    with pytest.raises(PowerCut):
        run_in_foreground(run, resume=False, device=None, on_event=cut_amid_the_second_epoch)
    assert len([event for event in saved if event.epoch == 0]) > 1  # within the first epoch
    resumed = load_checkpoint(run.checkpoint_last)
    assert resumed.epoch == 1
    assert resumed.state["running"]["batch"] in {1, 2}  # a snapshot of the averages is an event before the progress
    assert run_in_foreground(run, resume=True, device=None, on_event=ignore).state == "finished"
    assert run_in_foreground(whole, resume=False, device=None, on_event=ignore).state == "finished"
    one, other = load_checkpoint(run.checkpoint_last), load_checkpoint(whole.checkpoint_last)
    assert same(one.state, other.state)
    assert same([one.normaliser, one.data["prior"]], [other.normaliser, other.data["prior"]])
    assert one.normaliser["curves"]


def test_a_run_of_minutes_repeats_the_rates_of_its_lost_steps(make: Make, monkeypatch: pytest.MonkeyPatch):
    """The real clock shows other times when the steps are repeated; the log holds those of the first time."""
    monkeypatch.setattr(pace, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(budget, "READINGS", 10**6)  # at every step
    run = make(epochs=10**4, more="max_minutes: 1")
    run.config.write_text(run.config.read_text().replace("{warmup_epochs: 1}", "{name: linear, warmup_steps: 2}"))

    def rates_until(step: int, *, resume: bool) -> dict[int, float]:
        rates: dict[int, float] = {}

        def watch(event: Event) -> None:
            if isinstance(event, StepProgress):
                rates[event.step] = event.lr
                if event.step == step:
                    raise PowerCut

        with pytest.raises(PowerCut):
            run_in_foreground(run, resume=resume, device=None, on_event=watch)
        return rates

    first = rates_until(5, resume=False)
    saved = load_checkpoint(run.checkpoint_last).state["step"]
    second = rates_until(7, resume=True)
    assert 0 < saved == min(second) - 1 < 5
    assert [second[step] for step in range(saved + 1, 6)] == [first[step] for step in range(saved + 1, 6)]
    assert second[7] < second[6] < second[5]
    readings = [event for event in read_events(run.events) if isinstance(event, BudgetRead)]
    assert len({event.seconds for event in readings}) == 7  # one for each step, those of lost steps twice


def test_leftovers_of_a_killed_worker_are_cleared_and_nothing_else(make: Make):
    run = make(epochs=1)
    run.make_folders()
    left = run.checkpoints / ".checkpoint_last.pt.4242.0a1b2c3d.tmp"
    mine = run.checkpoints / ".my notes.tmp"
    for path in (left, mine):
        path.write_text("x")
    run_in_foreground(run, resume=False, device=None, on_event=ignore)
    assert not left.exists()
    assert mine.exists()


ENDLESS_IMPORT = """
import sys, time
class Endless:
    def find_spec(self, name, path=None, target=None):
        while name == "torch":
            time.sleep(0.01)
sys.meta_path.insert(0, Endless())
"""


@pytest.mark.real_start("focus_engine.worker")
def test_a_signal_before_training_is_obeyed_at_once(
    make: Make, until: Until, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "sitecustomize.py").write_text(ENDLESS_IMPORT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    run = make()
    start_run(run)  # torch is being imported now, and never will be
    request_stop(run, "now")
    until(lambda: ended(run))
    assert (summarise(run).state, summarise(run).reason) == ("stopped", "asked to stop before training began")
    assert told(run) == ["stopped 0"]
    assert "Traceback" not in run.worker_log.read_text()


@pytest.mark.parametrize(("at", "state"), [(DataProgress, "stopped"), (EpochFinished, "stopped")])
def test_ctrl_c_in_the_foreground(make: Make, at: type[Event], state: str):
    data = DATA.replace("simulations: 8", "simulations: 9") if at is DataProgress else DATA
    run = make(epochs=1000, data=data)
    if at is DataProgress:
        os.environ["FOCUS_CACHE"] = str(run.path / "cache")  # the universes are not there yet
    before = signal.getsignal(signal.SIGINT)
    events: list[Event] = []

    def watch(event: Event) -> None:
        events.append(event)
        if isinstance(event, at) and not any(isinstance(one, at) for one in events[:-1]):
            os.kill(os.getpid(), signal.SIGINT)

    outcome, code = train_here(run, WorkerOptions(foreground=True), watch)
    assert code == INTERRUPTED
    assert outcome == outcome_of(run) == events[-1]
    assert outcome.state == state
    assert outcome.reason.startswith("interrupted")
    assert run.has_checkpoints() == (at is EpochFinished)
    assert any(isinstance(event, RunStarted) for event in events) == (at is EpochFinished)
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_comes_in_a_destructor_is_obeyed_before_training(make: Make, monkeypatch: pytest.MonkeyPatch):
    class Gone:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):  # the handler raises here, and Python ignores it
                pass

    prepare = session.prepare_data

    def prepared(*given: Any) -> Any:
        Gone()
        return prepare(*given)

    monkeypatch.setattr(session, "prepare_data", prepared)
    run = make()
    outcome = run_in_foreground(run, resume=False, device=None, on_event=ignore)
    assert (outcome.state, outcome.reason) == ("stopped", "asked to stop before training began")
