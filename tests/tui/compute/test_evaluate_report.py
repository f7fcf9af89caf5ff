"""Samples of a trained run: `focus evaluate -o` writes one page, and `focus judge` knows its training maps."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

OLD = Path(__file__).parents[2] / "old_run"
EACH = 2


@pytest.fixture
def run(tmp_path):
    """Return the experiments folder with a trained experiment."""
    shutil.copytree(OLD / "data", tmp_path / "data")
    shutil.copytree(OLD / "experiments" / "stopped", tmp_path / "experiments" / "stopped")
    return tmp_path


@pytest.mark.process
def test_evaluate_writes_the_report_it_prints(run, focus):
    code, said, warned = focus("evaluate", "stopped", "--checkpoint", "last", "--json", "-o", "report.html")
    assert code == 0, warned
    scores = json.loads(said)["scores"]
    page = (run / "report.html").read_text()
    values = [float(one) for one in re.findall(r'data-label="value"><data value="([^"]+)"', page)]
    assert values == [score["value"] for score in scores if score["value"] is not None]
    assert "in_channels: 1" in page


def test_a_report_of_another_format_is_refused_first(focus):
    code, _, warned = focus("evaluate", "none", "-o", "report.doc")
    assert code == 2
    assert ".html, .png, .pdf, .json" in warned


@pytest.mark.process
@pytest.mark.usefixtures("run")
def test_samples_name_the_data_of_their_run(focus):
    code, _, warned = focus("sample", "stopped", "--checkpoint", "last", "-n", "4", "-o", "samples.npz")
    assert code == 0, warned
    with np.load("samples.npz") as samples:
        assert re.fullmatch("[0-9a-f]{64}", str(samples["data_fingerprint"]))
        assert samples["training_digests"].dtype == np.uint64
    data = ("--against", "data/maps.npy", "--against-params", "data/params.txt", "--maps-per-simulation", EACH)
    code, _, warned = focus("judge", "samples.npz", *data)
    assert code == 2
    assert "--even-if-trained-on" in warned
    code, said, warned = focus("judge", "samples.npz", *data, "--even-if-trained-on", "--common", "--json")
    assert code == 0, warned
    assert json.loads(said)["n_points"] == 2
