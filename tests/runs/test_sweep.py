"""Sweeps: grids and names; all experiments are created, or none."""

import pytest

from focus_engine.config.load import load_config
from focus_engine.errors import InputError
from focus_engine.runs.create import create_experiment
from focus_engine.runs.folder import list_runs
from focus_engine.runs.labels import read_labels
from focus_engine.runs.sweep import Axis, create_sweep, parse_axis, sweep_members, sweep_tag


def test_values_are_yaml():
    assert parse_axis("training.lr=1e-4, 3e-4") == Axis("training.lr", ("1.0e-4", "3.0e-4"))
    assert parse_axis("model.channel_mults=[1, 2],[1, 2, 4]").values == ("[1, 2]", "[1, 2, 4]")
    assert parse_axis("diffusion.schedule=linear,cosine").values == ("linear", "cosine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.lr", "write KEY=V1,V2"),
        ("=1", "write KEY=V1,V2"),
        ("training.lr=", "write KEY=V1,V2"),
        ("training.lr=1,1", "1 is given twice"),
        ("training.lr=[1", "not a list of values"),
        ("training.lr=null,1", "not a list of values"),
    ],
)
def test_what_is_no_axis(text, message):
    with pytest.raises(InputError, match=message):
        parse_axis(text)


def test_names_say_in_which_they_differ():
    grid = [parse_axis("training.lr=1e-4,3e-4"), parse_axis("model.channel_mults=[1, 2],[1, 2, 4]")]
    assert [(member.name, member.settings[0]) for member in sweep_members("base", grid)] == [
        ("base_lr1e-4_channel_mults1-2", "training.lr=1.0e-4"),
        ("base_lr1e-4_channel_mults1-2-4", "training.lr=1.0e-4"),
        ("base_lr3e-4_channel_mults1-2", "training.lr=3.0e-4"),
        ("base_lr3e-4_channel_mults1-2-4", "training.lr=3.0e-4"),
    ]
    grid = [parse_axis("training.scheduler.patience=2"), parse_axis("training.early_stopping.patience=5")]
    assert [member.name for member in sweep_members("x", grid)] == ["x_scheduler.patience2_early_stopping.patience5"]


def test_names_are_never_the_same():
    members = sweep_members("x", [Axis("experiment.name", ("'a b'", "'a/b'"))])
    assert len({member.name for member in members}) == 2


@pytest.mark.parametrize("axes", [[], [Axis("a", ("1",)), Axis("a", ("2",))]])
def test_grids_that_are_none(axes):
    with pytest.raises(InputError, match="--grid"):
        sweep_members("x", axes)


def test_all_or_nothing(tmp_path):
    base = create_experiment(tmp_path, "base", template="small")
    grid = sweep_members("base", [parse_axis("training.lr=1e-4,-3")])
    with pytest.raises(InputError, match=r"training.lr"):
        create_sweep(tmp_path, base, grid, tag="t")
    assert [run.name for run in list_runs(tmp_path)] == ["base"]
    grid = sweep_members("base", [parse_axis("training.lr=1e-4,3e-4")])
    made = create_sweep(tmp_path, base, grid, ["training.num_epochs=3"], tag=sweep_tag("my base!"))
    configs = [load_config(run.config).config.training for run in made]
    assert [(one.lr, one.num_epochs) for one in configs] == [(1e-4, 3), (3e-4, 3)]
    assert [read_labels(run).tags for run in made] == [("sweep-my-base",)] * 2
    with pytest.raises(InputError, match="exists already"):
        create_sweep(tmp_path, base, grid, tag="t")
