"""Advice with a number: every front end gives the same."""

from types import SimpleNamespace

import pytest
from dashboard import view_from
from example_events import epoch, started

from focus_engine.config.advice import data_wait_advice, guidance_warning
from focus_engine.config.load import parse_config
from focus_engine.runs.create import create_experiment
from focus_tui.compute.checking import _warnings
from focus_tui.dashboard.sample_form import FLAGS, ModelFacts, sample_request
from focus_tui.view.run_view import advice


@pytest.mark.parametrize(
    ("share", "workers", "words"),
    [
        (None, 4, ""),
        (0.19, 4, ""),
        (0.2, 4, "waits 20 % of the time for data: raise data.num_workers 4 -> 8"),
        (0.5, 0, "waits 50 % of the time for data: raise data.num_workers 0 -> 2"),
        (0.5, None, "waits 50 % of the time for data: raise data.num_workers"),
    ],
)
def test_waiting_for_data(share, workers, words):
    assert data_wait_advice(share, workers) == words


def test_the_dashboard_and_the_rehearsal_give_the_same_number(tmp_path):
    run = create_experiment(tmp_path, "a", template="small", settings=["data.num_workers=0"])
    view = view_from([started(config={"data": {"num_workers": 0}}), epoch(1, data_wait=0.4)])
    (told,) = _warnings(SimpleNamespace(enough_disk=True, data_wait=0.4, measured=""), run)
    assert told == "training would wait 40 % of the time for data: raise data.num_workers 0 -> 2"
    assert advice(view) == (told.replace("training would wait", "waits"),)


def test_guidance(tmp_path):
    assert guidance_warning(1.0) == ""
    sentence = "changes the density that was trained, and so P(k); 1 does not"
    assert guidance_warning(2.5) == f"guidance 2.5 {sentence}"
    (warning,) = parse_config("sampling: {cfg_scale: 2}", tmp_path / "c").warnings
    assert warning.endswith(f"sampling.cfg_scale 2 {sentence}")
    form = sample_request(dict.fromkeys(FLAGS, ""), ModelFacts(guidance=2.0))
    assert form.warnings["guidance"] == f"guidance (the config's) 2 {sentence}"
