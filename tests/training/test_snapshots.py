"""Snapshots of the averaged weights: when, how many, exact after a kill, and damaged ones."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from workers import same

from focus_engine.errors import InputError
from focus_engine.events.table import AveragesSaved
from focus_engine.models.power_average import LENGTHS, PowerAverages
from focus_engine.training.loop import train
from focus_engine.training.snapshots import FEWEST, SNAPSHOTS, Snapshot, SnapshotFolder, due, evenly, flat

Make = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> SnapshotFolder:
    return SnapshotFolder(tmp_path / "averages")


def averages(updates: int = 1, value: float = 1.0) -> PowerAverages:
    network = nn.Linear(3, 2)
    with torch.no_grad():
        network.weight.fill_(value)
    return PowerAverages(network, updates)


def trained(one: Any, folder: SnapshotFolder, stop: Callable[[], Any] = lambda: None, gigabytes: float = 1.0) -> None:
    """Train, writing the snapshots that are due as a worker does."""
    for event in train(one.training, one.state, stop):
        if isinstance(event, AveragesSaved):
            assert event.step == one.state.step == one.state.averages.updates
            folder.write(Snapshot.of(one.state.averages), gigabytes)


def contents(folder: SnapshotFolder) -> dict[int, Any]:
    return {step: folder.read(step) for step in folder.steps()}


def test_a_snapshot_is_due_at_each_share_of_the_budget_once():
    one = averages()
    assert [step for step in range(1, 129) if due(one, step / 128)] == list(range(4, 129, 4))
    assert not due(one, 1.0)
    assert not due(one, 0.5)  # a resume has doubled the budget
    assert due(one, 0.5 + 1 / SNAPSHOTS)


def test_the_averages_come_back_in_half_precision(folder: SnapshotFolder):
    one = averages(7, 1 / 3)
    size = folder.write(Snapshot.of(one), 1.0)
    assert size == folder.file(7).stat().st_size
    for saved, kept in zip(folder.read(7), one.weights, strict=True):
        assert saved.dtype == torch.float16
        torch.testing.assert_close(saved.float(), flat(kept), rtol=2**-11, atol=0)


def test_a_weight_too_large_for_half_precision_is_kept_whole(folder: SnapshotFolder):
    folder.write(Snapshot.of(averages(7, 1e6)), 1.0)
    assert folder.read(7)[0].max() == 1e6


def test_snapshots_are_thinned_evenly_to_the_disk_that_they_may_take(folder: SnapshotFolder):
    size = folder.write(Snapshot.of(averages(1)), 1.0)
    for step in range(2, 33):
        folder.write(Snapshot.of(averages(step)), 5.5 * size / 1e9)
    assert len(folder.steps()) == 5
    gaps = [after - before for before, after in zip([0, *folder.steps()], folder.steps(), strict=False)]
    assert max(gaps) <= 2 * min(gaps)
    assert folder.steps()[-1] == 32
    folder.write(Snapshot.of(averages(33)), 1e-12)
    assert len(folder.steps()) == FEWEST


def test_thinning_keeps_the_last_and_what_fits():
    assert evenly([1, 2, 3], 3) == [1, 2, 3]
    assert evenly(range(1, 9), 4) == [2, 4, 6, 8]


@pytest.mark.parametrize("gigabytes", [1.0, 5e-5])
def test_snapshots_after_a_kill_are_those_of_a_run_without_one(bench: Make, tmp_path: Path, gigabytes: float):
    keys = {"num_epochs": 4, "scheduler": {"name": "linear", "warmup_epochs": 0}}
    whole, first, second = (bench(**keys) for _ in range(3))
    there, here = SnapshotFolder(tmp_path / "whole"), SnapshotFolder(tmp_path / "killed")
    trained(whole, there, gigabytes=gigabytes)
    trained(first, here, lambda: "now" if first.state.step == 4 else None, gigabytes)
    saved = copy.deepcopy(first.state.to_dict())
    trained(first, here, lambda: "now" if first.state.step == 9 else None, gigabytes)  # lost
    second.state.load_dict(saved)
    here.remove_after(second.state.step)
    assert all(step <= 4 for step in here.steps())
    trained(second, here, gigabytes=gigabytes)
    assert same(contents(here), contents(there))
    assert same(second.state.to_dict(), whole.state.to_dict())
    assert there.steps()[-1] == 12
    assert len(there.steps()) == (12 if gigabytes == 1.0 else len(here.steps()))


def test_without_averages_nothing_is_kept(bench: Make, folder: SnapshotFolder):
    one = bench(averages=False, num_epochs=1)
    trained(one, folder)
    assert one.state.averages is None
    assert folder.steps() == []
    assert "averages" not in one.state.to_dict()


def test_the_averages_of_an_earlier_checkpoint_begin_with_its_weights(bench: Make):
    former = bench(averages=False, num_epochs=2)
    list(train(former.training, former.state, lambda: None))
    one = bench(num_epochs=3)
    one.state.load_dict(former.state.to_dict())
    assert one.state.averages.updates == one.state.step == 6
    list(train(one.training, one.state, lambda: None))
    assert one.state.averages.updates == one.state.step == 9


def test_a_damaged_or_foreign_file_is_refused_by_name(folder: SnapshotFolder):
    folder.write(Snapshot.of(averages(3)), 1.0)
    path = folder.file(3)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"averages_000000003\.pt"):
        folder.read(3)
    torch.save({"format": "something"}, path)
    with pytest.raises(InputError, match=r"averages_000000003.pt: is not a snapshot .* remove it"):
        folder.read(3)
    (folder.path / "averages_x.pt").write_text("mine")
    assert folder.steps() == [3]


def test_the_lengths_are_those_of_snapshots_that_exist():
    assert LENGTHS == (0.05, 0.10)
