"""`RunView`: the view of a run after any sequence of events."""

from dataclasses import replace

import numpy as np
import pytest
from dashboard import view_from
from example_events import end, epoch, making_data, samples, spectrum, started, step, worker

from focus_engine.events.table import StopRequested, Warned
from focus_engine.launch.summary import RunSummary
from focus_tui.view.run_view import advice, fold, phase_words, plateau_words


def test_events_are_kept_by_kind_and_epochs_in_order():
    view = view_from([worker(), started(), epoch(1), spectrum(1), samples(1), epoch(2), Warned(code="x", message="y")])
    assert [one.epoch for one in view.epochs] == [1, 2]
    assert [one.epoch for one in view.spectra] == [one.epoch for one in view.samples] == [1]
    assert view.warnings[0].message == "y"
    assert view.warmup_epochs == 2


def test_a_resume_supersedes_what_the_worker_lost():
    lost = [worker(), started(), epoch(1), epoch(2), epoch(3, 9.0), spectrum(3), samples(3), step(4, 5)]
    view = view_from([*lost, worker(), started(after=2), epoch(3, 0.1)])
    assert [(one.epoch, one.val_loss) for one in view.epochs] == [(1, 0.5), (2, 0.5), (3, 0.1)]
    assert view.resumed_after == (2,)
    assert view.spectra == view.samples == ()
    assert view.steps.epoch.max(initial=0) <= 2
    assert view.step is None


def test_resuming_from_the_first_epoch_starts_anew():
    view = view_from([worker(), started(), epoch(1), worker(), started(after=0)])
    assert view.epochs == ()
    assert view.resumed_after == ()


def test_folding_in_pieces_equals_folding_at_once():
    events = [worker(), started(), step(1, 3), step(1, 9), epoch(1), spectrum(1), step(2, 4), StopRequested(when="now")]
    whole = view_from(events)
    view = view_from([])
    for event in events:
        view = fold(view, [event])
    assert (view.epochs, view.spectra, view.step, view.log) == (whole.epochs, whole.spectra, whole.step, whole.log)
    np.testing.assert_array_equal(view.steps.epoch, whole.steps.epoch)


def test_the_step_belongs_to_its_epoch():
    view = view_from([started(), step(1, 4)])
    assert view.step is not None
    assert view.steps.epoch.tolist() == [0.4]
    assert fold(view, [epoch(1)]).step is None


def test_data_progress_is_shown_until_training_starts():
    making = making_data()
    view = view_from([worker(), making])
    assert view.data == making
    assert fold(view, [started()]).data is None


