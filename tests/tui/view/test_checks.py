"""`focus doctor`: real checks of this machine, and its findings where something is missing."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from dashboard import FakeFeed, on_screen, view_from

from focus_engine.runs.create import create_experiment
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.app import FocusApp
from focus_tui.view import checks as doctor
from focus_tui.view.checks import disk_kind, examine


@pytest.fixture
def torch_at_once(monkeypatch):
    """Replace the torch probe by its answer: importing torch takes seconds, and these tests check something else."""
    answer = {"torch": "2.13", "cuda": None, "gpus": [], "bf16": False, "threads": 1}
    monkeypatch.setattr(doctor, "TORCH_PROBE", f"print({json.dumps(json.dumps(answer))})")


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_the_report_is_complete_and_documented_as_json(focus):
    code, out, _ = focus("doctor", "--json")
    report = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert report.keys() >= {"python", "torch", "cuda", "experiments", "free space", "terminal", "unicode", "slurm"}
    assert report["torch"]["status"] == "ok"
    assert set(report["python"]) == {"name", "status", "found", "remedy"}


def test_a_torch_that_breaks_is_a_problem_not_a_crash(focus, monkeypatch):
    monkeypatch.setattr(doctor, "TORCH_PROBE", "raise ImportError('libcudart.so.12: cannot open')")
    code, out, err = focus("doctor")
    assert code == 1
    assert "can't be imported: ImportError: libcudart.so.12" in out
    assert "torch: training can't run like this" in err
    monkeypatch.setattr(doctor, "TORCH_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(doctor, "ANSWER_SECONDS", 0.2)
    assert by_name(examine(Path(), None))["torch"].found == "did not answer within 0 s"


def test_the_disk_is_known_by_its_mount(tmp_path):
    assert disk_kind(Path("/proc/self")) == "proc"
    assert disk_kind(tmp_path) not in {None, "proc"}


@pytest.mark.usefixtures("torch_at_once")
def test_folders_that_everybody_may_write_are_named(tmp_path):
    root = tmp_path / "experiments"
    root.mkdir()
    assert "permissions" not in by_name(examine(root, None))
    root.chmod(0o777)
    assert by_name(examine(root, None))["permissions"].remedy == f"chmod o-w {root}"


@pytest.mark.usefixtures("torch_at_once")
def test_slurm_is_found_by_its_commands(tmp_path, monkeypatch):
    for name, says in (("sbatch", "slurm 23.02"), ("sinfo", "gpu* up 1-00:00:00")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert by_name(examine(tmp_path, None))["slurm"].found == "slurm 23.02; partitions gpu*"


@pytest.mark.usefixtures("torch_at_once")
def test_an_experiment_is_examined_with_its_data(tmp_path):
    run = create_experiment(tmp_path, "simulated", template="small")
    assert "150 universes" in by_name(examine(tmp_path, run))["data"].found
    gone = create_experiment(tmp_path, "gone", settings=["data.maps_path=no.npy", "data.params_path=p.txt"])
    assert by_name(examine(tmp_path, gone))["data"].status == "problem"
    np.save(gone.path / "no.npy", np.ones((30, 8, 8), np.float32))
    ranges = ((0.1, 0.6, 0.25, 0.25, 0.5, 0.5), (0.5, 1.0, 4, 4, 2, 2))
    np.savetxt(gone.path / "p.txt", np.random.default_rng(0).uniform(*ranges, (2, 6)))
    assert "30 maps of 2 simulations" in by_name(examine(tmp_path, gone))["data"].found
    (gone.path / "config.yaml").write_text("training: {lr: -1}")
    assert by_name(examine(tmp_path, RunFolder(gone.path)))["config"].status == "problem"


async def test_the_dashboard_shows_the_findings(tmp_path):
    run = create_experiment(tmp_path, "alpha", template="small")
    view = view_from([], "alpha", str(tmp_path), state="created")
    assert view.summary.path == str(run.path)
    app = FocusApp(tmp_path, feed=FakeFeed([view]))
    async with on_screen(app) as pilot:
        await pilot.press("D")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        said = str(pilot.app.screen.query_one("#findings").render())
        for words in ("✓ python", "torch", "experiments", "config"):
            assert words in said
        await pilot.press("escape")
        assert type(pilot.app.screen).__name__ == "RunsScreen"
