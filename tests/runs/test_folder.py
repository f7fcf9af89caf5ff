"""Names and paths of experiments, including hostile ones."""

import os

import pytest

from focus_engine.errors import InputError
from focus_engine.runs.folder import (
    RunFolder,
    check_name,
    default_run,
    experiments_root,
    find_run,
    last_activity,
    list_runs,
)

HOSTILE = ["with blank", "한글 실험", "quote'\"", "$HOME", "`id`", "a;b", "a&b", "*", "%s", "=x", "ümläut", "a=b", "~x"]


def make(root, name):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("method: diffusion\n", encoding="utf-8")
    return RunFolder(folder)


@pytest.mark.parametrize("name", ["experiment_diffusion", "a", "run-1.2", "x" * 200, *HOSTILE])
def test_names_that_are_allowed(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " a",
        "a ",
        "/abs",
        "a/b",
        "..",
        ".",
        ".hidden",
        "../up",
        "-x",
        "--help",
        "a\nb",
        "a\x00b",
        "a\x1b[2J",
        "a\tb",
        "a\x7f",
        "a\x9bb",
        "back\\slash",
        "x" * 201,
        "한" * 67,
    ],
)
def test_names_that_are_refused(name):
    with pytest.raises(InputError) as refused:
        check_name(name)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_found_and_listed(tmp_path, name):
    run = make(tmp_path, name)
    assert list_runs(tmp_path) == [run]
    if not name.startswith("~"):
        assert find_run(name, tmp_path) == run
    assert find_run(str(run.path), tmp_path / "elsewhere") == run


def test_a_run_is_a_folder_with_a_config_or_a_log(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    make(tmp_path, ".hidden")
    old = RunFolder(tmp_path / "old")
    old.logs.mkdir(parents=True)
    old.events.touch()
    assert list_runs(tmp_path) == [old]
    assert list_runs(tmp_path / "nowhere") == []
    assert list_runs(tmp_path / "notes.txt") == []


def test_finding_by_path_and_not_finding(tmp_path, monkeypatch):
    run = make(tmp_path / "experiments", "a")
    root = tmp_path / "experiments"
    monkeypatch.chdir(run.path)
    assert find_run(".", root) == run
    assert find_run("../a", root) == run
    assert find_run("..//a/", root) == run
    with pytest.raises(InputError, match=r"no experiment 'b' under .*there are: a"):
        find_run("b", root)
    with pytest.raises(InputError, match="not an experiment"):
        find_run("..", root)
    with pytest.raises(InputError, match="there is none yet"):
        find_run("b", tmp_path / "none")
    for empty in ("", "a\x00b"):
        with pytest.raises(InputError):
            find_run(empty, root)


def test_the_root_is_given_named_found_or_here(tmp_path, monkeypatch):
    monkeypatch.delenv("FOCUS_EXPERIMENTS", raising=False)
    deep = tmp_path / "experiments" / "a" / "logs"
    deep.mkdir(parents=True)
    assert experiments_root(start=deep) == tmp_path / "experiments"
    assert experiments_root(start=tmp_path) == tmp_path / "experiments"
    assert experiments_root(tmp_path / "x", start=deep) == tmp_path / "x"
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(tmp_path / "named"))
    assert experiments_root(start=deep) == tmp_path / "named"
    assert experiments_root(tmp_path / "x", start=deep) == tmp_path / "x"


def test_without_a_root_it_would_be_here(tmp_path, monkeypatch):
    monkeypatch.delenv("FOCUS_EXPERIMENTS", raising=False)
    assert experiments_root(start=tmp_path / "lonely") == tmp_path / "lonely" / "experiments"


def test_left_out_it_is_the_one_one_stands_in_else_the_latest(tmp_path):
    root = tmp_path / "experiments"
    with pytest.raises(InputError, match="focus new"):
        default_run(root, tmp_path)
    old, new = make(root, "old"), make(root, "new")
    os.utime(old.config, (1000, 1000))
    os.utime(new.config, (2000, 2000))
    assert default_run(root, tmp_path) == new
    old.logs.mkdir()
    assert default_run(root, old.logs) == old
    old.events.touch()
    assert default_run(root, tmp_path) == old
    assert last_activity(RunFolder(root / "gone")) == 0


def test_every_path_lies_in_the_folder(tmp_path):
    run = RunFolder(tmp_path / "a")
    run.make_folders()
    for name in ("config", "checkpoint_best", "checkpoint_last", "events", "train_log", "worker_log", "lock"):
        assert getattr(run, name).is_relative_to(run.path)
    assert run.sample_figure(10) == tmp_path / "a" / "figs" / "samples_epoch_0010.png"
    assert run.power_figure(10) == tmp_path / "a" / "figs" / "power_spectrum_epoch_0010.png"
    assert run.training_history.parent == run.checkpoints