def test_steps_are_thinned_evenly(monkeypatch):
    monkeypatch.setattr("focus_tui.view.arrays.MAX_STEPS", 100)
    view = view_from([started(), *(step(1 + i // 10, 1 + i % 10) for i in range(1000))])
    assert 50 <= view.steps.epoch.size <= 100
    gaps = np.diff(view.steps.epoch)
    assert gaps.max() == pytest.approx(gaps.min())


@pytest.mark.parametrize("at_once", [1, 7, 64])
def test_steps_that_come_a_few_at_a_time_are_thinned_evenly_too(monkeypatch, at_once):
    monkeypatch.setattr("focus_tui.view.arrays.MAX_STEPS", 100)
    steps = [step(1 + i // 10, 1 + i % 10) for i in range(1000)]
    views = [view_from([started()])]
    for at in range(0, len(steps), at_once):
        views.append(fold(views[-1], steps[at : at + at_once]))
        assert views[-1].steps.epoch.size <= 100
    shown = views[-1].steps.epoch
    assert shown.size >= 50
    assert np.diff(shown) == pytest.approx(shown[1] - shown[0])
    assert shown[0] == pytest.approx(0.1)
    resumed = fold(views[-1], [started(after=40), *steps[400:]]).steps.epoch
    assert np.diff(resumed) == pytest.approx(shown[1] - shown[0])


def test_views_that_share_their_steps_do_not_change_each_other():
    first = view_from([started(), step(1, 1)])
    one, other = fold(first, [step(1, 2)]), fold(first, [step(1, 3), step(1, 4)])
    later = fold(one, [step(1, 5)])
    assert first.steps.epoch.tolist() == [0.1]
    assert (one.steps.epoch.tolist(), later.steps.epoch.tolist()) == ([0.1, 0.2], [0.1, 0.2, 0.5])
    assert other.steps.epoch.tolist() == [0.1, 0.3, 0.4]


def test_steps_grow_in_place():
    """Copies of slowly growing arrays leave holes in the heap that the next ones do not fit in."""
    view = view_from([started()])
    places = set()
    for number in range(1000):
        view = fold(view, [step(1 + number // 10, 1 + number % 10)])
        places.add(view.steps.loss.__array_interface__["data"][0])
    assert len(places) == 1


def test_the_log_holds_epochs_and_notes_only():
    view = view_from([worker(), started(), step(1, 1), epoch(1), spectrum(1), Warned(code="x", message="y")])
    assert [event.type for event in view.log] == ["run_started", "epoch_finished", "warning"]


def test_the_end_is_kept_until_another_worker_starts():
    ended = end("stopped", "asked", 1)
    view = view_from([worker(), started(), epoch(1), ended])
    assert view.ended == ended
    assert fold(view, [worker()]).ended is None


@pytest.mark.parametrize(
    ("state", "phase", "done", "words"),
    [
        ("running", "warmup", 2, "WARMUP 3/5"),
        ("running", "warmup", None, "WARMUP 1/5"),
        ("running", "warmup", 5, "TRAINING"),
        ("running", "training", 9, "TRAINING"),
        ("early_stopped", "training", 112, "early stopped @ 112"),
        ("lost", "warmup", 1, "lost"),
        ("stalled", "training", 1, "stalled"),
        ("created", None, None, "created"),
    ],
)
def test_phase_words(state, phase, done, words):
    assert phase_words(RunSummary(name="a", path="/a", state=state, phase=phase, epoch=done), 5) == words


def test_plateau_words_say_what_comes_next():
    view = view_from([started(), epoch(3, bad_epochs=1, early_stop_count=3)])
    assert plateau_words(view) == "LR drops to 3.0e-05 after 1 more bad epoch; training stops after 7 more"


def test_plateau_words_at_the_lowest_rate():
    view = view_from([started(), epoch(3, lr=1e-7, next_lr=1e-7, early_stop_patience=None)])
    assert plateau_words(view) == "LR stays at its minimum 1.0e-07"


def test_the_rate_never_drops_below_its_minimum_in_words():
    view = view_from([started(), epoch(3, next_lr=2e-7, early_stop_patience=None)])
    assert plateau_words(view) == "LR drops to 1.0e-07 after 2 more bad epochs"


def test_plateau_words_in_warmup_and_without_any_rule():
    assert "warmup" in plateau_words(view_from([started(), epoch(1, phase="warmup")]))
    view = view_from([started(), epoch(3, scheduler="none", plateau_patience=None, early_stop_patience=None)])
    assert plateau_words(view) == "constant rate, no early stopping"


def test_advice_names_the_key_and_its_value():
    view = view_from([started(), step(1, 4, data_wait=0.38)])
    assert advice(view) == ("waits 38 % of the time for data: raise data.num_workers 4 -> 8",)


def test_advice_says_where_power_is_off():
    view = view_from([started(), epoch(1), spectrum(1, ratio=(1.0, 0.8, 0.7, 0.6))])
    assert advice(view) == ("P(k) 25.0 % low at k = 1 to 2 h/Mpc (epoch 1)",)
    assert advice(view_from([started(), epoch(1), spectrum(1, ratio=(1.0, 1.05, 0.95))])) == ()
    assert advice(view_from([started(), epoch(1), spectrum(1, ratio=(1.0, 0.8, 0.7, 0.6), null=0.2)])) == ()


def test_advice_of_an_old_log_allows_for_the_scatter_of_few_maps():
    event = spectrum(1, ratio=(1.0, 0.8, 0.7, 0.6), null=None)
    old = replace(event, n_maps=4, curves=(replace(event.curves[0], ratio_error=(None,) * 4),))
    assert advice(view_from([started(), epoch(1), old])) == ()  # twice √(2/4) of 30 %


def test_advice_of_overfitting_wants_both_a_rising_and_a_falling_loss():
    best = [epoch(number, 0.5) for number in (1, 2)]
    rising = [epoch(n, 0.5 + 0.02 * n, best_val_loss=0.5, best_epoch=2, train_loss=0.4) for n in range(3, 9)]
    assert "overfitting" in advice(view_from([started(), *best, *rising]))[0]
    both = [epoch(n, 0.5 + 0.02 * n, best_val_loss=0.5, best_epoch=2, train_loss=0.9) for n in range(3, 9)]
    assert advice(view_from([started(), *best, *both])) == ()
