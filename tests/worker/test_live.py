"""P(k) measured during training: how many maps, the same at every epoch, and agreement with `focus evaluate`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from workers import Make, epochs_of, ignore

from focus_engine import Experiment
from focus_engine.config.load import load_config
from focus_engine.data.opening import open_maps
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.events.log import read_events
from focus_engine.events.statistics import POWER_ERROR
from focus_engine.events.table import StatisticsMeasured
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.training.prepare import PreparedRun, prepare_run
from focus_engine.training.prepared_data import prepare_data
from focus_engine.worker.foreground import run_in_foreground
from focus_engine.worker.live import FEWEST_MAPS, MOST_MAPS, SAMPLING_SHARE, LiveReference, maps_to_measure, power_of
from focus_engine.worker.samples import RunSampler
from focus_tui.view.pictures.power import power_sentence

pytestmark = pytest.mark.process

ENOUGH = "simulations: 16, grid: 8, map_size: 16, maps_per_simulation: 15, train_split: 0.6"
"""Universes of which enough train for a fit."""


@pytest.mark.parametrize(
    ("seconds_per_map", "training_seconds", "count"),
    [
        (None, 1000.0, 16),
        (1.0, None, 16),
        (10.0, 1.0, 16),  # the pictures need some, whatever they cost
        (1.0, 639.9, 16),
        (1.0, 640.0, 32),
        (1.0, 2559.0, 64),
        (1.0, 2560.0, 128),
        (1.0, 1e9, 256),
        (0.0, 1.0, 256),
    ],
)
def test_how_many_maps_a_twentieth_of_the_training_time_pays_for(seconds_per_map, training_seconds, count):
    assert maps_to_measure(seconds_per_map, training_seconds) == count
    if count > FEWEST_MAPS:
        assert count * seconds_per_map <= SAMPLING_SHARE * training_seconds


def statistics_of(run: RunFolder) -> list[StatisticsMeasured]:
    return [event for event in read_events(run.events) if isinstance(event, StatisticsMeasured)]


def test_it_agrees_with_the_evaluation(make: Make):
    run = make("enough", data=ENOUGH, epochs=3, sample_every=2)
    assert run_in_foreground(run, on_event=ignore).state == "finished"
    first, second, last = statistics_of(run)
    assert (first.reference, [one.epoch for one in (first, second, last)]) == ("trend", [1, 2, 3])
    live = last.measure(POWER_ERROR)
    evaluated = Experiment(run).evaluate(checkpoint="last").scores()[0]
    assert evaluated.spec.key == POWER_ERROR
    assert abs(live.value - evaluated.value) < 3 * np.hypot(live.error, evaluated.error)
    assert 0 < live.null < 1
    assert 0 < last.reference_error < 1
    before = second.measure(POWER_ERROR)  # the next epoch tells it again, so that the end of a log is enough
    third = epochs_of(run)[2]
    told = (third.pk_error, third.pk_error_std, third.pk_error_null)
    assert told == (before.value, before.error, before.null)


def prepared(run: RunFolder) -> PreparedRun:
    config = load_config(run.config).config
    return prepare_run(config, prepare_data(config, drain(open_maps(config, run.path))), torch.device("cpu"))


def never() -> bool:
    return False


def test_more_maps_continue_the_same_list(make: Make):
    run = make("few")
    run.make_folders()
    trained = prepared(run)
    few, many = (
        RunSampler(trained, model_in_training(trained), run).draw(seconds, never)[1] for seconds in (None, 1e9)
    )
    assert (few.n_maps, many.n_maps) == (FEWEST_MAPS, MOST_MAPS)
    assert few.reference == many.reference == "validation"  # five simulations are too few for a fit
    assert few.measure(POWER_ERROR).null is None
    again = RunSampler(trained, model_in_training(trained), run).draw(None, never)[1]
    assert replace(again, time=few.time) == few
    with np.load(run.sample_maps(0)) as drawn:
        assert drawn["maps"].shape == drawn["real"].shape == (FEWEST_MAPS, 16, 16)
    sampler = RunSampler(trained, model_in_training(trained), run)
    whole, rest = sampler._draw_part(0, 32, never), sampler._draw_part(16, 32, never)
    np.testing.assert_allclose(whole.power[:, 16:], rest.power, rtol=1e-3)
    assert sampler.draw(None, lambda: True) is None  # cut short


def test_real_maps_score_as_a_perfect_generator(make: Make):
    """Validation maps take the place of the samples: one of each simulation, so that they are independent."""
    run = make("real", data=ENOUGH)
    data = prepared(run).data
    reference = LiveReference.read(data.maps, data.split, never)
    ids = data.maps.maps_of(data.split.test + data.split.validation)[::15]
    score = reference.measure(power_of(data.maps.read(ids), data.maps), data.maps.simulation_of(ids), 1).measure(
        POWER_ERROR
    )
    assert score.p_value > 1e-3
    assert LiveReference.read(data.maps, data.split, lambda: True) is None
    data.maps.__dict__["initial_fields"] = np.zeros(data.maps.n_simulations, dtype=np.int64)  # as of a 1P set
    shared = LiveReference.read(data.maps, data.split, never)
    event = shared.measure(power_of(data.maps.read(ids), data.maps), data.maps.simulation_of(ids), 1)
    assert event.shared_field
    assert event.reference_error is None
    assert event.measure(POWER_ERROR).value == score.value
    assert {(one.error, one.null, one.p_value) for one in event.measures} == {(None, None, None)}
    assert set(event.power.ratio_std) == {None}
    assert "share their initial field" in " ".join(power_sentence(event.power, None, 80))
