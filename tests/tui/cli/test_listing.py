"""`focus ls` from outside: what it shows, hides, sorts and refuses, and its documented JSON."""

import json
from dataclasses import fields, replace

import pytest
from example_events import end, started

from focus_engine.events.log import append_event
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import Labels, write_labels
from focus_tui.cli.app import app


@pytest.fixture
def runs(tmp_path, epoch):
    """Three experiments: one finished, one that failed earlier and is archived, one that never ran."""
    made = {}
    for name, time, best in (("vp10", 1000.0, 0.2), ("vp2", 2000.0, 0.1), ("new", None, None)):
        run = made[name] = RunFolder(tmp_path / "experiments" / name)
        run.make_folders()
        run.config.touch()
        if time is not None:
            append_event(run.events, replace(epoch, time=time, best_val_loss=best, val_loss=best, epoch=3))
            state = "finished" if name == "vp10" else "failed"
            append_event(run.events, end(state, "x", time=time))
    write_labels(made["vp10"], Labels(("baseline",), "the one\nof the paper"))
    write_labels(made["vp2"], Labels(archived=True))
    return made


def listed(text):
    return [line.split()[2] for line in text.splitlines()[1:]]


@pytest.mark.usefixtures("runs")
def test_archived_experiments_are_shown_when_asked_for(focus):
    code, out, err = focus("ls")
    assert (code, err, listed(out)) == (0, "", ["vp10", "new"])
    assert out.splitlines()[0].endswith("TAGS")
    assert out.splitlines()[1].endswith("baseline")
    assert listed(focus("ls", "--all")[1]) == ["vp2", "vp10", "new"]
    assert listed(focus("ls", "--filter", "archived:yes")[1]) == ["vp2"]
    assert "(archived)" in focus("ls", "--all")[1]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--filter", "state:finished"], ["vp10"]),
        (["--filter", "vp", "--all"], ["vp2", "vp10"]),
        (["--all", "--sort", "name"], ["new", "vp2", "vp10"]),
        (["--all", "--sort", "-name"], ["vp10", "vp2", "new"]),
        (["--all", "--sort", "best"], ["vp2", "vp10", "new"]),
        (["--all", "--sort", "-best"], ["vp10", "vp2", "new"]),
        (["--all", "--sort", "time"], ["vp2", "vp10", "new"]),
        (["--filter", "time=2"], ["vp10"]),
    ],
)
@pytest.mark.usefixtures("runs")
def test_filter_and_sort(focus, arguments, names):
    assert listed(focus("ls", *arguments)[1]) == names
    assert [run["name"] for run in json.loads(focus("ls", "--json", *arguments)[1])] in (names, sorted(names))


@pytest.mark.usefixtures("runs")
def test_chosen_columns_are_shown_and_the_whole_log_read_for_them(focus):
    _, out, _ = focus("ls", "--columns", "name,time,note,val", "--sort", "name")
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "PER", "EPOCH", "NOTE", "VAL"],
        ["new", "-", "-"],
        ["vp10", "2.0", "s", "the", "one", "of", "the", "paper", "0.2000"],
    ]


def test_device_and_curve_leave_superseded_epochs_out(runs, epoch):
    from focus_tui.cli.listing import read_row
    from focus_tui.view.row_details import DetailReader

    run = runs["new"]
    for number in (1, 2, 3):
        append_event(run.events, replace(epoch, epoch=number, val_loss=float(number), seconds=10.0))
    append_event(run.events, started(1, warmup_epochs=0, device="cuda:1", device_name="A100", method="flow"))
    append_event(run.events, replace(epoch, epoch=2, val_loss=7.0, seconds=20.0))
    row = DetailReader(run).added_to(read_row(run))
    assert row.val_losses == (1.0, 7.0)
    assert row.seconds_per_epoch == 15.0
    assert row.device == "cuda:1 A100"


@pytest.mark.usefixtures("runs")
def test_the_json_has_the_summary_and_the_labels(focus):
    documents = {run["name"]: run for run in json.loads(focus("ls", "--json", "--all")[1])}
    assert list(documents) == ["new", "vp10", "vp2"]
    documented = [field.name for field in fields(RunSummary)] + ["tags", "note", "archived"]
    assert all(list(document) == documented for document in documents.values())
    assert documents["vp10"]["tags"] == ["baseline"]
    assert documents["vp10"]["note"] == "the one\nof the paper"
    assert [documents[name]["archived"] for name in ("vp10", "vp2")] == [False, True]
    assert json.loads(focus("status", "vp2", "--json")[1]) == documents["vp2"]


@pytest.mark.usefixtures("runs")
def test_status_shows_the_labels(focus):
    assert focus("status", "vp10")[1].splitlines()[-3:] == [
        "  tags        baseline",
        "  note        the one",
        "              of the paper",
    ]
    assert focus("status", "vp2")[1].splitlines()[-1] == "  archived    yes: not in the list"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--filter", "stat:x"], "did you mean 'state'?"),
        (["--sort", "nme"], "unknown column 'nme'; did you mean 'name'?"),
        (["--columns", "nme"], "unknown column 'nme'"),
        (["--columns", ""], "no column is named"),
    ],
)
def test_wrong_options_are_refused_even_without_experiments(focus, arguments, words):
    code, out, err = focus("ls", *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_nothing_to_show_is_explained(focus, runs):
    code, out, err = focus("ls", "--filter", "state:running")
    assert (code, out) == (0, "")
    assert err == "none of 3 experiments passes the filter 'state:running'; 1 experiment archived: add --all\n"
    assert focus("ls", "--filter", "state:running", "--json")[1] == "[]\n"
    for run in runs.values():
        write_labels(run, Labels(archived=True))
    assert focus("ls")[1:] == ("", "3 experiments archived: focus ls --all\n")


@pytest.mark.usefixtures("runs")
def test_ls_prints_the_same_with_and_without_typer(focus, capfd):
    for flags in ([], ["--json"], ["--all"], ["--all", "--json"]):
        quick = focus("ls", *flags)
        capfd.readouterr()
        app(args=["ls", *flags], standalone_mode=False)
        assert quick == (0, *capfd.readouterr())
