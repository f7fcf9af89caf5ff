"""The events that a resume supersedes: all readers of a run's epochs use the same rule."""

import pytest
from dashboard import view_from
from example_events import epoch, samples, spectrum, started, worker

from focus_engine.api import Experiment
from focus_engine.events.history import history_of, without_superseded
from focus_engine.events.log import append_event, read_recent_events
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder
from focus_engine.worker.artist import _FigureWriter

LOST = [worker(), started(), epoch(1, 0.5), epoch(2, 0.4), epoch(3, 0.3), spectrum(3), samples(3)]
RESUMED = [worker(), started(after=2)]
AGAIN = [epoch(3, 0.2)]


@pytest.fixture
def log(tmp_path):
    """Return a function that makes a run whose log holds the given events."""

    def write(*events):
        run = RunFolder(tmp_path / "run")
        run.logs.mkdir(parents=True, exist_ok=True)
        run.config.write_text("method: diffusion\n")
        run.events.unlink(missing_ok=True)
        for event in events:
            append_event(run.events, event)
        return run

    return write


@pytest.mark.parametrize(
    ("events", "epochs", "resumed_after"),
    [
        (LOST, [(1, 0.5), (2, 0.4), (3, 0.3)], ()),
        ([*LOST, *RESUMED], [(1, 0.5), (2, 0.4)], (2,)),
        ([*LOST, *RESUMED, *AGAIN], [(1, 0.5), (2, 0.4), (3, 0.2)], (2,)),
        ([*LOST, *RESUMED, *AGAIN, started(after=1)], [(1, 0.5)], (1,)),
        ([*LOST, started(after=0)], [], ()),
        ([*LOST, *AGAIN], [(1, 0.5), (2, 0.4), (3, 0.2)], ()),
    ],
)
def test_everybody_tells_the_same_epochs(log, events, epochs, resumed_after):
    run = log(*events)
    history = history_of(events)
    assert [(one.epoch, one.val_loss) for one in history.epochs] == epochs
    assert history.resumed_after == resumed_after
    assert list(history.epochs) == Experiment(run).history() == list(view_from(events).epochs)
    drawing = _FigureWriter(run)
    drawing.draw("")
    assert (drawing.counts.epochs, drawing.counts.resumed_after) == (history.epochs, history.resumed_after)
    summary = summarise(run)
    assert (summary.epoch or 0) == (epochs[-1][0] if epochs else 0)
    assert summary.val_loss == (epochs[-1][1] if epochs else None)


def test_statistics_and_samples_are_lost_with_their_epoch():
    history = history_of([*LOST, *RESUMED])
    assert history.statistics == history.spectra == history.samples == ()
    assert history_of(LOST).statistics == (LOST[-2],)
    assert [one.epoch for one in history_of(LOST).spectra] == [3]
    assert without_superseded([*LOST, *RESUMED]) == [*LOST[:4], *RESUMED]


def test_a_summary_reads_back_to_the_last_epoch_that_counts(log):
    lost = [epoch(number, 0.5 / number) for number in range(1, 31)]
    run = log(worker(), started(), *lost, started(after=3))
    assert run.events.stat().st_size > 4 * 4096
    assert summarise(run).val_loss == lost[2].val_loss
    assert lost[2] in read_recent_events(run.events)
